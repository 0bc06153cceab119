"""A made-up catalogue for the baselines, and their shared parts once more, in plain loops."""

import math

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_edt.config import EDTConfig
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.registry import get_model

N_ITEMS, N_USERS, MAX = 23, 9, 8


class Catalogue:
    """What the models read of a dataset: domains and training sequences."""

    def __init__(self, n_domains):
        rng = np.random.default_rng(4)
        self.domains = [f"d{k}" for k in range(n_domains)]
        self.item_domain = torch.from_numpy(
            np.r_[-1, rng.permutation(np.arange(N_ITEMS - 1) % n_domains)]
        )
        self.users = np.repeat(np.arange(1, N_USERS), 7)
        self.items = rng.integers(1, N_ITEMS, len(self.users))

    def num(self, field):
        return N_USERS if field == "user_id" else N_ITEMS

    def item_counts(self):
        return np.bincount(self.items, minlength=N_ITEMS)

    def seen_items(self):
        return np.ones(N_ITEMS, dtype=bool)

    def item_vectors(self):
        vectors = np.random.default_rng(5).normal(size=(N_ITEMS, 12)).astype(np.float32)
        vectors[0] = 0
        return vectors

    def training_sequences(self):
        return self.users, self.items, np.ones(len(self.users), dtype=bool)


def build(name, n_domains=3, **keys):
    """Build a small model; all its weights are drawn from N(0, .3)."""
    keys = {"hidden_size": 8, "MAX_ITEM_LIST_LENGTH": MAX, **keys}
    config = EDTConfig(name, "none", overrides=keys)
    config["device"] = torch.device("cpu")
    torch.manual_seed(0)
    model = get_model(name)(config, Catalogue(n_domains))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def windows(rows=6, seed=0):
    """Make windows of random items; some labels in the middle are missing."""
    generator = torch.Generator().manual_seed(seed)
    sequence = torch.randint(1, N_ITEMS, (rows, MAX + 1), generator=generator)
    lengths = torch.randint(2, MAX + 1, (rows,), generator=generator)
    inside = torch.arange(MAX) < lengths[:, None]
    no_label = torch.rand(rows, MAX, generator=generator) < 0.1
    return Interaction(
        {
            "user_id": torch.arange(rows) % (N_USERS - 1) + 1,
            ITEMS: sequence[:, :-1] * inside,
            LABELS: sequence[:, 1:] * inside * ~no_label,
        }
    )


def histories(ids):
    return Interaction({"item_id_list": ids, "item_length": (ids > 0).sum(1)})


def rows_of(batch):
    """Yield inputs and labels of each window as lists without padding."""
    for inputs, labels in zip(batch[ITEMS].tolist(), batch[LABELS].tolist(), strict=True):
        length = sum(item > 0 for item in inputs)
        yield inputs[:length], labels[:length]


def norm(module, x):
    spread = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(spread + 1e-8) * module.weight + module.bias


def slow_encoder(encoder, vectors):
    """Encode one sequence of scaled item vectors, None in empty slots: a list of states."""
    width = encoder.norm.weight.shape[0]
    empty, z, count = torch.zeros(width), [], 0
    for vector in vectors:
        z.append(empty if vector is None else vector + encoder.positions.weight[count])
        count += vector is not None
    for layer in encoder.layers:
        heads, attention = layer.attention.num_heads, layer.attention
        size = width // heads
        to_query, to_key, to_value = (
            [(w, b) for w, b in zip(ws.split(size), bs.split(size), strict=True)]
            for ws, bs in zip(
                attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
            )
        )
        output = []
        for t in range(len(z)):
            query, read = norm(layer.norm_query, z[t]), []
            for (wq, bq), (wk, bk), (wv, bv) in zip(to_query, to_key, to_value, strict=True):
                scores = [(wq @ query + bq) @ (wk @ z[s] + bk) for s in range(t + 1)]
                weights = torch.softmax(torch.stack(scores) / math.sqrt(size), dim=0)
                read.append(sum(w * (wv @ z[s] + bv) for s, w in enumerate(weights)))
            x = query + attention.out_proj.weight @ torch.cat(read) + attention.out_proj.bias
            x = norm(layer.norm_inner, x)
            first, second = layer.feed_forward.inner, layer.feed_forward.outer
            x = x + second.weight @ torch.relu(first.weight @ x + first.bias) + second.bias
            output.append(empty if vectors[t] is None else x)
        z = output
    return [norm(encoder.norm, x) for x in z]
