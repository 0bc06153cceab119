"""TensorBoard and W&B: one step axis over both phases, nothing in the working directory."""

import sys
from pathlib import Path
from types import SimpleNamespace

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_edt.quick_start import run_recbole_edt


def run(make_dataset, give_vectors, tmp_path, monkeypatch, **keys):
    folder = make_dataset()
    give_vectors(folder)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    base = {
        "data_path": str(folder.parent), "output_dir": str(tmp_path / "out"), "epochs": 2,
        "final_fit": True,
    }  # fmt: skip
    result = run_recbole_edt("LLMEDT", folder.name, overrides={**base, **keys})
    assert list(work.iterdir()) == []
    return result


def test_tensorboard_events_are_in_the_run_folder(
    make_dataset, give_vectors, tmp_path, monkeypatch
):
    result = run(make_dataset, give_vectors, tmp_path, monkeypatch, log_tensorboard=True)
    events = EventAccumulator(result["run_dir"] + "/tensorboard").Reload()
    scores = events.Scalars("valid/ndcg@10")
    assert [event.step for event in scores] == [1, 2, 3, 4, 5]  # 2 shared, start and 2 of domain
    assert {"loss/train", "valid/ndcg@10/d0"} <= set(events.Tags()["scalars"])
    final = EventAccumulator(result["run_dir"] + "/final/tensorboard").Reload()
    assert final.Tags()["scalars"] == ["loss/train"]


def test_wandb_gets_every_epoch(make_dataset, give_vectors, tmp_path, monkeypatch):
    logged = []
    fake = SimpleNamespace(
        run=None,
        init=lambda **_: None,
        define_metric=lambda *_, **__: None,
        log=lambda metrics, commit=True: logged.append(metrics),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    result = run(make_dataset, give_vectors, tmp_path, monkeypatch, log_wandb=True)
    assert [m["valid_step"] for m in logged if "valid_step" in m] == [1, 2, 3, 4, 5]
    assert all("valid/ndcg@10" in m for m in logged if "valid_step" in m)
    assert [m["train_step"] for m in logged if "train_step" in m] == [1, 2, 3, 4, 5]
    final = [m for m in logged if "final_step" in m]
    epochs = len(Path(result["run_dir"], "final", "curves.csv").read_text().splitlines()) - 1
    assert [m["final_step"] for m in final] == list(range(1, epochs + 1))
    assert {*final[0]} == {"final/loss", "final_step"}
