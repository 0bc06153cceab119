import numpy as np
import pandas as pd
import pytest
from shops import write_shop

from recbole_edt.artefacts import ArtefactSettings, read_catalogue, store
from recbole_edt.artefacts.store import augmented_file
from recbole_edt.errors import UserError

ROWS = pd.DataFrame(
    [
        ["ann", "b1", 1500000001.5, "b", "a1", 0.123456789, "select"],
        ["NA", "a2", 3.0, "a", "b1", -7.0, "select"],
    ],
    columns=list(augmented_file.COLUMNS),
)
DOMAINS = {"a1": "a", "a2": "a", "b1": "b"}


@pytest.fixture
def found(config, split, tmp_path):
    folder = write_shop(tmp_path / "toy", "ann: a1", dict.fromkeys(DOMAINS, "w1"))
    catalogue = read_catalogue(folder, "toy", "{title}")
    identity = ArtefactSettings.from_config(config).identity(catalogue, split)
    target = store.set_folder(folder, identity)
    made = {"sha256": augmented_file.save_augmented(target, ROWS)}
    return store.record_part(target, "toy", identity, store.AUGMENT, made)


def test_what_is_written_is_read(found):
    frame = found.augmented(users=["ann", "NA"], item_domains=DOMAINS)
    assert list(frame.columns) == list(ROWS.columns)
    assert frame["user_id"].tolist() == ["ann", "NA"]
    assert frame["timestamp"].tolist() == [1500000001.5, 3.0]
    np.testing.assert_allclose(frame["score"], ROWS["score"], rtol=1e-5)
    lines = (found.path / "augmented.inter").read_text().splitlines()
    assert lines[1] == "ann\tb1\t1500000001.5\tb\ta1\t0.123457\tselect"
    assert lines[0].split("\t") == [
        "user_id:token",
        "item_id:token",
        "timestamp:float",
        "domain:token",
        "anchor_item:token",
        "score:float",
        "mode:token",
    ]


def test_set_without_augmented_rows(found, config, split):
    manifest = {key: value for key, value in found.manifest.items() if key != store.AUGMENT}
    assert store.ArtefactSet(found.path, found.hash, manifest).augmented() is None


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"users": ["ann"]}, r"augmented\.inter: line 3: user_id 'NA', expected a user"),
        ({"item_domains": {"a1": "a", "b1": "b"}}, "line 3: item_id 'a2', expected an item"),
        ({"item_domains": {"a2": "a", "b1": "b"}}, "line 2: anchor_item 'a1', expected an item"),
        ({"item_domains": DOMAINS | {"b1": "a"}}, "line 2: domain 'b', expected the domain of"),
    ],
)
def test_rows_of_another_dataset(found, known, message):
    with pytest.raises(UserError, match=message):
        found.augmented(**known)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1500000001.5", "soon", "line 2: timestamp 'soon', expected a finite number"),
        ("0.123457", "inf", "line 2: score 'inf', expected a finite number"),
        ("\ta2\t", "\t\t", "line 3: item_id '', expected a token"),
        ("NA\ta2\t3\ta", "ann\tb1\t3\tb", "line 3: item_id 'b1', expected each item once"),
        ("anchor_item:token", "anchor:token", "line 1 is .*, expected"),
        ("\t-7\tselect", "\t-7", "line 3: mode '', expected a token"),
        ("-7", "-7\textra", "cannot be read"),
        ("-7", "-8", "has changed since it was made"),
    ],
)
def test_damaged_rows(found, old, new, message):
    path = found.path / "augmented.inter"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        found.augmented()
    assert "\n" not in str(caught.value)
