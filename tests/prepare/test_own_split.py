"""A split of one's own takes the place of the one that would be made."""

import numpy as np
import pytest
from synthetic import make_dataset

from recbole_edt.data.split import CONTEXT, TEST, TRAIN, VALID, load_or_make_split, save_split
from recbole_edt.errors import UserError
from recbole_edt.files import read_json

KIND = "leave_one_out"


@pytest.fixture
def folder(tmp_path):
    return make_dataset(tmp_path)


def test_it_is_read_from_then_on(folder):
    before = load_or_make_split(folder, "toy", KIND)
    codes = before.codes.copy()
    codes[codes == VALID] = CONTEXT
    saved = save_split(folder, "toy", KIND, codes.astype(np.int64))
    found = load_or_make_split(folder, "toy", KIND)
    assert (found.codes == codes).all()
    assert found.hash == saved.hash != before.hash
    counts = read_json(folder / "split" / f"{KIND}.json")["counts"]
    assert counts["valid"] == 0
    assert counts["context"] == (before.codes == VALID).sum()


def test_draws_of_the_old_split_are_removed(folder):
    codes = load_or_make_split(folder, "toy", KIND).codes
    draws = [
        folder / "split" / f"{kind}.test.target_domain.3.0123abcd.npy" for kind in (KIND, "time")
    ]
    for draw in draws:
        np.save(draw, np.zeros((2, 3), dtype=np.int64))
    save_split(folder, "toy", KIND, codes)
    assert [draw.exists() for draw in draws] == [False, True]


def test_a_kind_or_a_dataset_that_does_not_exist_is_refused(folder):
    codes = load_or_make_split(folder, "toy", KIND).codes
    with pytest.raises(UserError, match="did you mean 'leave_one_out'"):
        save_split(folder, "toy", "leave-one-out", codes)
    with pytest.raises(UserError, match=r"tay\.inter: no such file"):
        save_split(folder, "tay", KIND, codes)


def _too_short(codes):
    return codes[1:]


def _unknown_code(codes):
    return np.where(codes == TRAIN, 4, codes)


def _two_targets(codes):
    return np.where(codes == VALID, TEST, codes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_too_short, "split: codes"),
        (_unknown_code, r"split: found codes \[1, 2, 4\], expected 0 to 3"),
        (_two_targets, "split: a user has 2 test rows, expected at most one"),
    ],
)
def test_what_is_no_split_is_refused_and_the_old_one_stays(folder, change, message):
    before = load_or_make_split(folder, "toy", KIND)
    with pytest.raises(UserError, match=message):
        save_split(folder, "toy", KIND, change(before.codes))
    assert load_or_make_split(folder, "toy", KIND).hash == before.hash


@pytest.mark.parametrize("kind", ["leave_one_out", "time"])
def test_no_interaction_at_all_is_refused(folder, kind):
    path = folder / "toy.inter"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"toy.inter: no row after the header"):
        save_split(folder, "toy", kind, np.empty(0, dtype=np.uint8))


def test_codes_that_were_altered_are_refused(folder):
    codes = load_or_make_split(folder, "toy", KIND).codes.copy()
    held, trained = (int(np.flatnonzero(codes == code)[0]) for code in (TEST, TRAIN))
    codes[[held, trained]] = codes[[trained, held]]
    np.save(folder / "split" / f"{KIND}.npy", codes)
    with pytest.raises(UserError, match=r"its hash is not the one in leave_one_out\.json"):
        load_or_make_split(folder, "toy", KIND)
