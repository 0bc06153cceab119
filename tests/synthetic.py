"""Small made-up datasets, and the ml-100k files of the recbole wheel cut down."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import cli
from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.config import EDTConfig
from recbole_edt.data.split import load_or_make_split
from recbole_edt.files import sha256_of

INTER_HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
ITEM_HEADER = "item_id:token\tdomain:token\ttitle:token_seq\n"
NAMES = ("even", "odd")
SHORT_USERS = {"one": 1, "two": 2, "three": 3}


def write_inter(path: Path, rows: list[tuple[str, str, int]]) -> None:
    """Write (user, item, time) rows as they come."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(INTER_HEADER + "".join(f"{u}\t{i}\t{t}\n" for u, i, t in rows))


def write_items(path: Path, rows: list[tuple[str, str]]) -> None:
    """Write (item, domain) rows with a title each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ITEM_HEADER + "".join(f"{i}\t{d}\ttitle of {i}\n" for i, d in rows))


def make_dataset(
    folder: Path, name: str = "toy", users: int = 40, domains: int = 3, seed: int = 0
) -> Path:
    """Write NAME.inter and NAME.item below `folder`, sorted by user and time; return their folder.

    Per domain there are 14 items ``DOMAIN-0`` ..: number 12 is only ever somebody's last item,
    number 13 has no interaction. Every fourth user stays in one domain, nobody has an item
    twice, and the users called after `SHORT_USERS` have so many interactions.
    """
    rng = np.random.default_rng(seed)
    names = [f"d{k}" for k in range(domains)]
    popularity = 1 / np.arange(1, 13)
    lengths = {f"u{n}": int(rng.integers(5, 12)) for n in range(users)} | SHORT_USERS
    rows = []
    for number, (user, length) in enumerate(lengths.items()):
        here = [names[number // 4 % domains]] if number % 4 == 0 else names
        pool = [f"{domain}-{i}" for domain in here for i in range(12)]
        weights = np.tile(popularity, len(here))
        items = rng.choice(pool, length, replace=False, p=weights / weights.sum()).tolist()
        if number < 2 * domains:
            items[-1] = f"{names[number % domains]}-12"
        times = 1_500_000_000 + rng.integers(0, 10**7) + np.cumsum(rng.integers(1, 99, length))
        rows += [(user, item, int(time)) for item, time in zip(items, times, strict=True)]
    rows.sort(key=lambda row: (row[0], row[2]))
    write_inter(folder / name / f"{name}.inter", rows)
    order = rng.permutation([f"{domain}-{i}" for domain in names for i in range(14)])
    write_items(folder / name / f"{name}.item", [(item, item.split("-")[0]) for item in order])
    return folder / name


def give_vectors(folder: Path, size: int = 12, seed: int = 0, split: str = "leave_one_out") -> Path:
    """Store random item vectors for the default configuration of the dataset in `folder`."""
    config = EDTConfig("LLMEDT", folder.name, overrides={"data_path": str(folder.parent)})
    settings = store.ArtefactSettings.from_config(config)
    catalogue = read_catalogue(folder, folder.name, settings.text_template)
    made_for = load_or_make_split(folder, folder.name, split)
    identity = settings.identity(catalogue, made_for)
    target = store.set_folder(folder, identity)
    vectors = np.random.default_rng(seed).normal(size=(len(catalogue.ids), size))
    hashes = store.save_item_vectors(target, catalogue.ids, vectors.astype(np.float16))
    made = {"items": len(catalogue.ids), "dim": size, "sha256": hashes}
    store.record_part(target, folder.name, identity, store.EMBEDDINGS, made)
    return target


def make_ml100k(folder: Path, name: str = "ml-small", users: int = 100) -> Path:
    """Cut the ml-100k files inside the recbole wheel to some users, sorted, with two domains."""
    import recbole

    source = Path(recbole.__file__).parent / "dataset_example" / "ml-100k"
    inter = pd.read_csv(source / "ml-100k.inter", sep="\t", dtype=str)
    inter["order"] = inter["timestamp:float"].astype(float)
    kept = inter["user_id:token"].value_counts().index[-users:]  # the shortest histories
    inter = inter[inter["user_id:token"].isin(kept)]
    inter = inter.sort_values(["user_id:token", "order"], kind="stable")
    columns = ["user_id:token", "item_id:token", "timestamp:float"]
    write_inter(folder / name / f"{name}.inter", list(inter[columns].itertuples(index=False)))
    items = sorted({*inter["item_id:token"]}, key=int)
    write_items(folder / name / f"{name}.item", [(i, NAMES[int(i) % 2]) for i in items])
    return folder / name


def hash_tree(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder by its path, without the columnar store.

    The store is derived, and its pointer is written again once the file's time proves its content.
    """
    names = {p: p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    return {str(name): sha256_of(p) for p, name in names.items() if "store" not in name.parts}


def finish_runs(root: Path, models: Mapping[str, Sequence[str]]) -> Callable[[str], Path]:
    """Make the dataset toy with vectors and one finished run of each model below `root`.

    Parameters
    ----------
    root : pathlib.Path
        Gets ``dataset/`` and ``output/``.
    models : mapping
        ``--key=value`` arguments of each model.

    Returns
    -------
    callable
        Gives the folder of a model's run.
    """
    give_vectors(make_dataset(root / "dataset"))
    where = [f"--data_path={root}/dataset", f"--output_dir={root}/output", "--dataset=toy"]
    for model, keys in models.items():
        assert cli.dispatch(["run", f"--model={model}", *where, *keys]) == 0

    def folder(model: str) -> Path:
        (found,) = (root / "output" / "toy" / model).iterdir()
        return found

    return folder
