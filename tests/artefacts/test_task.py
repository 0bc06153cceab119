import numpy as np
import pytest
from fake_model import write_shop

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.command import run_artefacts
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.task import Task
from recbole_edt.data.split import load_or_make_split
from recbole_edt.errors import UserError

ROWS = "zoe: b2 a1 b1 a2 b2\nann: a1 b1 a2"
TITLES = {"b2": "w2", "a1": "w1", "b1": "", "a2": "w1"}


@pytest.fixture
def task(config, tmp_path):
    folder = write_shop(tmp_path / "toy", ROWS, TITLES)
    split = load_or_make_split(folder, "toy", "leave_one_out")
    settings = ArtefactSettings.from_config(config)
    catalogue = read_catalogue(folder, "toy", "{title}")
    identity = settings.identity(catalogue, split)
    target = store.set_folder(folder, identity)
    return Task(config, folder, "toy", settings, catalogue, split, identity, target)


def test_training_rows(task):
    training = task.training()
    assert training.user_tokens == ["zoe", "ann"]
    assert training.users.tolist() == [0, 0, 0, 1]
    assert training.items.tolist() == [0, 1, 2, 1]  # rows of the catalogue: b2 a1 b1, a1
    assert training.times.tolist() == [0, 1, 2, 0]
    assert training.domain_names == ["a", "b"]
    assert training.domains.tolist() == [1, 0, 1, 0]
    assert training.starts.tolist() == [0, 3, 4]
    assert training.item_domains.tolist() == [1, 0, 1, 0]


def test_rows_are_put_in_exact_order(task):
    path = task.dataset_dir / "toy.inter"
    header, *lines = path.read_text().splitlines()
    # seconds that are one and the same float32
    late = [line.replace("\t2", "\t1500000002").replace("\t1", "\t1500000001") for line in lines]
    late = [line for line in late if line.startswith("zoe")][:3]
    path.write_text("\n".join([header, late[2], late[0], late[1]]) + "\n")
    object.__setattr__(task.split, "codes", np.zeros(3, dtype=np.uint8))
    assert task.training().items.tolist() == [0, 1, 2]


def test_item_vectors(task, config):
    assert not task.has_item_vectors()
    with pytest.raises(UserError, match=r"no item vectors of encoder .* --only embeddings"):
        task.item_vectors()
    run_artefacts(config, task.dataset_dir, "toy", task.split, ["embeddings"], False)
    vectors = task.item_vectors()
    assert (vectors.dtype, vectors.shape) == (np.float32, (4, 16))
    assert not vectors[2].any()
    np.testing.assert_array_equal(vectors[1], vectors[3])


def test_item_without_domain(task, tmp_path):
    path = task.dataset_dir / "toy.item"
    path.write_text(path.read_text().replace("a2\ta\t", "a2\t\t"))
    catalogue = read_catalogue(task.dataset_dir, "toy", "{title}")
    object.__setattr__(task, "catalogue", catalogue)
    with pytest.raises(UserError, match=r"toy\.item: item 'a2' has no domain"):
        task.training()


def test_split_of_another_file(task):
    object.__setattr__(task.split, "codes", np.zeros(3, dtype=np.uint8))
    with pytest.raises(UserError, match=r"toy\.inter: has 8 rows, the split of it 3"):
        task.training()
