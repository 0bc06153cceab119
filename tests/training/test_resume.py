"""A run that is killed at any point and resumed ends like one that never stopped."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import filelock
import pytest
import torch
from forks import COMMAND_LINE, start_python
from recbole.model.sequential_recommender import SASRec
from synthetic import give_vectors

from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import execute
from recbole_edt.training import checkpoint
from recbole_edt.training.trainer import PhasedTrainer

pytestmark = pytest.mark.slow

SMALL = {
    "hidden_size": 8, "inner_size": 8, "n_layers": 1, "MAX_ITEM_LIST_LENGTH": 10,
    "show_progress": False, "eval_batch_size": 64,
}  # fmt: skip
KEYS = {
    "LLMEDT": {
        **SMALL, "epochs": 3, "train_batch_size": 16, "lr_scheduler": "plateau",
        "shared_average_epochs": 1.5,
    },
    "SASRec": {
        **SMALL, "epochs": 3, "loss_type": "BPR", "train_batch_size": 64, "average_epochs": 2,
    },
    "Pop": {"show_progress": False, "eval_batch_size": 64},  # counts items outside its weights
    "RecVAE": {"show_progress": False, "epochs": 2},
}  # fmt: skip


class KilledError(Exception):
    pass


def without_times(metrics: dict) -> dict:
    kept = json.loads(json.dumps(metrics))
    for key in ("cost", "run_dir", "git"):
        kept.pop(key)
    for phase in kept["phases"]:
        phase.pop("seconds")
    return kept


def curves(metrics: dict) -> list[list[str]]:
    rows = Path(metrics["run_dir"], "curves.csv").read_text().splitlines()
    place = rows[0].split(",").index("seconds")
    return [[cell for n, cell in enumerate(row.split(",")) if n != place] for row in rows]


def run(dataset: Path, output: Path, model: str, **keys: object) -> dict:
    overrides = {"data_path": str(dataset.parent), "output_dir": str(output), **KEYS[model]}
    return run_recbole_edt(model, dataset.name, overrides=overrides, **keys)


@pytest.mark.kills
@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "Pop"])
@pytest.mark.parametrize("moment", ["save", "validate"])
def test_killed_anywhere_it_ends_with_the_same_numbers(
    model, moment, make_dataset, give_vectors, tmp_path, monkeypatch
):
    dataset = make_dataset(domains=2)
    give_vectors(dataset)
    unbroken = run(dataset, tmp_path / "unbroken", model)
    owner, function = {
        "save": (checkpoint, "save_state"), "validate": (PhasedTrainer, "evaluate")
    }[moment]  # fmt: skip
    original = getattr(owner, function)
    # LLMEDT saves after 3 shared epochs, at their end, and likewise in the domain phase, which
    # also validates and saves its start
    moments = {
        "LLMEDT": {"save": 9, "validate": 7},
        "SASRec": {"save": 4, "validate": 3},
        "Pop": {"save": 2, "validate": 1},
    }
    for kill_at in range(1, moments[model][moment] + 1):
        calls = 0

        def dies(*args, kill_at=kill_at, **kwargs):
            nonlocal calls
            calls += 1
            if moment == "validate" and calls == kill_at:
                raise KilledError  # in the middle of an epoch: nothing of it is on disk
            result = original(*args, **kwargs)
            if calls == kill_at:
                raise KilledError
            return result

        output = tmp_path / f"killed-{kill_at}"
        with monkeypatch.context() as patch:
            patch.setattr(owner, function, dies)
            with pytest.raises(KilledError):
                run(dataset, output, model)
        resumed = run(dataset, output, model, resume=True)
        assert without_times(resumed) == without_times(unbroken), f"killed at {moment} {kill_at}"
        assert curves(resumed) == curves(unbroken)


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec"])
def test_a_checkpoint_of_the_first_version_is_resumed(model, make_dataset, give_vectors, tmp_path):
    """`old_checkpoints` was written by commit 03bd51c, whose runs were killed half way.

    LLMEDT had ended the first epoch of its domain phase, SASRec its second epoch.
    """
    dataset, tiny = make_dataset(), {"MAX_ITEM_LIST_LENGTH": 8, "n_layers": 1, "n_heads": 2}
    give_vectors(dataset)
    overrides = {
        "data_path": str(dataset.parent), "output_dir": str(tmp_path / "out"), **KEYS[model],
        **tiny, "hidden_size": 4, "inner_size": 4,
    }  # fmt: skip
    unbroken = run_recbole_edt(model, dataset.name, overrides=overrides)
    rows = curves(unbroken)
    folder = Path(unbroken["run_dir"])
    (folder / "metrics.json").unlink()
    shutil.rmtree(folder / "checkpoint")
    shutil.copytree(Path(__file__).parent / "old_checkpoints" / model, folder / "checkpoint")
    resumed = run_recbole_edt(model, dataset.name, overrides=overrides, resume=True)
    assert resumed["run_dir"] == unbroken["run_dir"]
    assert "resuming after" in (folder / "train.log").read_text()
    assert [phase["epochs"] for phase in resumed["phases"]] == [
        phase["epochs"] for phase in unbroken["phases"]
    ]
    for part in ("valid", "test"):
        assert resumed[part]["overall"] == pytest.approx(unbroken[part]["overall"], abs=1e-9)
    for row, expected in zip(curves(resumed)[1:], rows[1:], strict=True):
        assert row[:2] == expected[:2]
        assert [float(x) for x in row[2:]] == pytest.approx([float(x) for x in expected[2:]])


@pytest.mark.kills
def test_kill_minus_nine_on_the_command_line(make_dataset, give_vectors, run_cli, tmp_path):
    dataset = make_dataset(users=60)
    give_vectors(dataset)
    keys = {**KEYS["LLMEDT"], "epochs": 6, "shared_min_epochs": 6, "data_path": dataset.parent}
    arguments = ["--model=LLMEDT", "--dataset=toy"]
    arguments += [f"--{key}={value}" for key, value in keys.items()]

    def run_here(name: str, *more: str) -> None:
        assert run_cli("run", *arguments, f"--output_dir={tmp_path / name}", *more).status == 0

    run_here("unbroken")
    killed = start_python(COMMAND_LINE, "run", *arguments, f"--output_dir={tmp_path / 'killed'}")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").rglob("state.json")):  # at least one epoch is done
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not list((tmp_path / "killed").rglob("metrics.json"))
    run_here("killed", "--resume")
    found = [
        json.loads(next((tmp_path / name).rglob("metrics.json")).read_text()) | {"run_dir": ""}
        for name in ("unbroken", "killed")
    ]
    assert without_times(found[0]) == without_times(found[1])


def test_a_finished_run_is_returned_and_a_second_one_gets_its_own_folder(
    make_dataset, give_vectors, tmp_path
):
    dataset = make_dataset()
    give_vectors(dataset)
    first = run(dataset, tmp_path, "LLMEDT")
    written = Path(first["run_dir"], "metrics.json").stat().st_mtime_ns
    assert run(dataset, tmp_path, "LLMEDT", resume=True) == first
    assert Path(first["run_dir"], "metrics.json").stat().st_mtime_ns == written
    second = run(dataset, tmp_path, "LLMEDT")
    assert second["run_dir"] == first["run_dir"] + "-2"
    assert without_times(second) == without_times(first)


def test_phase_two_never_lowers_a_domains_validation_score(make_dataset, give_vectors, tmp_path):
    dataset = make_dataset(users=80)
    give_vectors(dataset)
    result = run(dataset, tmp_path, "LLMEDT")
    before, after = result["phases"][0]["valid"]["domains"], result["valid"]["domains"]
    for domain in before:
        assert after[domain]["ndcg@10"] >= before[domain]["ndcg@10"] - 1e-6
    assert set(result["phases"][1]["best_epoch"]) == set(before)


@pytest.mark.parametrize("resume", [False, True])
def test_one_process_per_run(make_dataset, tmp_path, resume):
    dataset = make_dataset()
    done = run(dataset, tmp_path, "SASRec")
    (lock,) = tmp_path.glob("toy/.locks/SASRec-seed*.lock")
    assert lock.stem == f"SASRec-{Path(done['run_dir']).name}"
    Path(done["run_dir"], "metrics.json").unlink()  # as if it was still being made
    with filelock.FileLock(lock), pytest.raises(UserError, match="another process is at work on"):
        run(dataset, tmp_path, "SASRec", resume=resume)
    assert len(list(tmp_path.glob("toy/SASRec/*"))) == 1
    again = run(dataset, tmp_path, "SASRec", resume=resume)
    assert without_times(again) == without_times(done)
    assert (again["run_dir"] == done["run_dir"]) == resume


def test_whoever_waited_for_a_run_finds_it_finished(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset()
    overrides = {"data_path": str(dataset.parent), "output_dir": str(tmp_path), **KEYS["SASRec"]}
    config = EDTConfig("SASRec", dataset.name, (), overrides)
    acquire, first, asked = filelock.FileLock.acquire, [], []

    def acquire_after_another(self, *args, **kwargs):
        if "store" not in Path(self.lock_file).parts:
            asked.append(kwargs["timeout"])
        if asked and not first:
            first.append(None)
            first.append(run(dataset, tmp_path, "SASRec"))
        return acquire(self, *args, **kwargs)

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire_after_another)
    waited = execute(config, resume=True, wait=True)
    assert asked == [-1, 0]  # this run waits; the other one, bare, would have been refused
    assert str(waited.folder.path) == first[1]["run_dir"]
    assert waited.record.cost.to_dict() == first[1]["cost"]  # it was read, not trained again


def killed_after_the_first_epoch(dataset, output, monkeypatch, model="SASRec"):
    save = checkpoint.save_state

    def dies(*args, **kwargs):
        save(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_state", dies)
        with pytest.raises(KilledError):
            run(dataset, output, model)


def test_a_model_with_two_optimizers_in_turn_is_not_resumed(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset()
    killed_after_the_first_epoch(dataset, tmp_path / "out", monkeypatch, "RecVAE")
    with pytest.raises(UserError, match="run: RecVAE cannot be resumed within a phase"):
        run(dataset, tmp_path / "out", "RecVAE", resume=True)


def with_other_rows(dataset):
    """Reverse every user's order, so that held-out rows are others."""
    path = dataset / f"{dataset.name}.inter"
    head, *rows = path.read_text().splitlines()
    place = head.split("\t").index("timestamp:float")
    cells = [row.split("\t") for row in rows]
    for row in cells:
        row[place] = str(-float(row[place]))
    path.write_text("\n".join([head, *("\t".join(row) for row in cells)]) + "\n")
    shutil.rmtree(dataset / "split")


