"""Augmented interactions join training windows after their anchor, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.histories import Histories, with_histories
from recbole_edt.data.split import TRAIN
from recbole_edt.data.windows import ITEMS, LABELS, WindowLoader
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt

INTER = """user_id:token\titem_id:token\ttimestamp:float
u\ta1\t1
u\ta2\t2
u\ta3\t3
u\tb1\t4
u\ta4\t5
v\tb1\t1
v\tb2\t2
v\ta1\t3
"""
ITEM = "item_id:token\tdomain:token\ttitle:token_seq\n" + "".join(
    f"{d}{n}\t{d}\ttitle {d}{n}\n" for d in "ab" for n in range(1, 6)
)
PROPOSED = [("u", "b2", "a2"), ("u", "b3", "a2"), ("u", "b4", "a1"), ("v", "a5", "b1")]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data" / "small"
    folder.mkdir(parents=True)
    (folder / "small.inter").write_text(INTER)
    (folder / "small.item").write_text(ITEM)
    return folder


def configured(folder, **keys):
    return EDTConfig("LLMEDT", "small", overrides={"data_path": str(folder.parent), **keys})


def propose(folder, rows):
    config = configured(folder)
    dataset = CrossDomainDataset(config)
    settings = ArtefactSettings.from_config(config)
    catalogue = read_catalogue(folder, "small", settings.text_template)
    identity = settings.identity(catalogue, dataset.split)
    target = store.set_folder(folder, identity)
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "anchor_item"])
    frame["domain"] = frame["item_id"].str[0]
    frame = frame.assign(timestamp=0.0, score=0.5, mode="select")
    hashes = store.save_augmented(target, frame)
    store.record_part(target, "small", identity, store.AUGMENT, {"sha256": hashes})


def parts_of(folder, **keys):
    dataset = CrossDomainDataset(configured(folder, **keys))
    attach_artefacts(dataset)
    return dataset.build()


def windows(folder, **keys):
    part = parts_of(folder, **keys)[0]
    token = part.field2id_token["item_id"]
    batch = next(iter(WindowLoader(part, 50, 8, 0)))
    return {
        tuple(token[i] for i in items.tolist() if i): [token[i] for i in labels.tolist()][
            : int((items > 0).sum())
        ]
        for items, labels in zip(batch[ITEMS], batch[LABELS], strict=True)
    }


def test_without_augmentation_the_windows_are_the_training_rows(folder):
    propose(folder, PROPOSED)
    assert windows(folder) == {("a1", "a2"): ["a2", "a3"]}


def test_as_context_they_are_read_and_never_predicted(folder):
    propose(folder, PROPOSED)
    found = windows(folder, augment=True)
    # u: a1 b4 a2 b2 b3 a3; v has one training row and one proposal, so nothing to predict
    assert found[("a1", "b4", "a2", "b2", "b3")] == ["[PAD]", "a2", "[PAD]", "[PAD]", "a3"]
    assert found[("b1",)] == ["[PAD]"]


def test_they_follow_the_last_interaction_with_a_repeated_anchor(folder):
    inter = INTER.replace("u\ta3\t3\n", "u\ta1\t3\nu\ta3\t3.5\n")
    (folder / "small.inter").write_text(inter)
    propose(folder, [("u", "b2", "a1")])
    assert ("a1", "a2", "a1", "b2") in windows(folder, augment=True)


def test_as_targets_they_are_predicted_too(folder):
    propose(folder, PROPOSED)
    found = windows(folder, augment=True, augment_as="targets")
    assert found[("a1", "b4", "a2", "b2", "b3")] == ["b4", "a2", "b2", "b3", "a3"]
    assert found[("b1",)] == ["a5"]


def test_everything_but_the_windows_stays_as_it_is(folder):
    propose(folder, PROPOSED)
    plain, augmented = parts_of(folder), parts_of(folder, augment=True)
    for one, other in zip(plain, augmented, strict=True):
        rows = np.arange(len(one))
        for field, values in one[rows].interaction.items():
            assert values.equal(other[rows].interaction[field])
    assert (plain[0].item_counts() == augmented[0].item_counts()).all()
    assert (plain[0].codes == augmented[0].codes).all()
    assert (augmented[0].codes == TRAIN).sum() == 4


def test_missing_or_foreign_rows_are_named(folder):
    with pytest.raises(UserError, match="no augmented interactions of these settings"):
        windows(folder, augment=True)
    propose(folder, [("u", "b2", "b5")])
    with pytest.raises(UserError, match="'u' has no training interaction with anchor 'b5'"):
        windows(folder, augment=True)
    propose(folder, [("u", "b2", "a4")])  # what u is tested on
    with pytest.raises(UserError, match="'u' has no training interaction with anchor 'a4'"):
        windows(folder, augment=True)
    propose(folder, [("w", "b2", "a1")])
    with pytest.raises(UserError, match=r"augmented\.inter: line 2"):
        windows(folder, augment=True)


def test_a_run_on_augmented_sequences_differs_and_is_ranked_on_the_same_targets(
    make_dataset, give_vectors, tmp_path
):
    toy = make_dataset(users=60)
    give_vectors(toy)
    config = EDTConfig("LLMEDT", "toy", overrides={"data_path": str(toy.parent)})
    dataset = CrossDomainDataset(config)
    settings = ArtefactSettings.from_config(config)
    identity = settings.identity(read_catalogue(toy, "toy", settings.text_template), dataset.split)
    part = dataset.build()[0]
    tokens = part.field2id_token
    rows = part.training_rows()
    frame = pd.DataFrame({"user_id": tokens["user_id"][part.flat["user_id"][rows].numpy()]})
    frame["anchor_item"] = tokens["item_id"][part.flat["item_id"][rows].numpy()]
    frame = frame.drop_duplicates("user_id")
    frame = frame.assign(item_id="d0-3", domain="d0", timestamp=0.0, score=1.0, mode="random")
    target = store.set_folder(toy, identity)
    hashes = store.save_augmented(target, frame)
    store.record_part(target, "toy", identity, store.AUGMENT, {"sha256": hashes})
    keys = {"data_path": str(toy.parent), "output_dir": str(tmp_path / "out"), "epochs": 2}
    plain = run_recbole_edt("LLMEDT", "toy", overrides=keys)
    augmented = run_recbole_edt("LLMEDT", "toy", overrides={**keys, "augment": True})
    assert plain["protocol"] == augmented["protocol"]
    assert plain["test"]["overall"]["users"] == augmented["test"]["overall"]["users"]
    assert plain["test"] != augmented["test"]


def scored_histories(folder, **keys):
    part = parts_of(folder, **keys)[2]
    batch = part.scored_histories(part.flat["user_id"][part.rows].numpy(), part.rows)
    token = part.field2id_token["item_id"]
    users = part.field2id_token["user_id"][part.flat["user_id"][part.rows].numpy()]
    found = {}
    for user, items, length in zip(
        users, batch["item_id_list"], batch["item_length"].tolist(), strict=True
    ):
        assert (items[length:] == 0).all()
        found[user] = [token[i] for i in items[:length].tolist()]
    return found


def test_histories_that_are_scored_hold_them_only_when_asked_to(folder):
    propose(folder, PROPOSED)
    plain = {"u": ["a1", "a2", "a3", "b1"], "v": ["b1", "b2"]}
    assert scored_histories(folder, augment=True) == plain
    assert scored_histories(folder, augment_inference=True) == plain
    asked = {"augment": True, "augment_inference": True}
    assert scored_histories(folder, **asked) == {
        "u": ["a1", "b4", "a2", "b2", "b3", "a3", "b1"],
        "v": ["b1", "a5", "b2"],
    }
    longest = scored_histories(folder, MAX_ITEM_LIST_LENGTH=3, **asked)
    assert longest == {"u": ["b3", "a3", "b1"], "v": ["b1", "a5", "b2"]}


def test_given_histories_of_known_users_hold_them_too(folder):
    propose(folder, PROPOSED)
    part = parts_of(folder, augment=True, augment_inference=True)[2]
    users, items = (part.field2token_id[field] for field in ("user_id", "item_id"))
    lists = [["a2", "a1", "a2"], ["b1"], ["a1", "b1"], ["b1", "b2"]]
    numbers = np.array([users["u"], users["v"], 0, users["v"]])
    starts = np.cumsum([0, *map(len, lists)])
    rows = np.array([items[one] for several in lists for one in several])
    view = with_histories(part, Histories(numbers, starts, rows, None))
    batch = view.scored_histories(np.arange(4), starts[1:])
    token = part.field2id_token["item_id"]
    found = [
        [token[i] for i in row[:length].tolist()]
        for row, length in zip(batch["item_id_list"], batch["item_length"].tolist(), strict=True)
    ]
    # after u's first a2 and a1, and v's first b1; a user that nobody knows has none
    assert found == [["a2", "b2", "b3", "a1", "b4", "a2"], ["b1", "a5"], ["a1", "b1"],
                     ["b1", "a5", "b2"]]  # fmt: skip
