"""Time and peak memory per interaction of each stage, over generated data of several sizes.

    python benchmarks/scale.py [--sizes=0.1,1,5] [--folder=DIR] [--before=COMMIT]
        [--steps=50] [--users=2000]

Sizes are millions of interactions (100 on demand). Stages, each in a process of its own: prepare
(``prepare csv``), open (the dataset, targets and training batches), steps (`--steps` steps of a
SASRec of ids with the sampled loss, and sparse updates where the code knows them), evaluation
(`--users` test users). steps and evaluation open the dataset first; their time does not count
that, their memory does. The growth exponent is the slope of log time over log size: 1 is linear,
0 does not depend on the size.

A stage that is in `--folder` already is not measured again. `--before` measures the code of a
commit as well.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from other_code import ROOT, extract
from tabulate import tabulate

STAGES = ("prepare", "open", "steps", "evaluation")
MODEL = {
    "model": "SASRecLLM", "item_projection": "none", "hidden_size": 64, "inner_size": 256,
    "loss_type": "SS", "train_batch_size": 256,
}  # fmt: skip


def generate(folder: Path, rows: int) -> None:
    """Write CSV files of a two-domain dataset: long-tailed items, 20 interactions a user."""
    if (folder / "items.csv").is_file():
        return
    rng, users = np.random.default_rng(1), rows // 20
    items = max(200, rows // 100)
    with open(folder / "inter.csv", "w", encoding="utf-8") as handle:
        handle.write("user_id,item_id,timestamp\n")
        for start in range(0, users, 50_000):
            user = np.repeat(np.arange(start, min(start + 50_000, users)), 20)
            item = (items * rng.random(len(user)) ** 2).astype(np.int64)
            second = 1_500_000_000 + rng.integers(0, 10**8, len(user))
            lines = zip(user.tolist(), item.tolist(), second.tolist(), strict=True)
            handle.write("".join(f"u{u},i{i},{s}\n" for u, i, s in lines))
    with open(folder / "items.csv", "w", encoding="utf-8") as handle:
        handle.write("item_id,domain,title\n")
        handle.write("".join(f"i{i},{'ab'[i % 2]},title of {i}\n" for i in range(items)))


def work(stage: str, folder: Path, steps: int, users: int) -> None:
    """Do a stage in this process and print its figures as one line of JSON."""
    begin = time.perf_counter()
    if stage == "prepare":
        from recbole_edt.cli import dispatch

        begin = time.perf_counter()
        status = dispatch(
            ["prepare", "csv", f"--inter={folder}/inter.csv", f"--items={folder}/items.csv",
             "--dataset=scale", f"--data_path={folder}/data"]
        )  # fmt: skip
        report(time.perf_counter() - begin)
        sys.exit(status)
    import torch

    from recbole_edt.config import EDTConfig
    from recbole_edt.data.dataset import CrossDomainDataset
    from recbole_edt.errors import UserError
    from recbole_edt.evaluation.ranking import rank_targets
    from recbole_edt.runs.assembly import build_model, prepare_data

    keys = {**MODEL, "dataset": "scale", "data_path": f"{folder}/data", "show_progress": False}
    try:
        config = EDTConfig(overrides={**keys, "sparse_updates": True})
    except UserError:  # a commit before that key
        config = EDTConfig(overrides=keys)
    begin = time.perf_counter()
    dataset = CrossDomainDataset(config)
    loader, _, test = prepare_data(config, dataset)
    if stage == "open":
        return report(time.perf_counter() - begin)
    model = build_model(config, dataset)
    if stage == "steps":
        optimizer = make_optimizer(config, model)
        begin, done = time.perf_counter(), 0
        for batch in loader:
            optimizer.zero_grad()
            model.calculate_loss(batch.to(config["device"])).backward()
            optimizer.step()
            done += 1
            if done == steps:
                break
        return report(time.perf_counter() - begin, done)
    model.eval()
    chosen = np.arange(min(users, len(test)))
    test.batches = lambda size: (chosen[k : k + size] for k in range(0, len(chosen), size))
    begin = time.perf_counter()
    with torch.no_grad():
        rank_targets(model, test, config["candidates"])
    return report(time.perf_counter() - begin, len(chosen))


def make_optimizer(config: Any, model: Any) -> Any:
    """Return the optimizer of a run, or torch's Adam of a commit that has no sparse updates."""
    import torch

    if not config.final_config_dict.get("sparse_updates"):
        return torch.optim.Adam(model.parameters())
    from catalogue import optimizer_of_run

    return optimizer_of_run(config, model)