def with_an_item_in_another_domain(dataset):
    path = dataset / f"{dataset.name}.item"
    path.write_text(path.read_text().replace("d0-13\td0\t", "d0-13\td1\t"))


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_other_rows, "the split .*: its interactions have changed"),
        (with_an_item_in_another_domain, "the items .*: its items or domains have changed"),
    ],
)
def test_a_run_on_other_data_is_not_gone_on_with(
    make_dataset, tmp_path, monkeypatch, finished, change, said
):
    dataset = make_dataset()
    if finished:
        run(dataset, tmp_path / "out", "SASRec")
    else:
        killed_after_the_first_epoch(dataset, tmp_path / "out", monkeypatch)
    change(dataset)
    with pytest.raises(UserError, match=f"run: .* was trained on {said}"):
        run(dataset, tmp_path / "out", "SASRec", resume=True)


def test_a_finished_run_of_other_titles_is_not_returned(make_dataset, tmp_path):
    dataset = make_dataset()
    give_vectors(dataset)
    run(dataset, tmp_path / "out", "LLMEDT")
    path = dataset / f"{dataset.name}.item"
    path.write_text(path.read_text().replace("title of d0-1\n", "another title\n"))
    give_vectors(dataset)
    with pytest.raises(UserError, match="was made for another catalogue"):
        run(dataset, tmp_path / "out", "LLMEDT", resume=True)


def test_a_loss_that_is_no_number_is_told_in_one_line(make_dataset, tmp_path, monkeypatch):
    def diverges(self, *args, **keys):
        return torch.full((), torch.nan, requires_grad=True)

    monkeypatch.setattr(SASRec, "calculate_loss", diverges)
    with pytest.raises(UserError, match="not a number in epoch 1; training has diverged"):
        run(make_dataset(), tmp_path / "out", "SASRec")


def test_no_epoch_at_all_leaves_the_model_as_it_starts(make_dataset, tmp_path):
    overrides = {"data_path": str(make_dataset().parent), "output_dir": str(tmp_path / "out")}
    result = run_recbole_edt("BPR", "toy", overrides={**overrides, "epochs": 0})
    assert result["phases"][0]["epochs"] == 0
