"""Finished runs of a toy dataset that all tests of this folder read."""

import pytest
from synthetic import finish_runs

import recbole_edt

QUICK = (
    "--epochs=1", "--shared_min_epochs=0", "--hidden_size=8", "--inner_size=8", "--adapter_size=4",
)  # fmt: skip
MODELS = {
    "LLMEDT": QUICK, "SASRec": QUICK[:1], "BPR": QUICK[:1], "EASE": (), "ItemKNN": (), "Pop": (),
    "GRU4Rec": (*QUICK[:1], "--content_expert=True"), "FPMC": QUICK[:1], "Popularity": (),
    "Similarity": (), "LLM4CDSR": (*QUICK[:1], "--hidden_size=8"),
}  # fmt: skip


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("recommend")


@pytest.fixture(scope="session")
def folder(root):
    """Return a function that gives the finished run of a model."""
    return finish_runs(root, MODELS)


@pytest.fixture(scope="session")
def loaded(folder):
    """Return a function that loads the run of a model once; what it returns stays as it is."""
    known = {}

    def load(model):
        if model not in known:
            known[model] = recbole_edt.load(folder(model))
        return known[model]

    return load


@pytest.fixture
def ask(run_cli, root, folder):
    """Return a function that calls ``recommend`` for the run of a model."""

    def call(*argv, model="LLMEDT"):
        return run_cli("recommend", f"--run={folder(model)}", *argv)

    return call
