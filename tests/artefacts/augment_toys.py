"""Small shops with hand-made item vectors, and language models that answer as told."""

import re

import numpy as np

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.task import Task, Training
from recbole_edt.data.split import load_or_make_split
from recbole_edt.llm.cached import CachedClient
from recbole_edt.llm.client import Reply, Scores
from recbole_edt.llm.store import ReplyStore

CANDIDATE = re.compile(r'^(\d+)\. "(.*)"$', re.MULTILINE)


class ToldModel:
    """Answers `answer(user text)` to a prompt and scores a title by `value(title)`."""

    exact_tokens = True
    free_to_try = True

    def __init__(self, answer=lambda text: "none", value=len):
        self.identity = {"client": "told"}
        self.source = {"llm": "told"}
        self.answer, self.value = answer, value
        self.asked = []

    def generate(self, prompts, settings, done=None):
        return [
            self._tell(i, prompt, self._reply(prompt), done) for i, prompt in enumerate(prompts)
        ]

    def score(self, prompts, continuations, done=None):
        answers = []
        for i, (prompt, texts) in enumerate(zip(prompts, continuations, strict=True)):
            sums = tuple(float(self.value(text)) for text in texts)
            answers.append(self._tell(i, prompt, Scores(sums, (1,) * len(sums), 5), done))
        return answers

    def count_tokens(self, prompts):
        return np.array([len(prompt.user.split()) for prompt in prompts], dtype=np.int64)

    def _reply(self, prompt):
        answer = self.answer(prompt.user)
        return answer if isinstance(answer, Reply) else Reply(answer, 7, 2)

    def _tell(self, index, prompt, answer, done):
        self.asked.append(prompt.user)
        if done:
            done([(index, answer)])
        return answer


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


def unit(angle):
    """Return the vector at an angle in degrees."""
    return [float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))]


def make_training(histories, item_domains, domains):
    """Return training rows of users u0, u1 ... from lists of catalogue rows."""
    lengths = [len(history) for history in histories]
    items = np.array([item for history in histories for item in history], dtype=np.int64)
    item_domains = np.array(item_domains, dtype=np.int64)
    return Training(
        users=np.repeat(np.arange(len(histories)), lengths),
        items=items,
        times=np.concatenate([np.arange(n, dtype=np.float64) for n in lengths]),
        domains=item_domains[items],
        starts=np.r_[0, np.cumsum(lengths)],
        user_tokens=[f"u{n}" for n in range(len(histories))],
        domain_names=[f"d{k}" for k in range(domains)],
        item_domains=item_domains,
    )


def make_task(folder, config, histories, items, model=None, **keys):
    """Write a shop and return the task of its set.

    `histories` is user -> items, the last two of which are held out; `items` is item ->
    (domain, title, vector).
    """
    folder.mkdir(parents=True, exist_ok=True)
    inter = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, history in histories.items():
        inter += [f"{user}\t{item}\t{10 * n}" for n, item in enumerate(history)]
    (folder / "toy.inter").write_text("\n".join(inter) + "\n", encoding="utf-8")
    lines = ["item_id:token\tdomain:token\ttitle:token_seq"]
    lines += [f"{item}\t{domain}\t{title}" for item, (domain, title, _) in items.items()]
    (folder / "toy.item").write_text("\n".join(lines) + "\n", encoding="utf-8")
    toy = {"augment_mode": "select", "augment_pool_by": "similarity", "augment_imbalance": 0.6}
    config = config | toy | {"seed": 2026} | keys
    split = load_or_make_split(folder, "toy", "leave_one_out")
    settings = ArtefactSettings.from_config(config)
    catalogue = read_catalogue(folder, "toy", settings.text_template)
    identity = settings.identity(catalogue, split)
    target = store.set_folder(folder, identity)
    vectors = np.array([vector for _, _, vector in items.values()], dtype=np.float16)
    hashes = store.save_item_vectors(target, catalogue.ids, vectors)
    made = {"items": len(vectors), "dim": vectors.shape[1], "sha256": hashes}
    store.record_part(target, "toy", identity, store.EMBEDDINGS, made)
    task = Task(config, folder, "toy", settings, catalogue, split, identity, target)
    if model is not None:
        client = CachedClient(model, ReplyStore(folder / "artefacts"))
        task.__dict__["_client"] = client
    return task
