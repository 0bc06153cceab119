"""A made-up comparison: runs with ranks, curves and metrics that agree with one another."""

import csv
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recbole_edt.evaluation.report import metric_names, summarise
from recbole_edt.files import write_json

METRICS = metric_names(["Hit", "NDCG", "MRR"], [5, 10])
EDGES = {
    "dominant_share": [0.6, 0.8],
    "history_length": [10, 20],
    "target_popularity": [1, 5, 20],
}
SPLIT = "5f0c1e9a" * 8


class Line(NamedTuple):
    """One row to make; `skill` moves its ranks (larger is better)."""

    label: str
    skill: float
    model: str = "SASRec"
    seeds: tuple[int, ...] = (1, 2, 3)
    failed: tuple[int, ...] = ()
    keys: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    epochs: int = 20
    seconds: float = 100.0


DEFAULT = (
    Line("LLMEDT", 1.0, "LLMEDT", keys={"recipe": "full"}, seconds=420),
    Line("SASRec", 0.55, keys={"loss_type": "CE"}, seconds=230),
    Line("a < b & ünïcode 漢字 <script>alert(1)</script>", 0.5, seeds=(1, 2), seconds=90),
    Line("GRU4Rec, with a label that somebody has made far too long for any table", 0.3,
         "GRU4Rec", failed=(2,), seconds=800),
    Line("Pop", -0.6, "Pop", epochs=1, seconds=0.4),
)  # fmt: skip


def make_comparison(
    folder: Path,
    lines: Sequence[Line] = DEFAULT,
    domains: Sequence[str] = ("books", "food", "home & garden"),
    users: int = 300,
    targets_per_user: int = 1,
) -> Path:
    """Write compare.json and all runs under `folder`, and return it."""
    rng = np.random.default_rng(7)
    n = users * targets_per_user
    known = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{k}" for k in range(users)], targets_per_user),
            "item_id": [f"i{k}" for k in rng.integers(999, size=n)],
            "domain": rng.choice(domains, n),
            "dominant_share": rng.uniform(0.4, 1.0, n).round(3),
            "history_length": rng.integers(3, 60, n),
            "target_popularity": (rng.pareto(0.7, n) * 2).astype(int),
        }
    )
    ease = rng.normal(0, 1.5, n) + np.log1p(known["target_popularity"].to_numpy())
    rows = []
    for line in lines:
        cells = []
        for seed in line.seeds:
            if seed in line.failed:
                reason = "RuntimeError: out of memory <in> epoch 3 & more"
                cells.append(_cell(seed, "failed", None, reason))
                continue
            path = folder / "runs" / f"{len(rows)}-{seed}"
            _write_run(path, line, seed, known, ease, rng)
            cells.append(_cell(seed, "done", str(path.relative_to(folder)), None))
        tuning = {"trials": 8, "space": {}, "best": {"learning_rate": 0.001}, "score": 0.1}
        rows.append(
            {
                "label": line.label,
                "model": line.model,
                "keys": line.keys,
                "tuning": tuning if line.epochs > 1 else None,
                "cells": cells,
            }
        )
    content = {"schema": 1, "dataset": "toy", "split_hash": SPLIT, "rows": rows}
    content["keys"] = {"epochs": 20, "topk": [5, 10]}
    write_json(folder / "compare.json", content)
    return folder


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Apply a function to the content of a JSON file."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def _cell(seed: int, status: str, run_dir: str | None, reason: str | None) -> dict[str, Any]:
    return {"seed": seed, "status": status, "run_dir": run_dir, "reason": reason, "seconds": 1.0}


