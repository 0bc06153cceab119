"""What tests of several folders share; the functions themselves are in synthetic.py."""

import os

# Threads that wait for work give their core to the other processes of pytest, which are more than
# there are cores to spin on. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import synthetic
import torch
from forks import shared_server

from recbole_edt import cli
from recbole_edt.executors import local
from recbole_edt.library_warnings import silence_recbole

# pytest -n starts a process per core: with two threads each they wait for each other, and the
# suite takes twice the CPU time.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
torch.set_num_threads(THREADS)
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))  # of the processes that tests start
# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as fast what takes neither long nor processes to kill."""
    for item in items:
        if not {marker.name for marker in item.iter_markers()} & {"slow", "kills"}:
            item.add_marker("fast")


class Outcome(NamedTuple):
    """What a command left: exit status, standard output and error stream."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def _children_share_their_imports() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "ForkServer", shared_server)
        yield


@pytest.fixture(autouse=True)
def _warnings_as_users_see_them() -> None:
    """Put the package's own filters above pytest's, which makes errors of all other warnings."""
    silence_recbole()


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Return `synthetic.make_dataset` with ``tmp_path/dataset`` as its folder."""

    def make(name: str = "toy", **keys: Any) -> Path:
        return synthetic.make_dataset(tmp_path / "dataset", name, **keys)

    return make


@pytest.fixture
def give_vectors() -> Callable[..., Path]:
    return synthetic.give_vectors


@pytest.fixture
def run_cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs ``recbole-edt ARGS`` in this process."""

    def run(*argv: str) -> Outcome:
        capsys.readouterr()
        status = cli.dispatch([str(argument) for argument in argv])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def ml100k_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of 100 ml-100k users in two domains; not to be written to."""
    return synthetic.make_ml100k(tmp_path_factory.mktemp("ml100k"))
