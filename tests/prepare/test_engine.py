"""The embedded database reports what it lacks in one line."""

from pathlib import Path

import pytest

from recbole_edt.errors import UserError
from recbole_edt.prepare.engine import Engine


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_one_line(tmp_path):
    with Engine(tmp_path) as engine, pytest.raises(UserError, match="the disk is full") as caught:
        engine.run("COPY (SELECT range FROM range(3000000)) TO '/dev/full' (FORMAT csv)")
    assert "\n" not in str(caught.value)


def test_a_folder_that_it_made_and_did_not_need_is_removed(tmp_path):
    with Engine(tmp_path / "new") as engine:
        assert engine.row("SELECT 1") == (1,)
    assert not (tmp_path / "new").exists()
