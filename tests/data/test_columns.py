"""The columnar store: content, changes of the file, damage, crashes, and two processes at once."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_inter, write_items

from recbole_edt.data.store import (
    Tokens,
    building,
    columns,
    open_interactions,
    opening,
    vocabulary,
)
from recbole_edt.errors import UserError
from recbole_edt.files import sha256_of

ROWS = [("zoe", "x", 5), ("ann", "NA", 1), ("zoe", "ü", 2), ("ann", "x", 1), ("b", "ü", 9)]


@pytest.fixture
def folder(tmp_path):
    write_inter(tmp_path / "toy" / "toy.inter", ROWS)
    write_items(tmp_path / "toy" / "toy.item", [("x", "a"), ("NA", "a"), ("ü", "b")])
    return tmp_path / "toy"


def triples(store):
    users = store.user_vocabulary.tokens((store.users - 1).tolist())
    items = store.item_vocabulary.tokens((store.items - 1).tolist())
    return list(zip(users, items, store.times.tolist(), strict=True))


def test_rows_are_sorted_by_user_and_time_and_numbered_by_first_appearance(folder):
    store = open_interactions(folder, "toy")
    assert triples(store) == [
        ("zoe", "ü", 2), ("zoe", "x", 5), ("ann", "NA", 1), ("ann", "x", 1), ("b", "ü", 9),
    ]  # fmt: skip
    assert store.users.tolist() == [1, 1, 2, 2, 3]
    assert store.items.tolist() == [3, 1, 2, 1, 3]
    assert store.starts.tolist() == [0, 0, 2, 4, 5]
    assert store.file_rows.tolist() == [2, 0, 1, 3, 4]
    assert store.sha256 == sha256_of(folder / "toy.inter")
    values = np.arange(5)
    np.testing.assert_array_equal(store.to_file_order(store.from_file_order(values)), values)


def test_a_sorted_file_needs_no_file_rows(folder):
    write_inter(folder / "toy.inter", sorted(ROWS, key=lambda row: (row[0], row[2])))
    store = open_interactions(folder, "toy")
    assert store.file_rows is None
    assert not list(folder.glob("store/*/file_rows.npy"))


def test_columns_are_maps_that_cannot_be_written_to(folder):
    store = open_interactions(folder, "toy")
    for column in (store.users, store.items, store.times, store.starts):
        assert not column.flags.writeable
        assert not column.flags.owndata


def test_tokens_and_numbers_find_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(vocabulary, "_DECODED", 300)  # several pieces
    names = [f"u{n * 7919 % 1000}" for n in range(1000)] + ["ü", "漢字", "NA", '3" pan', "u"]
    write_inter(tmp_path / "toy" / "toy.inter", [(name, "i", 1) for name in names])
    known = open_interactions(tmp_path / "toy", "toy").user_vocabulary
    assert known.tokens(range(len(known))) == names
    assert known.tokens([1001, 1000, 4, 1001]) == ["漢字", "ü", names[4], "漢字"]
    assert known.tokens([]) == []
    assert [known.number(name) for name in names] == list(range(1, len(names) + 1))
    assert known.numbers(names).tolist() == list(range(1, len(names) + 1))  # through a table
    assert known.numbers(["u", "v"]).tolist() == [1005, 0]  # one by one
    tokens = Tokens(known, ["new"])
    assert tokens[[0, 1, 1006]].tolist() == ["[PAD]", "u0", "new"]
    assert tokens[1004:].tolist() == ['3" pan', "u", "new"]
    assert tokens.tolist() == ["[PAD]", *names, "new"]
    assert tokens[-1] == "new"
    assert "new" in tokens
    assert "newer" not in tokens


def built(monkeypatch):
    """Count the builds from now on."""
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        building.write_store(*arguments)

    monkeypatch.setattr(opening, "write_store", counted)
    return calls


def test_a_store_is_built_once_per_content(folder, monkeypatch):
    calls = built(monkeypatch)
    path = folder / "toy.inter"
    open_interactions(folder, "toy")
    open_interactions(folder, "toy")
    assert len(calls) == 1
    os.utime(path, (1, 1))  # another time, the same content
    open_interactions(folder, "toy")
    assert len(calls) == 1
    write_inter(path, [*ROWS, ("b", "x", 10)])
    assert len(open_interactions(folder, "toy")) == 6
    assert len(calls) == 2
    assert len(list(folder.glob("store/inter-*"))) == 1


def test_a_change_of_one_byte_right_after_the_build_is_seen(folder):
    path = folder / "toy.inter"
    open_interactions(folder, "toy")
    path.write_text(path.read_text().replace("zoe\tx\t5", "zoe\tx\t1"))
    assert triples(open_interactions(folder, "toy"))[0] == ("zoe", "x", 1)


def test_an_old_stamp_spares_hashing(folder, monkeypatch):
    path = folder / "toy.inter"
    open_interactions(folder, "toy")
    later = time.time_ns() + 10 * opening.FileStamp.of(path).checked_ns // 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    open_interactions(folder, "toy")  # records a stamp that proves the content
    monkeypatch.setattr(opening, "sha256_of", None)  # would be called to no avail
    assert len(open_interactions(folder, "toy")) == 5


@pytest.mark.parametrize("name", ["items.npy", "times.npy", "user_tokens.txt", "manifest.json"])
def test_a_truncated_file_is_built_again(folder, name, caplog):
    store = triples(open_interactions(folder, "toy"))
    (path,) = folder.glob(f"store/inter-*/{name}")
    path.write_bytes(path.read_bytes()[:-2])
    assert triples(open_interactions(folder, "toy")) == store
    assert name in caplog.text
    assert "built again" in caplog.text


def test_another_version_is_built_again(folder, monkeypatch):
    open_interactions(folder, "toy")
    pointer = folder / "store" / "inter.json"
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "schema": 0}))
    calls = built(monkeypatch)
    assert len(open_interactions(folder, "toy")) == 5
    assert len(calls) == 1


@pytest.mark.parametrize("full_after", range(1, 9))
def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch, full_after):
    files = []

    class FullDisk:
        def __init__(self, file):
            self._file = file

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __getattr__(self, name):
            return getattr(self._file, name)

    def full(path, mode):
        files.append(path)
        file = open(path, mode)  # noqa: SIM115 (what new_file closes)
        return file if len(files) < full_after else Closing(FullDisk(file), file)

    class Closing:
        def __init__(self, shown, file):
            self._shown, self._file = shown, file

        def __enter__(self):
            return self._shown

        def __exit__(self, *error):
            self._file.close()

    monkeypatch.setattr(columns, "open", full, raising=False)
    with pytest.raises(UserError, match=r"store: the store of toy.inter cannot be written") as e:
        open_interactions(folder, "toy")
    assert "No space left" in str(e.value)
    assert "\n" not in str(e.value)
    assert {path.name for path in (folder / "store").iterdir()} <= {".lock"}
    monkeypatch.undo()
    assert len(open_interactions(folder, "toy")) == 5


def test_a_read_only_folder_is_served_from_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build = opening._build

    def refused(root, path, new_file):
        if root == folder / "store":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return build(root, path, new_file)

    monkeypatch.setattr(opening, "_build", refused)
    assert len(open_interactions(folder, "toy")) == 5
    assert not (folder / "store").exists()
    assert len(list((tmp_path / "cache").glob("recbole_edt/store/*/inter-*"))) == 1
    monkeypatch.setattr(opening, "_build", None)
    assert len(open_interactions(folder, "toy")) == 5


def test_nothing_is_written_into_the_installed_package(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = Path(opening.recbole_edt.__file__).parent
    (root,) = opening._roots(package / "embedded" / "ml-100k-genres")
    assert tmp_path in root.parents


CHILD = """
import sys, time
from pathlib import Path
from recbole_edt.data.store import building, open_interactions, opening
write, folder = opening.write_store, Path(sys.argv[1])

