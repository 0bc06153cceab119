import errno
import json
import os
import re

import pytest
from shops import reported, write_shop

from recbole_edt.artefacts import ArtefactSettings, find_artefacts
from recbole_edt.artefacts.make import make_artefacts
from recbole_edt.data.split import Split, load_or_make_split
from recbole_edt.errors import UserError
from recbole_edt.llm import Shard

TITLES = ["w1 w2", "w3", "", "w4 " * 5000, "w1 w2", "😀 日本語"]


@pytest.fixture
def folder(write_items):
    return write_items(TITLES)


def test_make_then_complete(folder, config, split, monkeypatch):
    report = reported(config, folder, "toy", split, ["embeddings"], False)
    assert "embeddings: made" in report
    assert "6 items, 4 distinct texts" in report
    assert "1 items without text get a zero vector (a 1)" in report
    assert "1 items with a text cut" in report
    found = find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)
    assert sorted(path.name for path in found.path.iterdir()) == [
        "item_vectors.safetensors",
        "items.txt",
        "manifest.json",
    ]
    made = found.manifest["embeddings"]
    # [CLS] w1 w2 [SEP], [CLS] w3 [SEP], 12 of the long one, and two unknown words
    assert (made["tokens"], made["truncated"], made["without_text"]) == (4 + 3 + 12 + 4, 1, 1)

    monkeypatch.setattr(
        "recbole_edt.artefacts.embeddings.encoder.find_encoder", None
    )  # must not be called
    before = json.dumps(found.manifest)
    assert "complete already" in reported(config, folder, "toy", split, ["embeddings"], False)
    found = find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)
    assert json.dumps(found.manifest) == before


def test_the_result_names_part_and_status(folder, config, split):
    def make(**options):
        (report,) = make_artefacts(config, folder, "toy", split, only=["embeddings"], **options)
        return report

    assert make(dry_run=True).status == "estimated"
    first, second = make(), make()
    assert (first.part, first.status, second.status) == ("embeddings", "made", "complete")
    assert first.text.startswith("embeddings: made\n  set ")


def test_dry_run_writes_nothing(folder, config, split):
    report = reported(config, folder, "toy", split, ["embeddings"], True)
    assert "6 items, 4 distinct texts, 23 tokens" in report
    assert "0 of 1 batches are done" in report
    assert [path.name for path in folder.iterdir()] == ["toy.item"]


def test_another_split_shares_the_vectors(folder, config, split, monkeypatch):
    reported(config, folder, "toy", split, ["embeddings"], False)
    monkeypatch.setattr("recbole_edt.artefacts.embeddings.encoder.find_encoder", None)
    other = Split("time", split.codes, "b" * 64)
    assert "would share" in reported(config, folder, "toy", other, ["embeddings"], True)
    assert "shared with" in reported(config, folder, "toy", other, ["embeddings"], False)
    settings = ArtefactSettings.from_config(config)
    first, second = (find_artefacts(folder, "toy", settings, which) for which in (split, other))
    assert first.hash != second.hash
    assert (first.item_vectors(["i1"]) == second.item_vectors(["i1"])).all()


def test_damaged_set_is_not_called_complete(folder, config, split):
    reported(config, folder, "toy", split, ["embeddings"], False)
    found = find_artefacts(folder, "toy", ArtefactSettings.from_config(config), split)
    (found.path / "item_vectors.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="not a readable tensor file"):
        reported(config, folder, "toy", split, ["embeddings"], False)


def test_unknown_part(folder, config, split):
    message = r"'embedings' is unknown; expected embeddings, augment, profiles \(did you mean 'emb"
    with pytest.raises(UserError, match=message):
        reported(config, folder, "toy", split, ["embedings"], False)


def test_encoder_that_is_not_there_leaves_nothing_behind(folder, config, split):
    config["encoder"] = "pypi:no_such_encoder"
    with pytest.raises(UserError, match="not installed"):
        reported(config, folder, "toy", split, ["embeddings"], False)
    assert not (folder / "artefacts").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--probe", "--only", "augment"], "measures and makes nothing; found --only beside it"),
        (["--probe", "--dry-run"], "found --dry-run beside it"),
        (["--probe-users=10"], "of use with --probe only"),
        (["--probe", "--probe-users=0"], "found '0', expected a whole number above 0"),
        (["--shard=2/2"], "part 2 of 2; expected parts from 0"),
        (["--shard", "one"], "'one', expected I/N"),
        (["--only=profile"], r"'profile' is unknown; .*did you mean 'profiles'"),
    ],
)
def test_flags(run_cli, make_dataset, arguments, message):
    folder = make_dataset()
    outcome = run_cli("artefacts", "--dataset=toy", f"--data_path={folder.parent}", *arguments)
    assert outcome.status == 2
    assert re.search(message, outcome.err)
    assert outcome.err.count("\n") == 1


def test_item_vectors_are_not_made_in_parts(folder, config, split):
    with pytest.raises(UserError, match="shard: item vectors are not made in parts"):
        reported(config, folder, "toy", split, [], False, shard=Shard(0, 2))


def test_dry_run_before_there_are_vectors(config, tmp_path):
    folder = write_shop(tmp_path / "toy", "ann: a1 a2 a3 a4 a5", {f"a{n}": "w1" for n in range(9)})
    made_for = load_or_make_split(folder, "toy", "leave_one_out")
    report = reported(config, folder, "toy", made_for, ["augment"], True)
    assert "augment: cannot be counted before the item vectors are there" in report
    assert not (folder / "artefacts").exists()


def test_full_disk(folder, config, split, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "items.txt")

    monkeypatch.setattr("recbole_edt.artefacts.store.vector_files.write_text", full)
    with pytest.raises(UserError, match=r"^items\.txt: .*No space left on device.*is kept$"):
        reported(config, folder, "toy", split, ["embeddings"], False)
