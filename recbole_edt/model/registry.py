"""Model classes by name: this package's, RecBole's, and those that other packages register."""

from recbole_edt.config.models import OWN, model_spec


def own_models() -> tuple[str, ...]:
    """Return the names of this package's models."""
    return tuple(OWN)


def get_model(name: str) -> type:
    """Return the model class called `name`.

    Raises
    ------
    UserError
        As `recbole_edt.config.model_spec`.
    """
    return model_spec(name).load()
