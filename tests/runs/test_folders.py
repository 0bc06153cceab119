"""Run ids, the files of a run's folder, earlier runs, and the lock."""

import filelock
import pytest

from recbole_edt.errors import UserError
from recbole_edt.runs import (
    RunFolder,
    choose_folder,
    exclusive_run,
    finished_run_of,
    first_folder,
    lock_path,
    newest_finished,
    runs_of,
)


@pytest.fixture
def settings(tmp_path):
    return {
        "model": "SASRec", "dataset": "toy", "seed": 3, "epochs": 5,
        "output_dir": str(tmp_path), "data_path": "dataset",
    }  # fmt: skip


def make(folder: RunFolder, finished: bool = False) -> RunFolder:
    folder.path.mkdir(parents=True)
    if finished:
        folder.metrics_path.write_text("{}")
    return folder


def test_a_run_id_is_seed_and_hash_of_the_configuration(settings, tmp_path):
    folder = first_folder(settings)
    # the id that commit 03bd51c gave this configuration: runs on disk are found by it
    assert folder.path == tmp_path / "toy" / "SASRec" / "seed3-6adb8ab4"
    assert first_folder({**settings, "data_path": "elsewhere"}) == folder
    assert first_folder({**settings, "epochs": 6}) != folder
    reordered = dict(reversed(settings.items()))
    assert first_folder(reordered) == folder


def test_every_further_run_of_a_configuration_gets_a_number(settings):
    first, is_earlier = choose_folder(settings, resume=True)
    assert (first, is_earlier) == (first_folder(settings), False)
    assert runs_of(settings) == []
    make(first)
    second, is_earlier = choose_folder(settings, resume=False)
    assert (second.path.name, is_earlier) == (f"{first.path.name}-2", False)
    assert choose_folder(settings, resume=True) == (first, True)
    make(second)
    assert choose_folder(settings, resume=True) == (second, True)
    assert choose_folder(settings, resume=False)[0].path.name == f"{first.path.name}-3"
    assert runs_of(settings) == [first, second]


def test_the_oldest_finished_run_of_a_configuration(settings):
    assert finished_run_of(settings) is None
    make(first_folder(settings))
    finished = [make(choose_folder(settings, resume=False)[0], finished=True) for _ in range(2)]
    assert finished_run_of(settings) == finished[0]


def test_the_newest_finished_run_of_a_model(settings, tmp_path):
    make(first_folder({**settings, "model": "BPR"}), finished=True)
    with pytest.raises(UserError, match=r"no finished run of BPRR .*did you mean 'BPR'"):
        newest_finished(tmp_path, "toy", "BPRR")
    newer = make(first_folder({**settings, "model": "BPR", "seed": 4}), finished=True)
    make(first_folder({**settings, "model": "BPR", "seed": 5}))
    assert newest_finished(tmp_path, "toy", "BPR") == newer


def test_what_an_unfinished_run_lacks_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError, match=r"is no folder of a run: it has no config\.yaml"):
        folder.require_finished()
    folder.write_settings({"seed": 1})
    assert folder.read_settings() == {"seed": 1}
    with pytest.raises(UserError, match=r"is not finished: it has no metrics\.json"):
        folder.require_finished()
    folder.metrics_path.write_text("{}")
    with pytest.raises(UserError, match=r"is not finished: it has no checkpoint/state\.json"):
        folder.require_finished()


def test_one_process_per_configuration_and_seed(settings, tmp_path):
    path = lock_path(settings)
    assert path.parent == tmp_path / "toy" / ".locks"
    refused = pytest.raises(UserError, match=r"another process is at work on .*seed3-")
    with exclusive_run(settings, wait=False):
        with refused, exclusive_run(settings, wait=False):
            pass
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(path).acquire(timeout=0)
        with exclusive_run({**settings, "seed": 4}, wait=False):
            pass
    with filelock.FileLock(path).acquire(timeout=0):  # free again
        pass
