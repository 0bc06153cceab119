"""The running mean of weights that is validated and kept in their place."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training.averaging import WeightAverage

KEYS = {
    "hidden_size": 8, "inner_size": 8, "epochs": 3, "train_batch_size": 16, "show_progress": False,
}  # fmt: skip


@pytest.fixture
def run(make_dataset, give_vectors, tmp_path):
    dataset = make_dataset(users=60)
    give_vectors(dataset)

    def call(model="LLMEDT", **keys):
        where = {"data_path": str(dataset.parent), "output_dir": str(tmp_path / "out")}
        return run_recbole_edt(model, "toy", overrides={**KEYS, **where, **keys})

    return call


def one_step(model: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()


def test_every_step_counts_with_one_over_the_time_constant():
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    optimizer = torch.optim.SGD([model.weight], lr=0.5)
    average = WeightAverage(model, optimizer, steps=4)
    expected = model.weight.detach().clone()
    for _ in range(5):
        one_step(model, optimizer)
        expected = expected + (model.weight.detach() - expected) / 4
    assert list(average.state_dict()) == ["weight"]
    torch.testing.assert_close(average.state_dict()["weight"], expected)
    assert not torch.allclose(expected, model.weight)


def test_the_weights_are_back_after_the_block_even_if_it_fails():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    average = WeightAverage(model, optimizer, steps=10)
    one_step(model, optimizer)
    last = model.weight.detach().clone()
    seen = []

    def fails() -> None:
        with average.in_place():
            seen.append(model.weight.detach().clone())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert torch.equal(seen[0], average.state_dict()["weight"])
    assert not torch.equal(seen[0], last)
    assert torch.equal(model.weight, last)


def test_it_goes_on_from_a_stored_state():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    average = WeightAverage(model, optimizer, steps=3)
    one_step(model, optimizer)
    stored = {name: mean.clone() for name, mean in average.state_dict().items()}
    another = WeightAverage(model, torch.optim.SGD(model.parameters(), lr=0.5), steps=3)
    assert not torch.equal(another.state_dict()["weight"], stored["weight"])
    another.load_state_dict(stored)
    assert torch.equal(another.state_dict()["weight"], stored["weight"])


@pytest.mark.parametrize("model", ["SASRec", "LLMEDT"])
@pytest.mark.slow
def test_a_mean_over_less_than_a_step_is_the_last_step(model, run):
    plain, averaged = run(model), run(model, average_epochs=1e-6)
    assert averaged["test"] == plain["test"]
    assert averaged["valid"] == plain["valid"]


@pytest.mark.slow
def test_a_mean_over_ages_stays_where_a_phase_began(run):
    def domain_scores(**keys) -> list[str]:
        result = run(domain_learning_rate=0.5, **keys)
        with open(Path(result["run_dir"], "curves.csv"), newline="") as handle:
            return [row["ndcg@10"] for row in csv.DictReader(handle) if row["phase"] == "domain"]

    assert len(set(domain_scores(domain_average_epochs=1e12))) == 1
    assert len(set(domain_scores())) > 1


@pytest.mark.slow
def test_the_mean_is_what_is_kept(run):
    plain, averaged = run("SASRec"), run("SASRec", average_epochs=2.0)
    assert averaged["valid"] != plain["valid"]
