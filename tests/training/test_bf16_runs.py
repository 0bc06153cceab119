"""Runs in bf16: near float32 ones, weights in float32, the same numbers after a resume."""

import json
from pathlib import Path

import pytest
import torch

from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training.callbacks import Checkpoints
from recbole_edt.training.checkpoint import load_state

SMALL = {
    "SASRecLLM": {"inner_size": 8, "loss_type": "SS", "num_negatives": 5, "sparse_updates": True},
    "LLMEDT": {"inner_size": 8, "average_epochs": 1.5},
}


@pytest.fixture
def run(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset(users=60), size=12)

    def run(model, resume=False, **keys):
        where = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
        small = {"hidden_size": 8, "epochs": 2, "train_batch_size": 16, "show_progress": False}
        keys = {"precision": "bf16", **small, **SMALL.get(model, {}), **where, **keys}
        return run_recbole_edt(model, "toy", overrides=keys, resume=resume)

    return run


def losses_of(record):
    lines = Path(record["run_dir"], "curves.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("loss")
    return [float(line.split(",")[column]) for line in lines[1:]]


@pytest.mark.parametrize("model", ["LLMEDT", "SASRecLLM", "GRU4Rec"])
def test_a_run_trains_near_one_in_float32(run, model):
    mixed, single = run(model), run(model, precision="float32")
    assert losses_of(mixed) != losses_of(single)
    assert losses_of(mixed) == pytest.approx(losses_of(single), rel=0.02, abs=1e-3)
    record = json.loads(Path(mixed["run_dir"], "metrics.json").read_text(encoding="utf-8"))
    assert record["precision"] == "bf16"
    assert "precision" not in single
    assert Path(mixed["run_dir"]) != Path(single["run_dir"])
    assert "cpu, bf16" in Path(mixed["run_dir"], "train.log").read_text(encoding="utf-8")
    state = load_state(Path(mixed["run_dir"]) / "checkpoint")
    kinds = {t.dtype for t in state.tensors.values() if t.is_floating_point()}
    assert kinds <= {torch.float32, torch.float64}


@pytest.mark.parametrize("model", ["SASRecLLM", "LLMEDT"])
def test_a_killed_run_is_resumed_with_the_same_numbers(run, model, monkeypatch):
    whole = run(model)
    save = Checkpoints.on_validation

    def save_and_die(self, phase, history):
        save(self, phase, history)
        if phase.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_validation", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(model)
    assert torch.get_autocast_dtype("cpu") == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
    resumed = run(model, resume=True)
    assert resumed["run_dir"] != whole["run_dir"]
    assert (resumed["valid"], resumed["test"]) == (whole["valid"], whole["test"])