def slow(path, sha256, target):
    write(path, sha256, target)
    (folder / f"building-{sys.argv[2]}").touch()
    time.sleep(float(sys.argv[3]))

opening.write_store = slow
print(len(open_interactions(folder, "toy")))
"""


def child(folder, name, seconds):
    arguments = [sys.executable, "-c", CHILD, str(folder), name, str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def wait_for(path):
    end = time.time() + 120
    while not path.exists() and time.time() < end:
        time.sleep(0.02)
    assert path.exists()


@pytest.mark.kills
def test_a_killed_build_leaves_nothing_that_is_used(folder):
    process = child(folder, "killed", 600)
    wait_for(folder / "building-killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (folder / "store" / "inter.json").exists()
    assert len(open_interactions(folder, "toy")) == 5
    assert not list(folder.glob("store/.building-*"))


@pytest.mark.kills
def test_two_processes_at_once_build_one_store(folder):
    first = child(folder, "first", 2)
    wait_for(folder / "building-first")
    second = child(folder, "second", 0)
    assert [process.communicate()[0].strip() for process in (first, second)] == ["5", "5"]
    assert not (folder / "building-second").exists(), "the second waits and reads the first's"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_and_quotes_and_na_are_read_as_written(tmp_path, end):
    lines = ["user_id:token\titem_id:token\tnote:token_seq\ttimestamp:float",
             'NA\tnull\t"a" b\t1', "a\"b\t#1\t\t2.5", "None\ti'\\\t'\t1e3"]  # fmt: skip
    path = tmp_path / "toy" / "toy.inter"
    path.parent.mkdir()
    path.write_bytes((end.join(lines) + end).encode())
    assert triples(open_interactions(path.parent, "toy")) == [
        ("NA", "null", 1.0), ('a"b', "#1", 2.5), ("None", "i'\\", 1000.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("u\ti\t", "line 3 lacks a user or a timestamp"),
        ("\ti\t1", "line 3 lacks a user or a timestamp"),
        ("u\t\t1", "line 3 lacks an item"),
        ("u\ti\tNA", "line 3: timestamp is 'NA'; expected a number"),
        ("u\ti\t1_0", "line 3: timestamp is '1_0'; expected a number"),
        ("u\ti\tnan", "line 3: timestamp is 'nan'; expected a number"),
        ("[PAD]\ti\t1", "line 3: user_id is '[PAD]'"),
        ('"u\ti\t1', "line 3: user_id is '\"u'; expected no leading quotation mark"),
        ("u\ti", "line 3: 2 fields; expected 3"),
        ("u\ri\tj\t1", "line 3: holds a control character"),
        ("u\0\tj\t1", "line 3: holds a control character"),
    ],
)
def test_a_bad_row_is_named_and_no_store_is_left(folder, row, said):
    path = folder / "toy.inter"
    lines = path.read_text().splitlines()
    path.write_bytes("\n".join([*lines[:2], row, *lines[2:]]).encode())
    with pytest.raises(UserError) as caught:
        open_interactions(folder, "toy")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(folder.glob("store/inter*"))
    assert not list(folder.glob("store/.building*"))
