"""Sparse updates against dense ones: same first step, other rows untouched, same after a resume."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from recbole_edt.errors import UserError
from recbole_edt.model.items import rows_of
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training.averaging import WeightAverage
from recbole_edt.training.callbacks import Checkpoints
from recbole_edt.training.checkpoint import pack_optimizer, unpack_optimizer
from recbole_edt.training.optimizers import DenseAndSparse, clip_gradients


class Lookup(nn.Module):
    """Sum of some rows of two tables, through a layer."""

    def __init__(self, sparse: bool):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.bias = nn.Parameter(torch.randn(9, 3)), nn.Parameter(torch.randn(9))
        self.layer, self.sparse = nn.Linear(3, 1), sparse

    def forward(self, ids):
        if not self.sparse:
            return (self.layer(self.table[ids]).squeeze(1) + self.bias[ids]).square().sum()
        rows = rows_of(self.table, ids), rows_of(self.bias, ids)
        return (self.layer(rows[0]).squeeze(1) + rows[1]).square().sum()


def optimizer_of(model):
    if not model.sparse:
        return torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    dense = torch.optim.AdamW(model.layer.parameters(), lr=0.01, weight_decay=0.0)
    return DenseAndSparse(dense, torch.optim.SparseAdam([model.table, model.bias], lr=0.01))


def train(model, optimizer, batches):
    for ids in batches:
        optimizer.zero_grad()
        model(torch.tensor(ids)).backward()
        optimizer.step()


def copies(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_gradient_of_rows_is_that_of_a_lookup():
    table = torch.randn(6, 2, requires_grad=True)
    ids = torch.tensor([0, 4, 4, 2])
    factor = torch.randn(4, 2)
    (rows_of(table, ids, padding=0) * factor).sum().backward()
    found = table.grad.to_dense()
    assert table.grad.is_sparse
    embedding = nn.Embedding.from_pretrained(table.detach(), freeze=False, padding_idx=0)
    (embedding(ids) * factor).sum().backward()
    torch.testing.assert_close(found, embedding.weight.grad)


def test_the_first_step_is_that_of_dense_adam_and_other_rows_stay():
    sparse, dense, ids = Lookup(True), Lookup(False), [1, 4, 5]
    before = copies(sparse)
    for model in (sparse, dense):
        train(model, optimizer_of(model), [ids])
    rest = [row for row in range(9) if row not in ids]
    for name, parameter in sparse.named_parameters():
        torch.testing.assert_close(parameter, dense.get_parameter(name), rtol=0, atol=1e-6)
    for name in ("table", "bias"):
        assert torch.equal(sparse.get_parameter(name)[rest], before[name][rest])
        assert (sparse.get_parameter(name)[ids] != before[name][ids]).all()


def test_rows_without_a_gradient_stay_in_later_steps_too():
    sparse, dense = Lookup(True), Lookup(False)
    of_sparse, of_dense = optimizer_of(sparse), optimizer_of(dense)
    for model, optimizer in ((sparse, of_sparse), (dense, of_dense)):
        train(model, optimizer, [[1, 4]])
    between = copies(sparse), copies(dense)
    for model, optimizer in ((sparse, of_sparse), (dense, of_dense)):
        train(model, optimizer, [[7]])
    assert torch.equal(sparse.table[[1, 4]], between[0]["table"][[1, 4]])
    assert (dense.table[[1, 4]] != between[1]["table"][[1, 4]]).all()  # by their momentum


def test_a_packed_optimizer_goes_on_as_if_nothing_had_happened():
    whole, halves = Lookup(True), Lookup(True)
    batches = [[1, 2], [2, 3, 8], [1], [5, 2]]
    train(whole, optimizer_of(whole), batches)
    first = optimizer_of(halves)
    train(halves, first, batches[:2])
    second = optimizer_of(halves)
    tensors, groups = pack_optimizer(first)
    unpack_optimizer(second, tensors, json.loads(json.dumps(groups)))
    train(halves, second, batches[2:])
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, halves.get_parameter(name)), name


def test_a_rate_that_is_set_on_the_groups_is_that_of_both():
    model = Lookup(True)
    optimizer, before = optimizer_of(model), copies(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(model, optimizer, [[1, 2]])
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_clipping_is_torchs(max_norm, norm_type):
    sparse, dense, ids = Lookup(True), Lookup(False), torch.tensor([3, 3, 6])
    for model in (sparse, dense):
        model(ids).backward()
    clip_gradients(list(sparse.parameters()), max_norm, norm_type=norm_type)
    nn.utils.clip_grad_norm_(dense.parameters(), max_norm, norm_type=norm_type)
    for name, parameter in dense.named_parameters():
        grad = sparse.get_parameter(name).grad
        grad = grad.to_dense() if grad.is_sparse else grad
        torch.testing.assert_close(grad, parameter.grad)


def test_the_average_of_a_table_is_that_of_all_its_rows():
    model = Lookup(True)
    optimizer = optimizer_of(model)
    average = WeightAverage(model, optimizer, steps=4)
    expected = copies(model)
    for number, ids in enumerate([[1, 2], [2], [7, 1], [2], [3], [2, 8]]):
        train(model, optimizer, [ids])
        for name, parameter in model.named_parameters():
            expected[name] += (parameter.detach() - expected[name]) / 4
        if number == 3:  # reading in between changes nothing
            with average.in_place():
                torch.testing.assert_close(model.table.detach(), expected["table"])
    for name, mean in average.state_dict().items():
        torch.testing.assert_close(mean, expected[name])


@pytest.fixture
def run(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset(users=60), size=12)

    def run(model="SASRecLLM", resume=False, **keys):
        where = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
        small = {
            "hidden_size": 8, "inner_size": 8, "epochs": 3, "train_batch_size": 16,
            "loss_type": "SS", "num_negatives": 8, "sparse_updates": True, "show_progress": False,
        }  # fmt: skip
        return run_recbole_edt(model, "toy", overrides={**small, **where, **keys}, resume=resume)

    return run


@pytest.mark.parametrize("model", ["SASRecLLM", "LLMEDT"])
def test_a_killed_run_is_resumed_with_the_same_numbers(run, model, monkeypatch):
    keys = {
        "average_epochs": 1.5, "clip_grad_norm": {"max_norm": 0.5}, "lr_scheduler": "plateau",
        "item_vectors": "trainable", "item_vectors_learning_rate": 1e-4,
    }  # fmt: skip
    whole = run(model, **keys)
    save = Checkpoints.on_validation

    def save_and_die(self, phase, history):
        save(self, phase, history)
        if phase.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_validation", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(model, **keys)
    resumed = run(model, resume=True, **keys)
    assert resumed["run_dir"] != whole["run_dir"]
    assert (resumed["valid"], resumed["test"]) == (whole["valid"], whole["test"])
    texts = [
        Path(r["run_dir"], "test_ranks.csv").read_text(encoding="utf-8") for r in (whole, resumed)
    ]
    assert texts[0] == texts[1]


def test_sparse_updates_are_a_choice_of_the_sampled_loss(run):
    keys = {"epochs": 1, "learning_rate": 0.05}
    sparse, dense = run(**keys), run(**keys, sparse_updates=False)
    assert sparse["test"] != dense["test"]
    full = run(**keys, loss_type="CE"), run(**keys, loss_type="CE", sparse_updates=False)
    assert full[0]["test"] == full[1]["test"]


@pytest.mark.parametrize("learner", ["sgd", "adagrad"])
def test_learners_that_leave_other_rows_have_the_numbers_of_dense_updates(run, learner):
    keys = {
        "learner": learner, "epochs": 1, "learning_rate": 0.05, "clip_grad_norm": {"max_norm": 1},
        "item_vectors": "trainable", "item_vectors_learning_rate": 0.01,
    }  # fmt: skip
    sparse, dense = (run(**keys, sparse_updates=value) for value in (True, False))
    assert sparse["test"] == dense["test"]
    assert sparse["run_dir"] != dense["run_dir"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"learner": "rmsprop"}, "learner: found 'rmsprop'"), ({"weight_decay": 0.1}, "weight_decay")],
)
def test_what_would_change_every_row_is_refused(run, keys, message):
    with pytest.raises(UserError, match=message):
        run(**keys)
    run(**keys, sparse_updates=False, epochs=1)
