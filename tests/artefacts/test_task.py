from dataclasses import replace

import numpy as np
import pytest
from shops import write_shop

from recbole_edt.artefacts import read_catalogue
from recbole_edt.artefacts.make import make_artefacts
from recbole_edt.artefacts.task import ArtefactTask
from recbole_edt.data.split import Split, load_or_make_split
from recbole_edt.errors import UserError

ROWS = "zoe: b2 a1 b1 a2 b2\nann: a1 b1 a2"
TITLES = {"b2": "w2", "a1": "w1", "b1": "", "a2": "w1"}


@pytest.fixture
def task(config, tmp_path):
    folder = write_shop(tmp_path / "toy", ROWS, TITLES)
    split = load_or_make_split(folder, "toy", "leave_one_out")
    return ArtefactTask.from_config(config, folder, "toy", split)


def test_training_rows(task):
    training = task.training
    assert training.user_tokens == ["zoe", "ann"]
    assert training.users.tolist() == [0, 0, 0, 1]
    assert training.items.tolist() == [0, 1, 2, 1]  # rows of the catalogue: b2 a1 b1, a1
    assert training.times.tolist() == [0, 10, 20, 0]
    assert training.domain_names == ["a", "b"]
    assert training.domains.tolist() == [1, 0, 1, 0]
    assert training.starts.tolist() == [0, 3, 4]
    assert training.item_domains.tolist() == [1, 0, 1, 0]


def with_split(task, rows):
    """Return the task with a split of so many rows, all of them for training."""
    return replace(task, split=Split("leave_one_out", np.zeros(rows, dtype=np.uint8), "a" * 64))


def test_rows_are_put_in_exact_order(task):
    # seconds that are one and the same float32
    times = {"b1": 1500000002, "b2": 1500000000, "a1": 1500000001}
    lines = [f"zoe\t{item}\t{time}" for item, time in times.items()]
    path = task.dataset_dir / "toy.inter"
    path.write_text("\n".join([path.read_text().splitlines()[0], *lines]) + "\n")
    assert with_split(task, 3).training.items.tolist() == [0, 1, 2]  # b2 a1 b1


def test_rows_of_some_users(task):
    rows, owners = task.training.of_users(np.array([1, 0]))
    assert (rows.tolist(), owners.tolist()) == ([3, 0, 1, 2], [0, 1, 1, 1])
    assert task.training.count_by_domain().tolist() == [[1, 2], [1, 0]]


def test_item_vectors(task, config):
    assert not task.has_item_vectors()
    with pytest.raises(UserError, match=r"no item vectors of encoder .* --only embeddings"):
        task.item_vectors()
    make_artefacts(config, task.dataset_dir, "toy", task.split, only=["embeddings"])
    vectors = task.item_vectors()
    assert (vectors.dtype, vectors.shape) == (np.float32, (4, 16))
    assert not vectors[2].any()
    np.testing.assert_array_equal(vectors[1], vectors[3])


def test_item_without_domain(task):
    path = task.dataset_dir / "toy.item"
    path.write_text(path.read_text().replace("a2\ta\t", "a2\t\t"))
    catalogue = read_catalogue(task.dataset_dir, "toy", "{title}")
    with pytest.raises(UserError, match=r"toy\.item: item 'a2' has no domain"):
        _ = replace(task, catalogue=catalogue).training


def test_split_of_another_file(task):
    with pytest.raises(UserError, match=r"toy\.inter: has 8 rows, the split of it 3"):
        _ = with_split(task, 3).training
