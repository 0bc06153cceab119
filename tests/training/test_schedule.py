"""Warm-up and plateau in the single phase of a model without phases of its own."""

from pathlib import Path

import pytest
import torch

from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training import checkpoint
from recbole_edt.training.phase import PhaseSettings
from recbole_edt.training.trainer import PhasedTrainer

pytestmark = pytest.mark.slow

KEYS = {
    "hidden_size": 8, "inner_size": 8, "thread_rank": 2, "invariant_rank": 2, "epochs": 8,
    "learning_rate": 0.1, "weight_decay": 0.5, "warmup_epochs": 2, "lr_patience": 1,
    "lr_factor": 0.5, "show_progress": False,
}  # fmt: skip


class KilledError(Exception):
    pass


@pytest.fixture
def run(make_dataset, tmp_path):
    dataset = make_dataset()

    def call(output="out", resume=False, **keys):
        where = {"data_path": str(dataset.parent), "output_dir": str(tmp_path / output)}
        return run_recbole_edt("ABXI", "toy", overrides={**KEYS, **where, **keys}, resume=resume)

    return call


@pytest.fixture
def rates(monkeypatch):
    """Return the list that every training epoch adds its learning rate to."""
    seen = []
    original = PhasedTrainer.train_epoch

    def train(self, *args, **keys):
        (group,) = self.optimizer.param_groups
        seen.append(group["lr"])
        assert isinstance(self.optimizer, torch.optim.AdamW)
        assert group["weight_decay"] == 0.5
        return original(self, *args, **keys)

    monkeypatch.setattr(PhasedTrainer, "train_epoch", train)
    return seen


@pytest.fixture
def constant_score(monkeypatch):
    original, first = PhasedTrainer.evaluate, {}

    def evaluate(self, *args, **keys):
        return first or first.update(original(self, *args, **keys)) or first

    monkeypatch.setattr(PhasedTrainer, "evaluate", evaluate)


def test_the_rate_grows_then_falls_where_nothing_is_gained(run, rates, constant_score):
    run()
    # epochs 1 and 2 warm up; 3 sets the mark, 4 and 5 are one more than the patience, and so on
    assert rates == pytest.approx([1e-6, 0.0500005, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def test_without_warm_up_and_schedule_the_rate_stays(run, rates, constant_score):
    run(warmup_epochs=0, lr_scheduler="none", epochs=4)
    assert rates == [0.1] * 4


@pytest.mark.parametrize("kill_after", [1, 2, 6])
def test_a_resumed_run_keeps_the_schedule(run, rates, monkeypatch, kill_after):
    unbroken = run("unbroken", lr_patience=0)
    expected = list(rates)
    rates.clear()
    save = checkpoint.save_state

    def dies(folder, name, tensors, values):
        save(folder, name, tensors, values)
        if values["epoch"] == kill_after:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_state", dies)
        with pytest.raises(KilledError):
            run("killed", lr_patience=0)
    resumed = run("killed", resume=True, lr_patience=0)
    assert rates == expected
    assert resumed["test"] == unbroken["test"]


def test_published_schedule_of_abxi():
    config = EDTConfig("ABXI", "none")
    settings = PhaseSettings.from_config("train", config)
    rates = [settings.rate(epoch) for epoch in range(1, 13)]
    assert rates[0] == pytest.approx(1e-9)
    assert rates[10:] == [pytest.approx(1e-4), None]
    assert rates[5] == pytest.approx((rates[0] + 1e-4) / 2)
    assert (settings.lr_factor, settings.lr_patience) == (0.3162, 30)
    assert (settings.weight_decay, settings.stopping_step, settings.epochs) == (3.0, 61, 500)


@pytest.mark.parametrize("value", [0, 1, 2.0])
def test_a_factor_that_is_none(value):
    with pytest.raises(UserError, match="lr_factor"):
        EDTConfig("ABXI", "none", overrides={"lr_factor": value})


def test_stock_models_have_no_such_keys(tmp_path: Path):
    with pytest.raises(UserError, match="warmup_epochs"):
        EDTConfig("SASRec", "none", overrides={"warmup_epochs": 3})
