"""What full ranking costs beside the least it can: encoder, one matrix product and a top-k.

    python benchmarks/ranking.py --data_path=DIR --dataset=NAME [--models=LLMEDT,SASRecLLM,SASRec]

Models have their initial weights and item ids in place of LLM vectors, which changes no shape.
Both sides score the same test targets in the same batches and are timed in turn; each figure is
the median over repetitions, `ratio` that of the quotients.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.scoring import histories_of
from recbole_edt.evaluation.targets import Targets
from recbole_edt.runs.assembly import build_model, prepare_data, seed_everything

IDS_ONLY = {"item_projection": "none", "input_scale": 1.0}


def build(model: str, keys: dict[str, Any], dataset: str) -> tuple[Any, Targets]:
    """Return a model with its initial weights, in its last phase, and the test targets."""
    own = IDS_ONLY if model in ("LLMEDT", "SASRecLLM") else {}
    config = EDTConfig(model, dataset, overrides={**own, **keys})
    seed_everything(config)
    loader, _, test = prepare_data(config, CrossDomainDataset(config))
    network = build_model(config, loader.dataset)
    if model == "LLMEDT":
        network.begin_phase("domain")
    return network.eval(), test


def inputs(model: Any, targets: Targets) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """Yield batches as ranking makes them, with the item table and each target's domain."""
    for at in targets.batches(targets.part.config["eval_batch_size"]):
        batch = histories_of(targets, at)
        domains = torch.from_numpy(targets.domains[at]).to(batch[model.ITEM_SEQ].device)
        yield batch, domains, torch.arange(len(at), device=domains.device)


def least(model: Any, batches: list[tuple[Any, Tensor, Tensor]], table: Tensor, k: int) -> None:
    """Encode, multiply with all items and take the best."""
    for batch, domains, row in batches:
        if hasattr(model, "last_states"):
            state = torch.stack(list(model.last_states(batch)))[domains, row]
        else:  # of RecBole
            state = model.forward(batch[model.ITEM_SEQ], batch[model.ITEM_SEQ_LEN])
        (state @ table.T).topk(k, dim=1)


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


@torch.no_grad()
def measure(model: Any, targets: Targets, repetitions: int) -> tuple[float, float, float]:
    """Return the seconds of ranking and of the least, and their ratio."""
    own = hasattr(model, "whole_table")
    table = model.whole_table()[0] if own else model.item_embedding.weight.detach()
    batches, k = list(inputs(model, targets)), max(targets.part.config["topk"])

    def rank() -> None:
        rank_targets(model, targets, "target_domain")

    def reference() -> None:
        least(model, batches, table, k)

    seconds(rank), seconds(reference)
    pairs = [(seconds(rank), seconds(reference)) for _ in range(repetitions)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    return *(statistics.median(side) for side in zip(*pairs, strict=True)), ratio


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="ranking.py", description=__doc__)
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--models", default="LLMEDT,SASRecLLM,SASRec")
    parser.add_argument("--hidden_size", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    keys = {
        "data_path": str(given.data_path), "hidden_size": given.hidden_size, "show_progress": False,
    }  # fmt: skip
    print(f"{'model':12}{'targets':>9}{'items':>9}{'ranking s':>11}{'least s':>9}{'ratio':>7}")
    for name in given.models.split(","):
        model, targets = build(name, keys, given.dataset)
        ours, theirs, ratio = measure(model, targets, given.repetitions)
        items = targets.part.item_num - 1
        print(f"{name:12}{len(targets):9,}{items:9,}{ours:11.2f}{theirs:9.2f}{ratio:7.2f}")


if __name__ == "__main__":
    main()
