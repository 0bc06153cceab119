"""Taking over the shared phase of a finished run."""

from pathlib import Path

import pytest

from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt

SMALL = {"hidden_size": 8, "inner_size": 8, "show_progress": False, "epochs": 2}


@pytest.fixture
def run(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset())

    def run(model="LLMEDT", **keys):
        places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
        return run_recbole_edt(model, "toy", overrides={**SMALL, **places, **keys})

    return run


def test_only_the_domain_phase_is_trained_and_starts_where_the_other_did(run):
    first = run()
    second = run(shared_run=first["run_dir"], adapter_size=3)
    assert second["phases"][0] == first["phases"][0]
    assert second["phases"][1]["epochs"] == 2
    assert "shared epoch" not in Path(second["run_dir"], "train.log").read_text()


def test_the_shared_phase_alone_may_be_taken_over_too(run):
    first = run(phases=["shared"])
    second = run(shared_run=first["run_dir"])
    assert second["phases"][0]["test"] == first["test"]


def test_a_sasrec_with_vectors_is_a_shared_phase_too(run):
    first = run("SASRecLLM", min_epochs=0)
    second = run(shared_run=first["run_dir"])
    assert second["phases"][0]["test"] == first["test"]
    assert second["phases"][0]["name"] == "shared"


def test_a_run_of_another_model_is_refused(run):
    first = run("SASRec")
    with pytest.raises(UserError, match=r"model is 'SASRec', expected one of"):
        run(shared_run=first["run_dir"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seed": 7}, "seed is 2026, expected 7"),
        ({"hidden_size": 16}, "of another model"),
        ({"shared_run": "nowhere"}, "nowhere: found no metrics.json"),
    ],
)
def test_what_does_not_fit_is_refused(run, keys, message):
    first = run()
    with pytest.raises(UserError, match=message):
        run(**{"shared_run": first["run_dir"], **keys})
