"""Time of a training step with sampled softmax for a small and a large catalogue, side by side.

    python benchmarks/catalogue.py [--small=50000] [--large=1000000] [--sparse_updates=True]

A made-up catalogue of item ids in two domains; batches of random windows go through loss,
gradients, clipping, optimizer and weight average as in a run. Steps of both sizes are taken in
turn, `ratio` is the median of the quotients.
"""

import statistics
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.config import EDTConfig
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.precision import autocast
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.model.registry import get_model
from recbole_edt.recbole_bridge import Interaction
from recbole_edt.recbole_bridge.trainer import EpochTrainer
from recbole_edt.training.averaging import WeightAverage
from recbole_edt.training.optimizers import phase_optimizer
from recbole_edt.training.phase import PhaseSettings


class Catalogue:
    """What a model of item ids reads of a dataset."""

    domains = ("a", "b")

    def __init__(self, items: int):
        self.n_items = items + 1
        self.item_domain = torch.from_numpy(np.r_[-1, np.arange(items) % 2])

    def num(self, field: str) -> int:
        """Return the number of ids of a field."""
        return self.n_items

    def item_counts(self) -> np.ndarray:
        """Return each item's training interactions."""
        return np.ones(self.n_items, dtype=np.int64)

    def seen_items(self) -> np.ndarray:
        """Return which items have a training interaction."""
        return np.ones(self.n_items, dtype=bool)


def optimizer_of_run(config: EDTConfig, model: Any) -> Optimizer:
    """Return the optimizer that a run of one phase trains a model with."""
    config["checkpoint_dir"] = tempfile.mkdtemp()  # made by RecBole's constructor
    settings = PhaseSettings.from_config("train", config)
    return phase_optimizer(EpochTrainer(config, model), capabilities_of(model), settings)


class Steps:
    """Training steps of one model on random windows."""

    def __init__(self, items: int, keys: dict[str, Any], batch: int, length: int):
        own = {"loss_type": "SS", "item_projection": "none", "input_scale": 1.0}
        config = EDTConfig("SASRecLLM", "none", overrides={**own, **keys})
        self.device = config["device"]
        torch.manual_seed(0)
        self.model = get_model("SASRecLLM")(config, Catalogue(items)).to(self.device).train()
        self.optimizer = optimizer_of_run(config, self.model)
        self.average = WeightAverage(self.model, self.optimizer, 1000)
        self.items, self.size = items, (batch, length)

    def step(self) -> float:
        """Take a step and return its seconds."""
        windows = torch.randint(1, self.items + 1, self.size, device=self.device)
        labels = torch.randint(1, self.items + 1, self.size, device=self.device)
        batch = Interaction({ITEMS: windows, LABELS: labels})
        begun = time.perf_counter()
        self.optimizer.zero_grad()
        with autocast(self.model.precision, self.device):
            loss = self.model.calculate_loss(batch)
        loss.backward()
        self.optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="catalogue.py", description=__doc__)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--sparse_updates", choices=["True", "False"], default="True")
    given = parser.parse_args()
    keys = {
        "hidden_size": 64, "show_progress": False, "clip_grad_norm": {"max_norm": 1.0},
        "sparse_updates": given.sparse_updates == "True",
    }  # fmt: skip
    sizes = (given.small, given.large)
    small, large = (Steps(items, keys, given.batch, given.length) for items in sizes)
    for _ in range(3):
        small.step(), large.step()
    pairs = [(small.step(), large.step()) for _ in range(given.steps)]
    print(f"{'items':>12}{'ms per step':>14}")
    for items, side in zip(sizes, zip(*pairs, strict=True), strict=True):
        print(f"{items:12,}{1e3 * statistics.median(side):14.1f}")
    ratio = statistics.median(large / small for small, large in pairs)
    print(f"ratio {ratio:.2f}, sparse_updates {given.sparse_updates}")


if __name__ == "__main__":
    main()
