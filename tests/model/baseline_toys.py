"""A made-up catalogue and windows for tests of the cross-domain baselines."""

import json

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_edt.config import EDTConfig
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.registry import get_model


class Catalogue:
    """What models read of a dataset: domains, item vectors, profiles."""

    def __init__(self, n_domains=2, n_items=12, n_users=6, vector_size=10, seed=4):
        rng = np.random.default_rng(seed)
        self.n_items, self.n_users = n_items, n_users
        self.domains = [f"d{k}" for k in range(n_domains)]
        domain = rng.permutation(np.arange(n_items - 1) % n_domains)
        self.item_domain = torch.from_numpy(np.r_[-1, domain])
        self.vectors = rng.normal(size=(n_items, vector_size)).astype(np.float32)
        self.vectors[0] = 0
        self.profiles = rng.normal(size=(n_users, n_domains, vector_size)).astype(np.float32)
        self.present = rng.random((n_users, n_domains)) < 0.7
        self.present[:2] = [[False] * n_domains, [True] * n_domains]

    def num(self, field):
        return self.n_users if field == "user_id" else self.n_items

    def item_vectors(self):
        return self.vectors

    def seen_items(self):
        return np.ones(self.n_items, dtype=bool)

    def item_counts(self):
        return np.arange(self.n_items)

    def profile_vectors(self):
        return self.profiles * self.present[:, :, None], self.present


def build(name, n_domains=2, scale=None, catalogue=None, **keys):
    """Return a model; with `scale`, all weights are drawn from N(0, scale)."""
    torch.manual_seed(0)
    config = EDTConfig(name, "none", overrides=keys)
    config["device"] = torch.device("cpu")
    model = get_model(name)(config, catalogue or Catalogue(n_domains))
    if scale is not None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=scale)
    return model


def windows_of(sequences, users=None):
    """Return a batch of windows of item sequences: all but the last are inputs."""
    longest = max(len(s) for s in sequences) - 1
    items, labels = (torch.zeros(len(sequences), longest, dtype=torch.long) for _ in range(2))
    for row, sequence in enumerate(sequences):
        items[row, : len(sequence) - 1] = torch.tensor(sequence[:-1])
        labels[row, : len(sequence) - 1] = torch.tensor(sequence[1:])
    users = torch.arange(1, len(sequences) + 1) if users is None else torch.tensor(users)
    return Interaction({"user_id": users, ITEMS: items, LABELS: labels})


def random_sequences(count, n_items, longest, seed=0):
    """Draw sequences of 3 to `longest` different items."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest + 1, count)
    return [(1 + rng.permutation(n_items - 1)[:n]).tolist() for n in lengths]


def histories_of(sequences, users=None):
    """Return what the evaluation asks for: histories and their lengths."""
    longest = max(len(s) for s in sequences)
    items = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        items[row, : len(sequence)] = torch.tensor(sequence)
    users = torch.arange(1, len(sequences) + 1) if users is None else torch.tensor(users)
    lengths = torch.tensor([len(s) for s in sequences])
    return Interaction({"user_id": users, "item_id_list": items, "item_length": lengths})


def metrics_of(outcome):
    """Return metrics.json of a run through the command line."""
    assert outcome.status == 0, outcome.err
    folder = outcome.out.strip().splitlines()[-1].removeprefix("written to ")
    with open(f"{folder}/metrics.json", encoding="utf-8") as handle:
        return json.load(handle)
