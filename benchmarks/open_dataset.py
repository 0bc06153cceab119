"""Seconds and memory of opening a dataset: first time (the store is built), then again.

    python benchmarks/open_dataset.py [--interactions=5000000] [--items=50000] [--before=CHECKOUT]

Generates users with about 50 interactions each in two domains. Each line is a fresh process that
opens the dataset, builds its parts and draws the batches of one training epoch of a model that
trains on windows. Memory is bytes per interaction above the process after its imports: `private`
(USS) once all is open, `resident` with the mapped pages that processes share, `peak` at most.
`--before` is a checkout of another commit, measured beside this one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_ROWS = 1 << 20  # written at a time


def generate(folder: Path, interactions: int, items: int) -> None:
    """Write a dataset of two domains, sorted by user and time."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with open(folder / f"{folder.name}.item", "w", encoding="utf-8") as file:
        file.write("item_id:token\tdomain:token\ttitle:token_seq\n")
        file.writelines(f"i{n}\t{'ab'[n % 2]}\ttitle {n}\n" for n in range(items))
    with open(folder / f"{folder.name}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for start in range(0, interactions, _ROWS):
            rows = range(start, min(start + _ROWS, interactions))
            numbers = (rng.random(len(rows)) ** 3 * items).astype(int).tolist()
            file.writelines(
                f"u{row // 50}\ti{item}\t{1_400_000_000 + 60 * (row % 50) + row // 50}\n"
                for row, item in zip(rows, numbers, strict=True)
            )


def measure(folder: Path) -> dict[str, float]:
    """Open the dataset in this process and return seconds and bytes."""
    import psutil

    from recbole_edt.config import EDTConfig
    from recbole_edt.data.dataset import CrossDomainDataset
    from recbole_edt.data.windows import WindowLoader

    process = psutil.Process()
    config = EDTConfig("SASRec", folder.name, overrides={"data_path": str(folder.parent)})
    before, begin = process.memory_full_info(), time.perf_counter()
    parts = CrossDomainDataset(config).build()
    seconds = time.perf_counter() - begin
    loader = WindowLoader(parts[0], 50, 256, 1)
    batches = iter(loader)
    next(batches)
    after, count = process.memory_full_info(), len(parts[0].codes)
    peak = _peak() - before.rss
    return {
        "seconds": seconds,
        "private": (after.uss - before.uss) / count,
        "resident": (after.rss - before.rss) / count,
        "peak": peak / count,
    }


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=float, default=5e6)
    parser.add_argument("--items", type=float, default=5e4)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return
    here = Path(__file__).resolve().parents[1]
    checkouts = {"now": here} | ({"before": args.before.resolve()} if args.before else {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "made"
        generate(folder, int(args.interactions), int(args.items))
        print(f"{'':16}   seconds   private  resident      peak (bytes per interaction)")
        for name, checkout in checkouts.items():
            for attempt in ("first", "second"):
                command = [sys.executable, str(Path(__file__).resolve()), "--measure", str(folder)]
                environment = os.environ | {"PYTHONPATH": str(checkout)}
                output = subprocess.run(
                    command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE
                ).stdout
                found = json.loads(output.splitlines()[-1])
                print(f"{name + ' ' + attempt:16} " + " ".join(f"{v:9.1f}" for v in found.values()))


if __name__ == "__main__":
    main()
