"""Check that a restructuring left every number as it was: five models, before and after.

    python benchmarks/same_metrics.py COMMIT [--models=A,B] [--epochs=2] [--dataset=ml-100k-genres]

Checks the commit out beside the working tree, trains each model with both versions under the same
Python and compares run ids, ``config.yaml``, ``test_ranks.csv`` and all of ``metrics.json`` that is
no measurement of time, memory or version. Exits with 1 when anything differs, bit by bit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from other_code import ROOT, extract

from recbole_edt.config import identity

MODELS = "LLMEDT,SASRecLLM,ABXI,SASRec,BPR"
MEASURED = {"seconds", "train_seconds", "peak_rss_mb", "processes", "device", "versions", "git"}


def train(checkout: Path, output: Path, model: str, flags: list[str]) -> tuple[Path, float]:
    """Train a model with the code of a checkout; return the run's folder and the seconds."""
    command = [
        sys.executable, "-m", "recbole_edt", "run", f"--model={model}", f"--output_dir={output}",
        *flags,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{model} in {checkout}: {done.stderr.strip().splitlines()[-1]}")
    (metrics,) = output.glob(f"*/{model}/*/metrics.json")
    return metrics.parent, time.perf_counter() - begun


def comparable(value: Any) -> Any:
    """Return a value of ``metrics.json`` without what differs between two runs of one version."""
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if k not in MEASURED}
    return [comparable(v) for v in value] if isinstance(value, list) else value


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without folders, and without later keys that change nothing."""
    return {k: v for k, v in identity(config).items() if not k.endswith("_dir")}


def differences(before: Path, after: Path) -> list[str]:
    """Return what differs between two run folders."""
    found = [] if before.name == after.name else [f"run id {before.name} and {after.name}"]
    for name in ("config.yaml", "test_ranks.csv", "metrics.json"):
        texts = [(folder / name).read_text(encoding="utf-8") for folder in (before, after)]
        if name == "metrics.json":
            texts = [json.dumps(comparable(json.loads(t)), sort_keys=True) for t in texts]
        elif name == "config.yaml":
            texts = [json.dumps(settings(yaml.safe_load(t)), sort_keys=True) for t in texts]
        if texts[0] != texts[1]:
            found.append(name)
    return found


def main() -> None:
    """Compare the working tree with a commit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commit")
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--dataset", default="ml-100k-genres")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        base = extract(args.commit, Path(folder, "base"))
        for model in args.models.split(","):
            flags = [
                f"--dataset={args.dataset}", f"--epochs={args.epochs}",
                f"--data_path={folder}/data", "--show_progress=False",
            ]  # fmt: skip
            before, old = train(base, Path(folder, "before"), model, flags)
            after, new = train(ROOT, Path(folder, "after"), model, flags)
            different = differences(before, after)
            failed |= bool(different)
            verdict = f"DIFFERENT: {', '.join(different)}" if different else "equal"
            print(f"{model}: {verdict} (wall time {new / old:.2f} x)", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