def report(seconds: float, units: int | None = None) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("\nSCALE " + json.dumps({"seconds": seconds, "bytes": peak, "units": units}), flush=True)


def measure(checkout: Path, stage: str, folder: Path, options: argparse.Namespace) -> dict:
    """Run a stage with the code of a checkout, unless its figures are in the folder."""
    path = folder / f"{stage}.json"
    if path.is_file():
        return json.loads(path.read_text())
    command = [
        sys.executable, str(Path(__file__).resolve()), f"--stage={stage}", f"--folder={folder}",
        f"--steps={options.steps}", f"--users={options.users}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SCALE ")]
    if done.returncode or not lines:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        print(f"  {stage} failed: {last}", flush=True)
        return {}
    path.write_text(lines[-1].removeprefix("SCALE "))
    return json.loads(path.read_text())


def exponent(found: list[tuple[int, float]]) -> float:
    """Return the slope of log time over log size."""
    if len(found) < 2:
        return math.nan
    size, seconds = np.log(np.array(found)).T
    return float(np.polyfit(size, seconds, 1)[0])


def main() -> None:
    """Measure all stages of all sizes and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="0.1,1,5")
    parser.add_argument("--folder", default=str(Path(tempfile.gettempdir(), "recbole-edt-scale")))
    parser.add_argument("--before")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--stage", choices=STAGES)
    options = parser.parse_args()
    root = Path(options.folder).resolve()
    if options.stage:
        return work(options.stage, root, options.steps, options.users)
    root.mkdir(parents=True, exist_ok=True)
    checkouts = {"now": ROOT}
    if options.before:
        code = extract(options.before, root / f"code-{options.before}")
        checkouts = {options.before: code, **checkouts}
    lines, results = [], []
    for name, checkout in checkouts.items():
        times: dict[str, list[tuple[int, float]]] = {stage: [] for stage in STAGES}
        for million in map(float, options.sizes.split(",")):
            rows = round(million * 1e6)
            raw, folder = root / f"{rows}", root / f"{rows}-{name}"
            for path in (raw, folder):
                path.mkdir(exist_ok=True)
            print(f"{name}, {rows:,} interactions", flush=True)
            generate(raw, rows)
            for file in ("inter.csv", "items.csv"):
                if not (folder / file).exists():
                    (folder / file).symlink_to(raw / file)
            for stage in STAGES:
                figures = measure(checkout, stage, folder, options)
                if not figures:
                    break
                print(f"  {stage}: {figures['seconds']:.2f} s", flush=True)
                times[stage].append((rows, figures["seconds"]))
                results.append({"code": name, "rows": rows, "stage": stage, **figures})
        for stage in STAGES:
            for result in results:
                if (result["code"], result["stage"]) == (name, stage):
                    seconds, rows = result["seconds"], result["rows"]
                    lines.append(
                        [stage, name, f"{rows:,}", f"{seconds:.2f}", f"{seconds / rows * 1e6:.3f}",
                         f"{result['bytes'] / 2**20:,.0f}", f"{result['bytes'] / rows:,.0f}",
                         f"{exponent(times[stage]):.2f}"]
                    )  # fmt: skip
    lines.sort(key=lambda line: STAGES.index(line[0]))
    head = ["stage", "code", "interactions", "seconds", "µs per interaction", "peak MiB",
            "bytes per interaction", "exponent"]  # fmt: skip
    print(tabulate(lines, head, tablefmt="pipe", disable_numparse=True))
    (root / "scale.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {root / 'scale.json'}")


if __name__ == "__main__":
    main()
