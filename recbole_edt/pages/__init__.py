"""Self-contained HTML pages: the template environment and the colours that all of them share."""

import jinja2

from recbole_edt.pages import palette

__all__ = ["environment", "palette"]


def environment(package: str) -> jinja2.Environment:
    """Return the environment of a package's ``templates/``, beside the shared ones of this one.

    Every value is escaped, and one that is missing is an error. ``scheme.css.j2`` defines the
    colours of the light and the dark scheme as CSS variables.

    Parameters
    ----------
    package : str
        Its name, such as ``recbole_edt.compare.report``.
    """
    loaders = [jinja2.PackageLoader(name) for name in (package, __name__)]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["palette"] = palette
    return made
