"""Time and memory of `prepare amazon` on generated dumps of two categories.

Usage: python benchmarks/prepare_amazon.py [--reviews=10000000] [--folder=DIR]
The dumps (about 1.4 GB for 10 million reviews) are deleted afterwards.
"""

import argparse
import gzip
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

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


def main() -> None:
    """Generate, prepare in a process of its own, print its time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=10_000_000)
    parser.add_argument("--folder", help="where the dumps go for a while (default: the system's)")
    options = parser.parse_args()
    rows = options.reviews
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        begin = time.perf_counter()
        for seed, (domain, share) in enumerate((("cloth", 0.8), ("sport", 0.2))):
            size = int(rows * share)
            prefix = f"B{seed}"
            users, items = rows // 3, max(size // 12, 10)
            write_reviews(folder / f"{domain}.json.gz", prefix, size, users, items, seed)
            write_items(folder / f"meta_{domain}.json.gz", prefix, items)
        bytes_on_disk = sum(file.stat().st_size for file in folder.iterdir())
        print(
            f"generated {rows:,} reviews, {bytes_on_disk / 1e9:.2f} GB gzipped, in "
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        command = [
            *(sys.executable, "-m", "recbole_edt", "prepare", "amazon", "--dataset=generated"),
            f"--reviews=cloth={folder}/cloth.json.gz,sport={folder}/sport.json.gz",
            f"--metadata=cloth={folder}/meta_cloth.json.gz,sport={folder}/meta_sport.json.gz",
            *("--min_user_inter=5", "--min_item_inter=5", "--min_user_domains=2"),
            *("--require_title", "--duplicates=first", f"--data_path={folder}/dataset"),
        ]
        begin = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"prepared in {seconds:.0f} s, {rows / seconds:,.0f} reviews/s, peak {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
