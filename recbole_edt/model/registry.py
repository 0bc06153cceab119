"""Model classes by name: this package's, RecBole's, and those that other packages register."""

from recbole_edt.config.models import model_spec


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        As `recbole_edt.config.model_spec`.
    """
    return model_spec(name).load()
