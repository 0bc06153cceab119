"""Checks on a machine with a GPU, in a few minutes: same numbers as the CPU, speed, NCCL.

    python benchmarks/gpu_checks.py [--data_path=DIR] [--only=scores,bf16,nccl,catalogue,ranking]

- scores: LLMEDT trained on the GPU (ml-100k-genres, two epochs a phase), then loaded on GPU and
  CPU: test scores and ranks of both;
- bf16: a training step of SASRecLLM over 50,000 items, `precision: bf16` against float32;
- nccl: the collectives that torchrun's processes use, in one process, and `run` under torchrun
  with as many processes as there are GPUs, two at most;
- catalogue: a step over 1,000,000 items against one over 50,000 with `sparse_updates`;
- ranking: full ranking of ml-100k-genres against encoder, product and top-k.

Without a GPU nothing is checked; `--on_cpu` goes through the same code on the CPU, smaller. The
exit status is 1 when a check fails. Times are printed and judged by nobody.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from catalogue import Steps
from ranking import build, measure

from recbole_edt.quick_start import run_recbole_edt

DATASET = "ml-100k-genres"
_CLOSE = 1e-3  # largest difference of scores, as a share of their standard deviation
_SAME_RANKS = 0.99


class CheckFailedError(Exception):
    """A check that did not give what it has to."""


@torch.no_grad()
def _scores_and_ranks(loaded: object) -> tuple[torch.Tensor, object]:
    from recbole_edt.evaluation.ranking import rank_targets
    from recbole_edt.evaluation.scoring import score_blocks
    from recbole_edt.evaluation.targets import Targets

    targets = Targets(loaded.dataset, "test")
    blocks = score_blocks(loaded.model, targets, by_domain=True)
    found = torch.cat([block.scores.flatten().cpu() for block in blocks])
    return found, rank_targets(loaded.model, targets, "target_domain")


def scores(options: argparse.Namespace) -> str:
    """Compare scores and ranks on both devices with the same weights."""
    from recbole_edt.runs import RunFolder, load_run

    keys = {**_run_keys(options), "epochs": 2, "eval_batch_size": 256}
    folder = RunFolder(Path(run_recbole_edt("LLMEDT", DATASET, overrides=keys)["run_dir"]))
    found, ranks = [], []
    for use_gpu in (not options.on_cpu, False):
        some, its_ranks = _scores_and_ranks(load_run(folder, {"use_gpu": use_gpu}))
        found.append(some)
        ranks.append(its_ranks)
    difference = float((found[0] - found[1]).abs().max() / found[1].std())
    same = float((ranks[0] == ranks[1]).mean())
    result = f"{len(found[0]):,} scores differ by {difference:.1e} std at most, {same:.2%} of ranks"
    if difference > _CLOSE or same < _SAME_RANKS:
        raise CheckFailedError(f"{result} are equal; expected {_CLOSE} and {_SAME_RANKS:.0%}")
    return f"{result} are equal"


def bf16(options: argparse.Namespace) -> str:
    """Time steps in both precisions, in turn."""
    size = {"hidden_size": 16} if options.on_cpu else {"hidden_size": 256, "inner_size": 1024}
    batch, length, items = (16, 10, 500) if options.on_cpu else (512, 50, 50_000)
    parts = []
    for loss in ("CE", "SS"):
        keys = {**size, "loss_type": loss, "show_progress": False}
        single, mixed = (
            Steps(items, {**keys, "precision": precision}, batch, length)
            for precision in ("float32", "bf16")
        )
        pairs = _paired(single.step, mixed.step, options.steps)
        parts.append(f"{loss} {_medians(pairs, 'float32', 'bf16')}")
    return "; ".join(parts)


def catalogue(options: argparse.Namespace) -> str:
    """Time steps over a small and a large catalogue, in turn."""
    keys = {
        "hidden_size": 64, "show_progress": False, "sparse_updates": True,
        "clip_grad_norm": {"max_norm": 1.0},
    }  # fmt: skip
    sizes = (500, 10_000) if options.on_cpu else (50_000, 1_000_000)
    small, large = (Steps(items, keys, 128, 20) for items in sizes)
    pairs = _paired(small.step, large.step, options.steps)
    return _medians(pairs, *(f"{items:,} items" for items in sizes))


def _paired(
    one: Callable[[], float], other: Callable[[], float], count: int
) -> list[tuple[float, float]]:
    for _ in range(3):
        one(), other()
    return [(one(), other()) for _ in range(count)]


def _medians(pairs: list[tuple[float, float]], one: str, other: str) -> str:
    first, second = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return f"{one} {first:.1f} ms, {other} {second:.1f} ms, ratio {ratio:.2f}"


def ranking(options: argparse.Namespace) -> str:
    """Time full ranking against the least it can cost, as `ranking.py`."""
    parts = []
    keys = {key: value for key, value in _run_keys(options).items() if key != "output_dir"}
    for name in ("SASRecLLM", "LLMEDT"):
        model, targets = build(name, {**keys, "hidden_size": 64}, DATASET)
        ours, least, ratio = measure(model, targets, 3)
        parts.append(f"{name} {1e3 * ours:.0f} ms, least {1e3 * least:.0f} ms, ratio {ratio:.2f}")
    return "; ".join(parts)


def nccl(options: argparse.Namespace) -> str:
    """Go through torchrun: the collectives in one process, a run in up to two."""
    _torchrun(1, str(Path(__file__).resolve()), "--collectives")
    count = min(torch.cuda.device_count(), 2) or 1
    keys = {**_run_keys(options), "epochs": 1, "model": "SASRecLLM", "dataset": DATASET}
    flags = [f"--{key}={value}" for key, value in keys.items()]
    seconds = _torchrun(count, "-m", "recbole_edt", "run", *flags)
    return f"collectives in 1 process; run in {count} processes took {seconds:.0f} s"


def _torchrun(processes: int, *arguments: str) -> float:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, f"--nproc-per-node={processes}", *arguments]
    begun = time.perf_counter()
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        ours = [line for line in lines if line.startswith("recbole-edt:")]
        raise CheckFailedError(f"torchrun: {(ours or lines)[-1]}")
    return time.perf_counter() - begun


def collectives() -> None:
    """Use, under torchrun, every collective that `recbole_edt.distributed` uses."""
    from torch import distributed

    cuda = torch.cuda.is_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    for device in ("cpu", "cuda") if cuda else ("cpu",):
        values = torch.arange(4.0, device=device)
        distributed.broadcast(values, src=0)
        distributed.all_reduce(values)
        parts = [torch.empty_like(values)]
        distributed.all_gather(parts, values)
        assert parts[0].tolist() == [0, 1, 2, 3]
    distributed.destroy_process_group()


def _run_keys(options: argparse.Namespace) -> dict[str, object]:
    keys = {"output_dir": options.output, "show_progress": False}
    if options.data_path:
        keys["data_path"] = options.data_path
    return keys


CHECKS = {f.__name__: f for f in (scores, bf16, nccl, catalogue, ranking)}


def main() -> int:
    """Run the checks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path")
    parser.add_argument("--only", default=",".join(CHECKS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--on_cpu", action="store_true")
    parser.add_argument("--collectives", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.collectives:
        collectives()
        return 0
    if options.on_cpu:
        torch.cuda.is_available = lambda: False  # also for what is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not torch.cuda.is_available():
        print(f"skipped: torch {torch.__version__} finds no GPU")
        return 0
    name = "CPU" if options.on_cpu else torch.cuda.get_device_name(0)
    print(f"{name}, torch {torch.__version__}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        options.output = folder
        for check in options.only.split(","):
            begun = time.perf_counter()
            try:
                state, result = "ok", CHECKS[check](options)
            except Exception as error:
                failed, state = True, "FAILED"
                result = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            seconds = time.perf_counter() - begun
            print(f"{check:10}{state:8}{seconds:6.1f} s  {result}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
