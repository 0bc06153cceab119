"""Choosing epochs: RecBole's rule for whole models, "a change must earn its place" for threads."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import torch

from recbole_edt.config import EDTConfig
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training.phase import BestEpoch, PhaseSettings
from recbole_edt.training.trainer import PhasedTrainer

pytestmark = pytest.mark.slow


class Weights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(1))
        self.b = torch.nn.Parameter(torch.zeros(1))


def update(best, scores):
    model = Weights()
    for epoch, score in enumerate(scores):
        with torch.no_grad():
            model.a.fill_(epoch)
        best.update(score, epoch, model)
    return best


def test_the_best_epoch_and_its_weights_are_kept():
    best = update(BestEpoch("ndcg@10"), [0.1, 0.3, 0.2, 0.25])
    assert (best.epoch, best.score, best.stale) == (1, 0.3, 2)
    assert best.weights["a"].item() == 1
    assert set(best.weights) == {"a", "b"}


def test_ties_go_to_the_later_epoch_as_in_recbole_or_to_the_earlier_one():
    assert update(BestEpoch("m"), [0.2, 0.2, 0.2]).epoch == 2
    kept = update(BestEpoch("m", keep_on_tie=True), [0.2, 0.2, 0.2])
    assert (kept.epoch, kept.stale) == (0, 2)


def test_only_the_parameters_under_the_prefix_are_remembered():
    assert set(update(BestEpoch("m", prefix="b"), [0.1]).weights) == {"b"}


def test_a_phase_uses_its_own_key_and_else_the_general_one():
    keys = {"epochs": 7, "domain_epochs": 3, "recipe": "paper"}
    config = EDTConfig("LLMEDT", "none", overrides=keys)
    shared = PhaseSettings.from_config("shared", config)
    domain = PhaseSettings.from_config("domain", config)
    assert (shared.learning_rate, domain.learning_rate) == (0.001, 0.0001)
    assert domain.epochs == 3
    assert domain.clip_grad_norm == {"max_norm": 0.1}
    assert domain.lr_scheduler == "plateau"


def test_a_general_key_of_the_caller_goes_before_the_recipes_phase_key():
    keys = {"epochs": 7, "learning_rate": 0.5, "domain_learning_rate": 0.25, "recipe": "paper"}
    config = EDTConfig("LLMEDT", "none", overrides=keys)
    phases = [PhaseSettings.from_config(name, config) for name in ("shared", "domain")]
    assert [phase.epochs for phase in phases] == [7, 7]
    assert [phase.learning_rate for phase in phases] == [0.5, 0.25]


def test_epochs_given_by_the_user_limits_each_phase_without_its_own_key():
    config = EDTConfig("LLMEDT", "none", overrides={"epochs": 2})
    assert PhaseSettings.from_config("shared", config).epochs == 2
    assert PhaseSettings.from_config("domain", config).epochs == 2


def test_each_setting_of_a_phase_has_a_key_for_either_phase():
    keys = {"name", *EDTConfig("LLMEDT", "toy").to_dict()}
    for field in fields(PhaseSettings)[1:]:
        assert {f"shared_{field.name}", f"domain_{field.name}"} <= keys


def test_a_domain_phase_that_gains_nothing_keeps_no_change(make_dataset, give_vectors, tmp_path):
    """The rate is too small for any rank to change: every epoch ties with the start."""
    folder = make_dataset()
    give_vectors(folder)
    keys = {
        "data_path": str(folder.parent), "output_dir": str(tmp_path), "show_progress": False,
        "hidden_size": 8, "inner_size": 8, "epochs": 2, "domain_learning_rate": 1e-12,
    }  # fmt: skip
    domain = run_recbole_edt("LLMEDT", "toy", overrides=keys)["phases"][1]
    assert domain["epochs"] == 2
    assert domain["best_epoch"] == {"d0": 0, "d1": 0, "d2": 0}


def test_each_phase_is_trained_with_its_own_settings(
    make_dataset, give_vectors, tmp_path, monkeypatch
):
    folder, seen = make_dataset(), []
    give_vectors(folder)
    original = PhasedTrainer.train_epoch

    def train(self, *args, **keys):
        (group,) = self.optimizer.param_groups
        seen.append((group["lr"], group["weight_decay"], self.clip_grad_norm))
        return original(self, *args, **keys)

    monkeypatch.setattr(PhasedTrainer, "train_epoch", train)
    keys = {
        "data_path": str(folder.parent), "output_dir": str(tmp_path), "show_progress": False,
        "hidden_size": 8, "inner_size": 8, "epochs": 1,
        "learning_rate": 0.1, "weight_decay": 0.2, "domain_learning_rate": 0.3,
        "domain_weight_decay": 0.4, "domain_clip_grad_norm": {"max_norm": 0.5},
    }  # fmt: skip
    run_recbole_edt("LLMEDT", "toy", overrides=keys)
    assert seen == [(0.1, 0.2, None), (0.3, 0.4, {"max_norm": 0.5})]


def test_threads_keep_the_best_epoch_of_their_own_domain(make_dataset, give_vectors, tmp_path):
    folder = make_dataset()
    give_vectors(folder)
    keys = {
        "data_path": str(folder.parent), "output_dir": str(tmp_path), "show_progress": False,
        "hidden_size": 8, "inner_size": 8, "epochs": 2, "domain_epochs": 8,
        "domain_learning_rate": 0.05,
    }  # fmt: skip
    found = run_recbole_edt("LLMEDT", "toy", overrides=keys)
    curves = pd.read_csv(Path(found["run_dir"], "curves.csv"))
    curves = curves[curves["phase"] == "domain"].set_index("epoch")
    best = found["phases"][1]["best_epoch"]
    assert max(best.values()) > 0
    for domain, epoch in best.items():
        scores = curves[f"ndcg@10/{domain}"]
        before = found["phases"][0]["valid"]["domains"][domain]["ndcg@10"]
        kept = found["valid"]["domains"][domain]["ndcg@10"]
        assert kept == pytest.approx(scores[epoch] if epoch else before)
        assert kept >= scores.max() - 1e-9


def scripted(monkeypatch, domain_scores):
    """Let validation after each epoch (0 is "no change") give every domain a score of a list."""
    original = PhasedTrainer.evaluate

    def evaluate(self, *args, **keys):
        found = original(self, *args, **keys)
        if self.phases:  # in the domain phase
            at = len(self.history.curves) - self.phases[0]["epochs"]
            for domain, scores in domain_scores.items():
                found[f"ndcg@10/{domain}"] = scores[min(at, len(scores) - 1)]
        return found

    monkeypatch.setattr(PhasedTrainer, "evaluate", evaluate)


@pytest.mark.parametrize(
    ("keys", "epochs"),
    [
        ({"domain_stopping_step": 1}, 5),  # d1 rises until epoch 3; two more are one too many
        ({"domain_stopping_step": 0}, 4),
        ({"domain_stopping_step": 1, "domain_min_epochs": 7}, 7),
        ({"domain_stopping_step": 1, "domain_min_epochs": 3}, 5),
    ],
)
def test_a_phase_ends_when_every_domain_has_lost_patience(
    make_dataset, give_vectors, tmp_path, monkeypatch, keys, epochs
):
    give_vectors(make_dataset())
    falling = [0.5, 0.4, 0.3, 0.2, 0.1]
    scripted(monkeypatch, {"d0": falling, "d1": [0.1, 0.2, 0.3, 0.4, 0.0], "d2": falling})
    places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
    small = {"hidden_size": 8, "inner_size": 8, "show_progress": False}
    phases = {"shared_epochs": 1, "domain_epochs": 9}
    found = run_recbole_edt("LLMEDT", "toy", overrides={**places, **small, **phases, **keys})
    assert found["phases"][1]["epochs"] == epochs
    assert found["phases"][1]["best_epoch"] == {"d0": 0, "d1": 3, "d2": 0}


def test_towers_keep_the_best_epoch_of_their_own_domain_and_one_ranking_has_one_choice(
    make_dataset, tmp_path
):
    make_dataset()
    keys = {
        "data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out"),
        "show_progress": False, "hidden_size": 8, "inner_size": 8, "epochs": 9,
        "learning_rate": 0.03,
    }  # fmt: skip
    found = run_recbole_edt("SASRecSingle", "toy", overrides=keys)
    curves = pd.read_csv(Path(found["run_dir"], "curves.csv")).set_index("epoch")
    best = found["phases"][0]["best_epoch"]
    assert len({*best.values()}) > 1
    for domain, epoch in best.items():
        scores = curves[f"ndcg@10/{domain}"]
        assert scores[epoch] == scores.max()
        assert found["valid"]["domains"][domain]["ndcg@10"] == pytest.approx(scores.max())

    found = run_recbole_edt("SASRecSingle", "toy", overrides={**keys, "candidates": "all"})
    curves = pd.read_csv(Path(found["run_dir"], "curves.csv")).set_index("epoch")
    best = found["phases"][0]["best_epoch"]
    assert curves["ndcg@10"][best] == curves["ndcg@10"].max()
