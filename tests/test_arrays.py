"""Damaged ``.npy`` files of every kind are one kind of error."""

import random
import warnings

import numpy as np
import pytest

from recbole_edt.cli import dispatch
from recbole_edt.files import load_array


def refusal(path, mapped):
    """Return why a file is refused, None if it is read."""
    try:
        load_array(path, mapped)
    except ValueError as error:
        return str(error)
    return None


def test_a_damaged_header_is_a_value_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6).reshape(3, 2))
    whole, rng, refused = path.read_bytes(), random.Random(0), 0
    for n in range(600):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(128)] = rng.choice((0, 10, 40, 57, 255, rng.randrange(256)))
        path.write_bytes(damaged[: rng.randrange(128)] if n % 20 == 0 else damaged)
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            said = refusal(path, mapped=n % 2 == 0)
        assert said is None or (said and "\n" not in said)
        refused += said is not None
        assert shown == []
    assert 300 < refused < 600


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_array(tmp_path / "a.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match="several arrays"):
        load_array(tmp_path / "two.npz")
    np.save(tmp_path / "objects.npy", np.array([{}]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_array(tmp_path / "objects.npy")


def test_a_reason_has_no_address_of_an_object(tmp_path):
    header = b"{'descr': garbage}".ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header)
    with pytest.raises(ValueError, match=r"^a damaged header$"):
        load_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': (((, }", b"no array"])
def test_a_damaged_split_or_draw_is_named(make_dataset, tmp_path, capsys, content):
    folder = make_dataset()
    argv = ["run", "--model=Popularity", "--dataset=toy", f"--data_path={folder.parent}",
            f"--output_dir={tmp_path}/out", "--sampled_candidates=3"]  # fmt: skip
    assert dispatch(argv) == 0
    draws = sorted((folder / "split").glob("leave_one_out.*.3.*.npy"))
    assert len(draws) == 2
    for path in (draws[0], folder / "split" / "leave_one_out.npy"):
        path.write_bytes(content)
        capsys.readouterr()
        assert dispatch(argv) == 2
        assert f"recbole-edt: {path}: not a readable array (" in capsys.readouterr().err


def test_a_draw_of_other_items_is_refused(make_dataset, tmp_path, capsys):
    folder = make_dataset()
    argv = ["run", "--model=Popularity", "--dataset=toy", f"--data_path={folder.parent}",
            f"--output_dir={tmp_path}/out", "--sampled_candidates=3"]  # fmt: skip
    assert dispatch(argv) == 0
    path = next((folder / "split").glob("*.test.*.npy"))
    items = np.load(path)
    for wrong, said in ((items + 100, "expected 1 to 42"), (items * 1.0, "float64 ")):
        np.save(path, wrong)
        capsys.readouterr()
        assert dispatch(argv) == 2
        assert said in capsys.readouterr().err
