"""Small shops with hand-made item vectors, and answers for the fake language model."""

import re
from pathlib import Path

import numpy as np

from recbole_edt.artefacts import store
from recbole_edt.artefacts.make import make_artefacts
from recbole_edt.artefacts.task import ArtefactTask
from recbole_edt.artefacts.training_rows import TrainingRows
from recbole_edt.data.split import load_or_make_split

CANDIDATE = re.compile(r'^(\d+)\. "(.*)"$', re.MULTILINE)
INTER_HEADER = "user_id:token\titem_id:token\ttimestamp:float"
ITEM_HEADER = "item_id:token\tdomain:token\ttitle:token_seq"


def reported(config, folder, name, split, only, dry_run, **more):
    """Make artefacts and return what the command prints."""
    reports = make_artefacts(config, folder, name, split, only=only, dry_run=dry_run, **more)
    return "\n".join(report.text for report in reports)


def candidates(text):
    """Return the candidates of a prompt, number to title."""
    return {
        int(number): title for number, title in CANDIDATE.findall(text.partition("Candidates")[2])
    }


def picks(wanted):
    """Return an answer that names the candidates whose titles are wanted."""

    def answer(text):
        chosen = [str(n) for n, title in candidates(text).items() if title in wanted]
        return ", ".join(chosen) or "none"

    return answer


def shown(text):
    """Return the list items of a prompt."""
    return [line for line in text.splitlines() if line.startswith("- ")]


def repeat_titles(text):
    """Return the titles in a prompt, in one line."""
    return "likes " + " and ".join(line[3:-1] for line in shown(text))


def unit(angle):
    """Return the vector at an angle in degrees."""
    return [float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))]


def make_training(histories, item_domains, domains):
    """Return training rows of users u0, u1 ... from lists of catalogue rows."""
    lengths = [len(history) for history in histories]
    items = np.array([item for history in histories for item in history], dtype=np.int64)
    item_domains = np.array(item_domains, dtype=np.int64)
    return TrainingRows(
        users=np.repeat(np.arange(len(histories)), lengths),
        items=items,
        times=np.concatenate([np.arange(n, dtype=np.float64) for n in lengths]),
        domains=item_domains[items],
        starts=np.r_[0, np.cumsum(lengths)],
        user_tokens=[f"u{n}" for n in range(len(histories))],
        domain_names=[f"d{k}" for k in range(domains)],
        item_domains=item_domains,
    )


def write_files(folder: Path, histories: dict[str, list[str]], items: dict[str, tuple[str, str]]):
    """Write ``toy.inter`` and ``toy.item`` and return their folder.

    `histories` is user -> items, oldest first, ten seconds apart; `items` is item -> (domain,
    title).
    """
    folder.mkdir(parents=True, exist_ok=True)
    inter = [INTER_HEADER]
    for user, history in histories.items():
        inter += [f"{user}\t{item}\t{10 * n}" for n, item in enumerate(history)]
    (folder / "toy.inter").write_text("\n".join(inter) + "\n", encoding="utf-8")
    lines = [f"{item}\t{domain}\t{title}" for item, (domain, title) in items.items()]
    text = "\n".join([ITEM_HEADER, *lines]) + "\n"
    (folder / "toy.item").write_text(text, encoding="utf-8")
    return folder


def write_shop(folder: Path, rows: str, titles: dict[str, str]) -> Path:
    """Write a shop from lines such as ``ann: a1 b2 a3`` and return its folder.

    An item's domain is its first letter.
    """
    lines = (line.split(":") for line in rows.strip().splitlines())
    histories = {user.strip(): items.split() for user, items in lines}
    return write_files(folder, histories, {item: (item[0], t) for item, t in titles.items()})


def make_task(folder, config, histories, items, **keys):
    """Write a shop with item vectors and return the task of its set.

    The last two items of each history are held out; `items` is item -> (domain, title, vector).
    """
    write_files(folder, histories, {item: (domain, t) for item, (domain, t, _) in items.items()})
    toy = {"augment_mode": "select", "augment_pool_by": "similarity", "augment_imbalance": 0.6}
    config = config | toy | {"seed": 2026} | keys
    split = load_or_make_split(folder, "toy", "leave_one_out")
    task = ArtefactTask.from_config(config, folder, "toy", split)
    vectors = np.array([vector for _, _, vector in items.values()], dtype=np.float16)
    hashes = store.save_item_vectors(task.folder, task.catalogue.ids, vectors)
    entry = {"items": len(vectors), "dim": vectors.shape[1], "sha256": hashes}
    task.record(store.EMBEDDINGS, entry)
    return task
