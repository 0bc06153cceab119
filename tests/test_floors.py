"""The order of the package's floors, and no circle of imports, as pyproject.toml lists them."""

import logging.config
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture(autouse=True)
def loggers_stay(monkeypatch):
    """import-linter configures logging, which would disable all loggers of later tests."""
    monkeypatch.setattr(logging.config, "dictConfig", lambda config: None)


def test_a_package_imports_only_what_is_below_it(capsys):
    cli = pytest.importorskip("importlinter.cli")
    status = cli.lint_imports(str(CONFIG), no_logo=True, no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_an_import_upwards_is_refused(tmp_path, monkeypatch, capsys):
    """The contract finds what it is for: a copy of the package with one import too many."""
    cli = pytest.importorskip("importlinter.cli")
    package = tmp_path / "recbole_edt"
    for path in (CONFIG.parent / "recbole_edt").rglob("*.py"):
        copy = package / path.relative_to(CONFIG.parent / "recbole_edt")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with open(package / "data" / "split.py", "a", encoding="utf-8") as source:
        source.write("\n\ndef _late():\n    import recbole_edt.artefacts.store  # noqa\n")
    config = tmp_path / "pyproject.toml"
    text = CONFIG.read_text(encoding="utf-8").replace("recbole_edt", "copied_edt")
    config.write_text(text, encoding="utf-8")
    for path in package.rglob("*.py"):
        renamed = path.read_text(encoding="utf-8").replace("recbole_edt", "copied_edt")
        path.write_text(renamed, encoding="utf-8")
    package.rename(tmp_path / "copied_edt")
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.lint_imports(str(config), no_logo=True, no_cache=True) == 1
    assert "copied_edt.data.split -> copied_edt.artefacts.store" in capsys.readouterr().out
