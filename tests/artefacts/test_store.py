import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbole_edt.artefacts import ArtefactSettings, find_artefacts, read_catalogue
from recbole_edt.artefacts.make import make_artefacts
from recbole_edt.artefacts.store import embedded_dir, require_set
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError

TITLES = ["w1 w2", "w3", "", "w4 w5 w6", "w1 w2"]


@pytest.fixture
def folder(write_items):
    return write_items(TITLES)


@pytest.fixture
def made(folder, config, split):
    make_artefacts(config, folder, "toy", split, only=["embeddings"])
    return find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)


def test_vectors_follow_the_tokens_asked_for(made):
    everything = made.item_vectors(["i0", "i1", "i2", "i3", "i4"])
    assert everything.dtype == np.float32
    some = made.item_vectors(np.array(["i3", "i0", "i3"]))
    np.testing.assert_array_equal(some, everything[[3, 0, 3]])
    np.testing.assert_array_equal(everything[0], everything[4])
    np.testing.assert_array_equal(everything[2], 0)
    assert made.path.name == made.hash == made.manifest["hash"]


def test_a_set_is_found_only_for_what_it_was_made_from(made, folder, config, split):
    def find(other_split=split, **changes):
        return find_artefacts(
            folder, "toy", ArtefactSettings.from_config(config | changes), other_split
        )

    assert find() is not None
    assert find(encoder_batch_size=1) is not None
    assert find(text_template="{title} {domain}") is None
    assert find(encoder_max_length=11) is None
    assert find(encoder="other") is None
    assert find(encoder_revision="v2") is None
    other = find(Split("time", split.codes, "b" * 64))
    assert (other.hash != made.hash, other.vector_source.hash) == (True, made.hash)
    assert find(profile_history=3).vector_source.hash == made.hash
    text = (folder / "toy.item").read_text(encoding="utf-8")
    (folder / "toy.item").write_text(text.replace("w3", "w9"), encoding="utf-8")
    assert find() is None


def test_a_set_asked_for_by_name(made, folder, config, split):
    def require(name=made.hash, of_split=split, **changes):
        settings = ArtefactSettings.from_config(config | changes)
        catalogue = read_catalogue(folder, "toy", settings.text_template)
        return require_set(folder, "toy", name, settings.identity(catalogue, of_split))

    assert require().hash == made.hash
    with pytest.raises(UserError, match="was made for another split; the configuration asks for"):
        require(of_split=Split("time", split.codes, "b" * 64))
    with pytest.raises(UserError, match="another augment and another profiles"):
        require(llm="other")
    with pytest.raises(UserError, match=f"no such set .did you mean '{made.hash}'"):
        require(made.hash[:-1] + "x")
    text = (folder / "toy.item").read_text(encoding="utf-8")
    (folder / "toy.item").write_text(text.replace("w3", "w9"), encoding="utf-8")
    with pytest.raises(UserError, match="made for another catalogue and another titles"):
        require()


def test_part_that_has_not_been_made(made):
    assert made.augmented() is None
    with pytest.raises(UserError, match=r"has no profiles; make them with .* --only profiles"):
        made.profiles(["u"], ["a", "b"])


def test_a_set_without_manifest_is_unfinished(made, folder, config, split):
    (made.path / "manifest.json").unlink()
    assert find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split) is None


def test_shipped_sets_are_found(made, folder, config, split, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    (shipped / "toy").mkdir(parents=True)
    (folder / "artefacts").rename(shipped / "toy" / "artefacts")
    monkeypatch.setattr("recbole_edt.artefacts.store.lookup.embedded_dir", lambda: shipped)
    found = find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)
    assert found.path == shipped / "toy" / "artefacts" / made.hash
    assert embedded_dir() != shipped


def test_item_that_is_not_in_the_set(made):
    with pytest.raises(UserError, match=r"another catalogue: 2 of 3 items .* first is 'x'"):
        made.item_vectors(["i0", "x", "y"])


def _rewrite_items(path):
    (path / "items.txt").write_text("i0\ni1\ni2\ni4\ni3\n", encoding="utf-8")


def _drop_an_item(path):
    (path / "items.txt").write_text("i0\ni1\ni2\ni3\n", encoding="utf-8")


def _truncate(path):
    content = (path / "item_vectors.safetensors").read_bytes()
    (path / "item_vectors.safetensors").write_bytes(content[:-7])


def _drop_a_row(path):
    save_file({"item_vectors": np.zeros((4, 16), np.float16)}, path / "item_vectors.safetensors")


def _put_nan(path):
    vectors = np.zeros((5, 16), np.float16)
    vectors[3, 2] = np.nan
    save_file({"item_vectors": vectors}, path / "item_vectors.safetensors")


def _zero(path):
    save_file({"item_vectors": np.zeros((5, 16), np.float16)}, path / "item_vectors.safetensors")


def _delete(path):
    (path / "item_vectors.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_rewrite_items, r"items\.txt: has changed since it was made"),
        (_drop_an_item, "has 4 items for 5 item vectors"),
        (_truncate, "not a readable tensor file"),
        (_drop_a_row, r"is float16 \[4, 16\], the manifest says float16 \[5, 16\]"),
        (_put_nan, "the vector of item 'i3' is not finite"),
        (_zero, r"safetensors: has changed since it was made"),
        (_delete, r"safetensors: no such file"),
    ],
)
def test_damaged_set(made, damage, message):
    damage(made.path)
    with pytest.raises(UserError, match=message) as caught:
        made.item_vectors(["i0"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema is 2, expected 1"),
        ({"identity": {}}, "describes the set"),
        ({"embeddings": {}}, "lacks"),
        ({"embeddings": None}, "lacks"),
    ],
)
def test_malformed_manifest(made, folder, config, split, change, message):
    (made.path / "manifest.json").write_text(json.dumps(made.manifest | change))
    with pytest.raises(UserError, match=message):
        find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)