def _write_run(
    path: Path, line: Line, seed: int, known: pd.DataFrame, ease: np.ndarray, rng: Any
) -> None:
    bonus = (line.model == "LLMEDT") * (1 - known["target_popularity"].clip(upper=20) / 20) * 0.4
    score = ease + line.skill + bonus + rng.normal(0, 0.05) + rng.normal(0, 1.2, len(known))
    ranks = np.ceil(np.exp(5.2 - score)).clip(1, 5000).astype(int).to_numpy()
    path.mkdir(parents=True)
    frame = known.assign(rank=ranks)
    columns = ["user_id", "item_id", "domain", "rank", *EDGES]
    frame[columns].to_csv(path / "test_ranks.csv", index=False)
    names = ["shared", "domain"] if line.model == "LLMEDT" else ["train"]
    test = _report(frame)
    phases, curves = _train(names, line, test, rng)
    metrics = {
        "schema": 1, "model": line.model, "dataset": "toy", "seed": seed,
        "protocol": {"split": "leave_one_out", "candidates": "target_domain", "sampled": None,
                     "topk": [5, 10], "split_hash": SPLIT},
        "valid": _scaled(test, 1.1), "test": test, "phases": phases,
        "artefacts": {"hash": "0a1b2c3d4e5f", "llm": None, "encoder": "pypi:minilm"}
        if line.model == "LLMEDT" else None,
        "cost": {"train_seconds": line.seconds * rng.uniform(0.9, 1.1),
                 "peak_rss_mb": int(900 + 50 * line.skill), "llm_tokens": 0, "llm_seconds": 0.0},
        "versions": {"python": "3.11.2", "torch": "2.13"}, "git": "0a8648b",
    }  # fmt: skip
    if line.keys.get("content_expert"):
        metrics["without_expert"] = {"valid": _scaled(test, 1.0), "test": _scaled(test, 0.9)}
    write_json(path / "metrics.json", metrics)
    with open(path / "curves.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(curves[0]))
        writer.writeheader()
        writer.writerows(curves)


def _report(frame: pd.DataFrame) -> dict[str, Any]:
    def of(chosen: Any) -> dict[str, float]:
        return summarise(frame["rank"].to_numpy()[chosen], METRICS)

    groups = {
        name: {
            (f">={low:g}" if high == np.inf else f"{low:g}-<{high:g}"): of(
                (frame[name] >= low) & (frame[name] < high)
            )
            for low, high in pairwise([0, *edges, np.inf])
        }
        for name, edges in EDGES.items()
    }
    domains = {d: of(frame["domain"] == d) for d in sorted(frame["domain"].unique())}
    return {"overall": of(slice(None)), "domains": domains, "groups": groups}


def _scaled(report: Any, factor: float) -> Any:
    """Return a report with all metrics times a factor."""
    if isinstance(report, dict):
        return {k: v if k == "users" else _scaled(v, factor) for k, v in report.items()}
    return report * factor


def _train(names: list[str], line: Line, test: dict[str, Any], rng: Any) -> tuple[Any, Any]:
    phases, curves, level = [], [], 0.0
    for name in names:
        epochs = line.epochs if name != "domain" else max(line.epochs // 2, 1)
        start, end = level, 1.1 if name == names[-1] else 1.0
        at = [start + (end - start) * (1 - np.exp(-4 * e / epochs)) for e in range(epochs + 1)]
        for epoch in range(name != "domain", epochs):
            noise = rng.normal(0, 0.01)
            values = {m: v * (at[epoch] + noise) for m, v in test["overall"].items() if "@" in m}
            loss = 9 * np.exp(-epoch / 9) if line.epochs > 1 else 0.0
            curves.append({"phase": name, "epoch": epoch, "loss": loss, "seconds": 1.0, **values})
        if line.epochs == 1:
            values = {m: v for m, v in test["overall"].items() if "@" in m}
            curves.append({"phase": name, "epoch": 1, "loss": 0.0, "seconds": 0.4, **values})
        level = 1.0
        best: Any = max(epochs - 3, 1)
        if name == "domain":
            best = {d: max(epochs - 3 - k, 0) for k, d in enumerate(test["domains"])}
        after = {"valid": _scaled(test, 1.0), "test": _scaled(test, 0.95)}
        shown = after if name != names[-1] else {}
        phases.append(
            {"name": name, "epochs": epochs, "best_epoch": best, "seconds": 10.0, **shown}
        )
    return phases, curves
