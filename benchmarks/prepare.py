"""CPU seconds, rate and peak memory of `prepare` on generated data, beside a commit before.

Usage: python benchmarks/prepare.py [--kind=csv|amazon|netflix] [--rows=1000000]
       [--before=COMMIT] [--folder=DIR]

`csv` are two tables, `amazon` gzipped dumps of 2018 of two categories, `netflix` the layout of
Netflix Prize (``--rows=100000000`` is its size). With `--before`, the code of that commit
prepares the same files, the written tables are compared, and the ratio of the CPU seconds is
printed, which other programs on the machine hardly change. The data are deleted afterwards.
"""

import argparse
import filecmp
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from other_code import ROOT, extract

CHUNK = 200_000
WORDS = ["good", "size", "fits", "colour", "quality", "price", "shipping", "fast", "love", "wear"]
DESCRIPTION = " ".join(WORDS * 3)


def write_reviews(path: Path, prefix: str, rows: int, users: int, items: int, seed: int) -> None:
    """Write reviews in the form of 2018; users and items have long-tailed activity."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(5, 120, 997)]
    with gzip.open(path, "wb", compresslevel=1) as handle:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            user = (users * rng.random(size) ** 2.5).astype(np.int64)
            item = (items * rng.random(size) ** 3).astype(np.int64)
            second = rng.integers(1_000_000_000 // 86400, 1_538_000_000 // 86400, size) * 86400
            star = rng.integers(1, 6, size)
            text = rng.integers(0, len(texts), size)
            handle.write(
                "".join(
                    f'{{"overall": {r}.0, "verified": true, "reviewTime": "05 4, 2014", '
                    f'"reviewerID": "A{u:013d}", "asin": "{prefix}{i:08d}", '
                    f'"style": {{"Size:": " Large"}}, "reviewerName": "someone", '
                    f'"reviewText": "{texts[t]}", "summary": "five stars", '
                    f'"unixReviewTime": {s}}}\n'
                    for r, u, i, t, s in zip(
                        star.tolist(),
                        user.tolist(),
                        item.tolist(),
                        text.tolist(),
                        second.tolist(),
                        strict=True,
                    )
                ).encode()
            )


def write_items(path: Path, prefix: str, items: int) -> None:
    """Write metadata in the form of 2018, one in ten without a title."""
    also = ", ".join(f'"B{number:09d}"' for number in range(60))
    with gzip.open(path, "wb", compresslevel=1) as handle:
        for start in range(0, items, CHUNK):
            handle.write(
                "".join(
                    f'{{"category": ["A", "B"], "description": ["{DESCRIPTION}"], '
                    f'"title": "{"" if i % 10 == 0 else f"Product &amp; part {i}"}", '
                    f'"also_buy": [{also}], "asin": "{prefix}{i:08d}"}}\n'
                    for i in range(start, min(start + CHUNK, items))
                ).encode()
            )


def make_csv(folder: Path, rows: int) -> list[str]:
    """Write two tables; return the arguments that prepare them."""
    rng = np.random.default_rng(0)
    n_users, n_items = max(rows // 10, 10), max(rows // 50, 10)
    with open(folder / "inter.csv", "w") as handle:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            frame = pd.DataFrame(
                {
                    "user_id": (n_users * rng.random(size) ** 2).astype(np.int64),
                    "item_id": (n_items * rng.random(size) ** 2).astype(np.int64),
                    "timestamp": rng.integers(1_300_000_000, 1_600_000_000, size),
                }
            )
            frame["user_id"] = "user" + frame["user_id"].astype(str)
            frame.to_csv(handle, index=False, header=not start)
    items = pd.DataFrame({"item_id": np.arange(n_items)})
    items["domain"] = np.where(items["item_id"] % 2, "food", "kitchen")
    items["title"] = "Title number " + items["item_id"].astype(str)
    items.to_csv(folder / "items.csv", index=False)
    return ["csv", f"--inter={folder}/inter.csv", f"--items={folder}/items.csv"]


def make_amazon(folder: Path, rows: int) -> list[str]:
    """Write dumps of two categories; return the arguments that prepare them."""
    for seed, (domain, share) in enumerate((("cloth", 0.8), ("sport", 0.2))):
        size = int(rows * share)
        items = max(size // 12, 10)
        write_reviews(folder / f"{domain}.json.gz", f"B{seed}", size, rows // 3, items, seed)
        write_items(folder / f"meta_{domain}.json.gz", f"B{seed}", items)
    return [
        *("amazon", f"--reviews=cloth={folder}/cloth.json.gz,sport={folder}/sport.json.gz"),
        f"--metadata=cloth={folder}/meta_cloth.json.gz,sport={folder}/meta_sport.json.gz",
        *("--min_user_inter=5", "--min_item_inter=5", "--min_user_domains=2"),
        *("--require_title", "--duplicates=first"),
    ]


def make_netflix(folder: Path, rows: int) -> list[str]:
    """Write the layout of Netflix Prize; return the arguments that prepare it."""
    rng = np.random.default_rng(0)
    movies, n_users = 17_770, 480_189
    share = rng.random(movies) ** 3
    sizes = np.maximum((share / share.sum() * rows).astype(np.int64), 1)
    days = np.array([str(np.datetime64("1999-11-11") + day) for day in range(2_200)], dtype=object)
    for part, numbers in enumerate(np.array_split(np.arange(movies), 4), 1):
        with open(folder / f"combined_data_{part}.txt", "w") as handle:
            for movie in numbers.tolist():
                size = sizes[movie]
                user = (2_649_429 / n_users * np.floor(n_users * rng.random(size) ** 1.5)).astype(
                    np.int64
                )
                star, day = rng.integers(1, 6, size), days[rng.integers(0, len(days), size)]
                lines = (
                    f"{u},{s},{d}"
                    for u, s, d in zip(user.tolist(), star.tolist(), day, strict=True)
                )
                handle.write(f"{movie + 1}:\n" + "\n".join(lines) + "\n")
    with open(folder / "movie_titles.csv", "w", encoding="latin-1") as handle:
        for movie in range(movies):
            series = ": Season 1" if movie % 5 == 0 else ", The Caf\xe9"
            handle.write(f"{movie + 1},{1950 + movie % 55},Title {movie}{series}\n")
    return ["netflix", f"--raw={folder}"]


MAKERS = {"csv": make_csv, "amazon": make_amazon, "netflix": make_netflix}


def timed(root: Path, arguments: list[str], out: Path) -> tuple[float, float, float]:
    """Prepare with the code in `root`; return CPU seconds, seconds and the peak memory in GB."""
    command = [sys.executable, "-P", "-m", "recbole_edt", "prepare", *arguments]
    begin, before, peak = time.perf_counter(), os.times(), 0
    with subprocess.Popen(
        [*command, "--dataset=generated", f"--data_path={out}"],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
    ) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"prepare ended with status {process.returncode}")
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
    return cpu, time.perf_counter() - begin, peak / 1e9


def main() -> None:
    """Generate, prepare with each code in a process of its own, print rates and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=MAKERS, default="csv")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--before", help="commit to compare with (default: none)")
    parser.add_argument("--folder", help="where the data go for a while (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        arguments = MAKERS[options.kind](folder / "raw", options.rows)
        size = sum(file.stat().st_size for file in (folder / "raw").iterdir())
        print(f"{options.kind}: {options.rows:,} rows, {size / 1e9:.2f} GB", flush=True)
        sides = {"now": ROOT}
        if options.before:
            sides = {"before": extract(options.before, folder / "code")} | sides
        cpu = {}
        for side, root in sides.items():
            cpu[side], seconds, peak = timed(root, arguments, folder / side)
            print(
                f"{side:>7}: {cpu[side]:7.1f} CPU s, {options.rows / cpu[side]:11,.0f} rows/CPU s, "
                f"{seconds:7.1f} s, {options.rows / seconds:11,.0f} rows/s, peak {peak:.2f} GB",
                flush=True,
            )
        if options.before:
            tables = [f"generated/generated.{end}" for end in ("inter", "item")]
            _, differ, missing = filecmp.cmpfiles(
                folder / "before", folder / "now", tables, shallow=False
            )
            same = "the same tables" if not differ + missing else f"DIFFERENT: {differ + missing}"
            print(f"  ratio: {cpu['before'] / cpu['now']:.1f} times; {same}")


if __name__ == "__main__":
    main()
