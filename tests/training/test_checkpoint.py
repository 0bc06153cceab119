"""Checkpoints come back as they were written, and damage is named."""

import random

import numpy as np
import pytest
import torch

from recbole_edt.errors import UserError
from recbole_edt.training import checkpoint
from recbole_edt.training.checkpoint import pack_optimizer, pack_rng, unpack_optimizer, unpack_rng


def draws(generator):
    return (
        torch.rand(3).tolist(),
        np.random.rand(3).tolist(),
        [random.random() for _ in range(3)],
        torch.rand(3, generator=generator).tolist(),
    )


def test_every_random_generator_goes_back_to_where_it_was(tmp_path):
    generator = torch.Generator().manual_seed(4)
    np.random.standard_normal()  # leaves a cached second value behind
    tensors, info = pack_rng(generator)
    checkpoint.save_state(tmp_path, "a", tensors, info)
    expected = draws(generator)
    assert draws(generator) != expected
    unpack_rng(*checkpoint.load_state(tmp_path), generator)
    assert draws(generator) == expected


@pytest.mark.parametrize("learner", [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.SGD])
def test_an_optimizer_goes_on_as_if_never_interrupted(learner, tmp_path):
    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = learner(model.parameters(), lr=0.1)
    steps(model, optimizer, 3)
    tensors, groups = pack_optimizer(optimizer)
    checkpoint.save_state(tmp_path, "a", tensors, {"groups": groups})
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    resumed = learner(other.parameters(), lr=0.9)
    loaded, info = checkpoint.load_state(tmp_path)
    unpack_optimizer(resumed, loaded, info["groups"])
    for found, expected in zip(steps(other, resumed, 3), steps(model, optimizer, 3), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_newer_checkpoint_replaces_the_older_one_completely(tmp_path):
    for name in ("first", "second"):
        checkpoint.save_state(tmp_path, name, {"x": torch.ones(2)}, {"epoch": name})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["second.safetensors", "state.json"]
    tensors, info = checkpoint.load_state(tmp_path)
    assert info["epoch"] == "second"
    assert tensors["x"].tolist() == [1, 1]


def test_weights_that_share_memory_are_saved(tmp_path):
    tied = torch.ones(4)
    checkpoint.save_tensors(tmp_path / "x.safetensors", {"a": tied, "b": tied, "c": tied[:2]})
    assert checkpoint.load_tensors(tmp_path / "x.safetensors")["c"].tolist() == [1, 1]


@pytest.mark.parametrize("cut", [0, 4, 100])
def test_a_truncated_tensor_file_is_named(tmp_path, cut):
    checkpoint.save_state(tmp_path, "a", {"x": torch.ones(500)}, {})
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"a\.safetensors: damaged checkpoint"):
        checkpoint.load_state(tmp_path)


def test_a_missing_or_foreign_state_file(tmp_path):
    assert checkpoint.load_state(tmp_path) is None
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"state\.json"):
        checkpoint.load_state(tmp_path)
    (tmp_path / "state.json").write_text('{"schema": 99, "tensors": "a"}')
    with pytest.raises(UserError, match="schema"):
        checkpoint.load_state(tmp_path)


@pytest.mark.parametrize("moment", ["save_tensors", "write_json"])
def test_a_save_that_dies_leaves_the_one_before(tmp_path, monkeypatch, moment):
    def dies(path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    checkpoint.save_state(tmp_path, "first", {"x": torch.ones(2)}, {"epoch": 1})
    if moment == "save_tensors":
        monkeypatch.setattr(checkpoint, "save_file", lambda tensors, path: dies(path))
    else:
        monkeypatch.setattr(checkpoint, "write_json", lambda path, content: dies(tmp_path / "x"))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_state(tmp_path, "second", {"x": torch.zeros(2)}, {"epoch": 2})
    tensors, info = checkpoint.load_state(tmp_path)
    assert info["epoch"] == 1
    assert tensors["x"].tolist() == [1, 1]
