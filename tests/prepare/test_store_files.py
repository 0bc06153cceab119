"""The store that prepare writes from its tables is the one that is built from the file."""

import shutil

import pytest

from recbole_edt.data.store import open_interactions
from recbole_edt.files import sha256_of

ITEMS = "item_id,domain,title\nx,a,X\nü,b,U\nunseen,b,V\nNAN,a,N\n"
ROWS = "zoe,x,5\nann,NAN,1\nzoe,ü,2\nann,x,1\nb,ü,9\nzoe,x,2\n"
NUMBERS = "10,x,5.25\n9,NAN,-1.5\n10,ü,2\n9,x,1\n100,ü,9\n10,x,2\n"


def content(folder):
    """Return the bytes of all files of a dataset's store, by name."""
    (store,) = folder.glob("store/inter-*")
    return {path.name: path.read_bytes() for path in store.iterdir()}


@pytest.mark.parametrize("rows", [ROWS, NUMBERS])
@pytest.mark.parametrize("flags", [(), ("--min_user_inter=2",), ("--duplicates=first",)])
def test_the_store_is_that_of_the_file(prepare_csv, tmp_path, rows, flags):
    prepare_csv(*flags, inter=f"user_id,item_id,timestamp\n{rows}", items=ITEMS)
    folder = tmp_path / "dataset" / "small"
    written = content(folder)
    shutil.rmtree(folder / "store")
    store = open_interactions(folder, "small")
    assert content(folder) == written
    assert store.sha256 == sha256_of(folder / "small.inter")
