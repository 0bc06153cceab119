from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small_tables import INTER, ITEMS

from recbole_edt.cli import prepare as prepare_command
from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.prepare.pipeline import prepare_dataset


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., str]:
    """Run `prepare` with these arguments, its result going to ``tmp_path/dataset``."""

    def run(*argv: str) -> str:
        parser = ArgumentParser(prog="recbole-edt prepare", argv=argv)
        prepare_command.add_arguments(parser)
        args = parser.parse_args([*argv, f"--data_path={tmp_path}/dataset"])
        return prepare_dataset(args.reader, vars(args))

    return run


@pytest.fixture
def prepare_csv(tmp_path: Path, prepare: Callable[..., str]) -> Callable[..., str]:
    """Write two tables and run `prepare csv` on them, the dataset being called ``small``."""

    def run(*argv: str, inter: str = INTER, items: str = ITEMS) -> str:
        (tmp_path / "inter.csv").write_text(inter)
        (tmp_path / "items.csv").write_text(items)
        files = (f"--inter={tmp_path}/inter.csv", f"--items={tmp_path}/items.csv")
        return prepare("csv", *files, "--dataset=small", *argv)

    return run


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], pd.DataFrame]:
    """Read a file of the dataset as texts, without the types in its header."""

    def load(name: str) -> pd.DataFrame:
        path = tmp_path / "dataset" / name.partition(".")[0] / name
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        return frame.rename(columns=lambda column: column.partition(":")[0])

    return load


@pytest.fixture
def nothing_left(tmp_path: Path) -> Callable[[], bool]:
    """Tell whether no dataset folder and no temporary file is there."""
    return lambda: not (tmp_path / "dataset").exists() or not any((tmp_path / "dataset").iterdir())
