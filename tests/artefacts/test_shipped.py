"""The set stored under dataset/ is the one that the default dataset asks for."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_edt.artefacts import store
from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.artefacts.profiles.hidden_titles import hide_titles
from recbole_edt.artefacts.store import ArtefactSettings, embedded_dir, find_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.split import load_or_make_split
from recbole_edt.prepare.pipeline import ensure_default

NAME = "ml-100k-genres"
FILES = {
    "augmented.inter",
    "item_vectors.safetensors",
    "items.txt",
    "manifest.json",
    "profile_vectors.safetensors",
    "profiles.jsonl",
    "users.txt",
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    ensure_default(root)
    return root / NAME


@pytest.fixture(scope="module")
def config(prepared):
    return EDTConfig("LLMEDT", NAME, (), {"data_path": str(prepared.parent)})


@pytest.fixture(scope="module")
def found(prepared, config):
    split = load_or_make_split(prepared, NAME, config["split"])
    return find_artefacts(prepared, NAME, ArtefactSettings.from_config(config), split)


@pytest.fixture(scope="module")
def items(prepared):
    frame = pd.read_csv(prepared / f"{NAME}.item", sep="\t", dtype=str, quoting=3)
    return frame.rename(columns=lambda name: name.partition(":")[0]).set_index("item_id")


def test_fresh_default_dataset_finds_the_whole_set(found):
    folder = embedded_dir() / NAME / "artefacts"
    assert (found.path, found.vector_source) == (folder / found.hash, None)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == FILES
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 4 << 20
    for part in store.PARTS:
        found.check(part)


def test_vectors_belong_to_their_items(found, items):
    vectors = found.item_vectors(items.index)
    assert vectors.shape == (1682, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    # Those nearest to a film of a series are of that series.
    titles = items["title"].str.replace(r" \(\d{4}\)$", "", regex=True)
    row = {title: number for number, title in enumerate(titles)}
    similarity = vectors @ vectors[row["Star Trek: The Wrath of Khan"]]
    assert titles.iloc[np.argsort(-similarity)[:6]].str.startswith("Star Trek").sum() >= 5


def test_a_run_finds_augmented_interactions_and_profiles(config, found):
    dataset = CrossDomainDataset(config)
    attach_artefacts(dataset)
    dataset.build()
    plain = len(dataset.training_sequences()[0])
    config["augment"] = True
    assert len(dataset.training_sequences()[0]) == plain + len(found.augmented())
    vectors, present = dataset.profile_vectors()
    assert (len(vectors), vectors.shape[2]) == (944, 384)
    assert present.sum() == found.manifest["profiles"]["profiles"] > 1700
    assert present.any(axis=1).sum() == 943


def test_augmented_items_are_of_the_domain_that_is_lacking(found, items):
    rows = found.augmented()
    assert (rows["domain"] == items["domain"][rows["item_id"]].to_numpy()).all()
    assert rows.groupby("user_id").size().max() <= 5


def test_no_title_is_quoted(prepared, found, items):
    split = load_or_make_split(prepared, NAME, "leave_one_out")
    rows = pd.read_csv(prepared / f"{NAME}.inter", sep="\t", dtype=str)
    rows.columns = ["user_id", "item_id", "timestamp"]
    rows = rows[split.codes == 0].join(items[["domain", "title"]], on="item_id")
    titles = rows.groupby(["user_id", "domain"])["title"].apply(list)
    texts = found.profile_texts()
    assert len(texts) == found.manifest["profiles"]["profiles"]
    quoted = [
        (user, domain)
        for user, domain, text in texts[["user_id", "domain", "text"]].itertuples(index=False)
        if hide_titles(text, titles[user, domain])[1]
    ]
    assert quoted == []


def test_nothing_else_of_movielens_is_stored():
    (folder,) = (embedded_dir() / NAME / "artefacts").iterdir()
    for name in ("items.txt", "users.txt"):
        assert all(line.isdigit() for line in (folder / name).read_text().splitlines())
    allowed = {"user_id", "domain", "text", "n_items"}
    for line in (folder / "profiles.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line).keys() == allowed
    assert Path(folder, "manifest.json").stat().st_size < 10_000
