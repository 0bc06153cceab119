"""The set stored under dataset/ is the one that the default dataset asks for."""

import numpy as np
import pandas as pd
import pytest
import yaml

from recbole_edt.artefacts.store import ArtefactSettings, embedded_dir, find_artefacts
from recbole_edt.paths import properties_dir
from recbole_edt.prepare.command import ensure_default
from recbole_edt.prepare.split import load_or_make_split

NAME = "ml-100k-genres"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    ensure_default(root)
    return root / NAME


def test_fresh_default_dataset_finds_its_vectors(prepared):
    config = yaml.safe_load((properties_dir() / "overall.yaml").read_text(encoding="utf-8"))
    split = load_or_make_split(prepared, NAME, config["split"])
    found = find_artefacts(prepared, NAME, ArtefactSettings.from_config(config), split)
    assert found is not None
    assert (found.lender or found).path.parent == embedded_dir() / NAME / "artefacts"

    items = pd.read_csv(prepared / f"{NAME}.item", sep="\t", dtype=str, quoting=3)
    vectors = found.item_vectors(items["item_id:token"])
    assert vectors.shape == (1682, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

    # The rows belong to their items: those nearest to a film of a series are of that series.
    titles = items["title:token_seq"].str.replace(r" \(\d{4}\)$", "", regex=True)
    row = {title: number for number, title in enumerate(titles)}
    similarity = vectors @ vectors[row["Star Trek: The Wrath of Khan"]]
    assert titles[np.argsort(-similarity)[:6]].str.startswith("Star Trek").sum() >= 5


def test_nothing_of_movielens_is_stored():
    folder = embedded_dir() / NAME / "artefacts"
    stored = {path.name for path in folder.rglob("*") if path.is_file()}
    assert stored == {"item_vectors.safetensors", "items.txt", "manifest.json"}
    for path in folder.glob("*/items.txt"):
        assert all(line.isdigit() for line in path.read_text().splitlines())
