"""Users see no warning that RecBole's code causes, and all others."""

import logging
import warnings
from types import ModuleType

import pytest

from recbole_edt.library_warnings import silence_recbole


def warn_from(name, path, text="old"):
    """Warn, and log to the root logger, from code of a module called `name` in a file `path`."""
    module = ModuleType(name)
    code = "import logging, warnings\ndef warn(text):\n  warnings.warn(text, FutureWarning)\n"
    code += "  logging.getLogger().warning(text)\n  logging.getLogger().error(text)\n"
    exec(compile(code, path, "exec"), vars(module))
    module.warn(text)


@pytest.mark.parametrize(
    ("name", "path", "shown", "levels"),
    [
        ("recbole.data.dataset", "/lib/recbole/data/dataset.py", 0, ["ERROR"]),
        ("recbole", "/lib/recbole/__init__.py", 0, ["ERROR"]),
        ("recbole_edt.data", "/lib/recbole_edt/data.py", 1, ["WARNING", "ERROR"]),
        ("recbolemore", "/lib/recbolemore.py", 1, ["WARNING", "ERROR"]),
        ("pandas", "/lib/pandas.py", 1, ["WARNING", "ERROR"]),
    ],
)
def test_only_recbole_is_silent(caplog, name, path, shown, levels):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_recbole()
        silence_recbole()
        warn_from(name, path)
    assert len(caught) == shown
    assert [record.levelname for record in caplog.records] == levels
    assert logging.getLogger().filters.count(logging.getLogger().filters[-1]) == 1


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/lib/site-packages/recbole/model/dien.py", 0),
        (r"C:\lib\recbole\model\dien.py", 0),
        ("/lib/site-packages/recbole_edt/model/base.py", 1),
    ],
)
def test_what_the_compiler_warns_of_in_recbole_is_silent(path, shown):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_recbole()
        compile("n is 1", path, "exec")
    assert len(caught) == shown
