"""The final fit: training once more on training and validation rows for the chosen epochs."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import give_vectors, make_dataset, write_inter

from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.split import TEST, TRAIN, VALID, load_or_make_split, save_split
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import RunFolder, first_folder, load_run
from recbole_edt.runs.assembly import prepare_data, prepare_final_data
from recbole_edt.training import checkpoint
from recbole_edt.training.trainer import PhasedTrainer

pytestmark = pytest.mark.slow

SMALL = {
    "hidden_size": 8, "inner_size": 8, "n_layers": 1, "MAX_ITEM_LIST_LENGTH": 8,
    "show_progress": False, "train_batch_size": 16,
}  # fmt: skip
PLATEAU = {"lr_scheduler": "plateau", "lr_patience": 0, "lr_factor": 0.1, "average_epochs": 1.5}
KEYS = {
    "LLMEDT": {**SMALL, **PLATEAU, "learning_rate": 0.05, "domain_learning_rate": 0.05},
    "SASRec": {**SMALL, "loss_type": "BPR", "average_epochs": 2},
    "SASRecSingle": SMALL,
    "BPR": {"show_progress": False, "embedding_size": 8},
    "Popularity": {"show_progress": False},
    "EASE": {"show_progress": False},
    "Pop": {"show_progress": False},
}
# validation by epoch; epoch 0, "no change", is validated in the domain phase only
SHARED = {"ndcg@10": [0.2, 0.1, 0.3, 0.0]}
DOMAIN = {
    "ndcg@10": [0.3, 0.2, 0.1, 0.1],
    "ndcg@10/d0": [0.5, 0.4, 0.3, 0.2],
    "ndcg@10/d1": [0.1, 0.2, 0.3, 0.2],
    "ndcg@10/d2": [0.1, 0.5, 0.2, 0.1],
}
BEST = {"d0": 0, "d1": 2, "d2": 1}


def run(root, model, name="toy", output="out", resume=False, **keys):
    places = {"data_path": str(root / "dataset"), "output_dir": str(root / output)}
    overrides = {**KEYS[model], **places, **keys}
    return run_recbole_edt(model, name, overrides=overrides, resume=resume)


def weights(folder):
    return checkpoint.model_weights(checkpoint.load_state(Path(folder) / "checkpoint").tensors)


def differing(first, second):
    assert first.keys() == second.keys()
    return [name for name, weight in first.items() if not torch.equal(weight, second[name])]


@pytest.fixture
def script(monkeypatch):
    """Let validation give the scores of a list, by phase and epoch."""

    def use(*by_phase):
        original = PhasedTrainer.evaluate

        def evaluate(self, *args, **keys):
            scores = original(self, *args, **keys)
            phase = len(self.phases)
            if phase < len(by_phase):
                before = sum(p["epochs"] for p in self.phases)
                epoch = len(self.history.curves) - before
                scores |= {m: values[epoch] for m, values in by_phase[phase].items()}
            return scores

        monkeypatch.setattr(PhasedTrainer, "evaluate", evaluate)

    return use


def with_validation_as_training(folder, split="leave_one_out"):
    """Write the same dataset once more; some test rows are validated on, for want of others."""
    codes = np.array(load_or_make_split(folder, folder.name, split).codes)
    other = folder.with_name("by_hand")
    other.mkdir()
    for suffix in ("inter", "item"):
        text = (folder / f"{folder.name}.{suffix}").read_text()
        (other / f"by_hand.{suffix}").write_text(text)
    codes[codes == VALID] = TRAIN
    codes[np.flatnonzero(codes == TEST)[::2]] = VALID
    save_split(other, "by_hand", split, codes)
    give_vectors(other)
    return other


def test_it_is_training_by_hand_on_training_and_validation_rows(tmp_path, script):
    """Plateau schedule, averaged weights and one best epoch per thread included."""
    folder = make_dataset(tmp_path / "dataset")
    give_vectors(folder)
    with_validation_as_training(folder)
    script(SHARED, DOMAIN)
    epochs = {"shared_epochs": 4, "domain_epochs": 3}
    found = run(tmp_path, "LLMEDT", final_fit=True, content_expert=True, **epochs)
    assert [phase["best_epoch"] for phase in found["phases"]] == [3, BEST]
    assert [(phase["name"], phase["epochs"]) for phase in found["final_fit"]] == [
        ("shared", 3), ("domain", BEST),
    ]  # fmt: skip
    epochs = {"shared_epochs": 3, "domain_epochs": 2}
    by_hand = run(tmp_path, "LLMEDT", "by_hand", **epochs)
    assert [phase["best_epoch"] for phase in by_hand["phases"]] == [3, BEST]
    first, final = weights(found["run_dir"]), weights(Path(found["run_dir"], "final"))
    assert differing(final, weights(by_hand["run_dir"])) == []
    assert len(differing(final, first)) > len(final) // 2
    without = run(tmp_path, "LLMEDT", shared_epochs=4, domain_epochs=3, content_expert=True)
    assert found["valid"] == without["valid"]
    assert found["expert_weights"] == without["expert_weights"]
    assert found["phases"][0]["valid"] == without["phases"][0]["valid"]
    assert found["test"] != without["test"]
    assert "final_fit" not in without
    assert differing(first, weights(without["run_dir"])) == []


@pytest.mark.parametrize(
    ("model", "scores", "best"),
    [
        ("SASRec", {"ndcg@10": [0.1, 0.3, 0.2]}, 2),
        ("BPR", {"ndcg@10": [0.1, 0.3, 0.2]}, 2),
        ("SASRecSingle", {f"ndcg@10/d{k}": [0.1, 0.3, 0.2] for k in range(3)}, 2),
        ("Popularity", {}, 1),
        ("EASE", {}, 1),
        ("Pop", {}, 1),
    ],
)
def test_every_kind_of_model_is_fitted_as_by_hand(tmp_path, script, model, scores, best):
    folder = make_dataset(tmp_path / "dataset")
    give_vectors(folder)
    with_validation_as_training(folder)
    script(scores)
    epochs = {"epochs": 3} if scores else {}
    found = run(tmp_path, model, final_fit=True, **epochs)
    epochs = {"epochs": best} if scores else {}
    by_hand = run(tmp_path, model, "by_hand", **epochs)
    states = [
        checkpoint.load_state(folder / "checkpoint").tensors
        for folder in (Path(found["run_dir"], "final"), Path(by_hand["run_dir"]))
    ]
    models = [
        {k: v for k, v in state.items() if k.startswith(("model/", "outside/"))} for state in states
    ]
    assert differing(*models) == []
    # targets that both have on test get the same rank
    ranks = [pd.read_csv(Path(one["run_dir"], "test_ranks.csv")) for one in (found, by_hand)]
    common = ranks[0].merge(ranks[1], on=["user_id", "item_id"])
    assert len(common) == len(ranks[1]) > 10
    assert (common["rank_x"] == common["rank_y"]).all()


def test_counts_and_rows_are_those_of_both_parts(tmp_path):
    folder = make_dataset(tmp_path / "dataset")
    give_vectors(folder)
    config = EDTConfig("SASRecLLM", "toy", overrides={"data_path": str(folder.parent)})
    dataset = CrossDomainDataset(config)
    first, valid, test = prepare_data(config, dataset)
    counts = dataset.item_counts()
    final = prepare_final_data(config, dataset).dataset
    held_out = np.bincount(valid.items, minlength=dataset.item_num)
    assert (final.item_counts() == counts + held_out).all()
    assert (first.dataset.item_counts() == counts).all()  # nothing of the first fit has changed
    assert final.hashes() == dataset.hashes()
    users, items, _ = final.training_sequences()
    assert not set(zip(users, items, strict=True)) & set(zip(test.users, test.items, strict=True))
    assert set(zip(valid.users, valid.items, strict=True)) < set(zip(users, items, strict=True))


@pytest.mark.parametrize("model", ["LLMEDT", "SASRecSingle"])
def test_no_test_row_is_read(tmp_path, model):
    """All test items are others, except those of the first user, who numbers the items."""
    rng = np.random.default_rng(0)
    make_dataset(tmp_path / "dataset")
    path = tmp_path / "dataset" / "toy" / "toy.inter"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    items = sorted({item for _, item, _ in rows})
    everything = [("a", item, time) for time, item in enumerate(items)]
    fits = []
    for _ in range(2):
        last = {user: place for place, (user, _, _) in enumerate(rows)}
        del last["one"]  # whose only row is trained on
        for place in last.values():
            rows[place][1] = str(rng.choice(items))
        write_inter(path, [*everything, *map(tuple, rows)])
        for stale in (path.parent / "split").glob("*"):
            stale.unlink()
        give_vectors(path.parent)
        keys = {"final_fit": True, "epochs": 2, "output": f"out{len(fits)}"}
        fits.append(run(tmp_path, model, **keys))
    assert fits[0]["test"] != fits[1]["test"]
    assert [phase["best_epoch"] for phase in fits[0]["phases"]] == [
        phase["best_epoch"] for phase in fits[1]["phases"]
    ]
    first, second = (weights(Path(fit["run_dir"], "final")) for fit in fits)
    assert differing(first, second) == []


def losses(folder):
    with open(Path(folder, "curves.csv"), newline="") as handle:
        return [(row["phase"], row["epoch"], row["loss"]) for row in csv.DictReader(handle)]


def test_files_and_log_tell_the_fits_apart(tmp_path):
    give_vectors(make_dataset(tmp_path / "dataset"))
    keys = {"shared_epochs": 2, "domain_epochs": 1}
    found = run(tmp_path, "LLMEDT", final_fit=True, **keys)
    folder = RunFolder(Path(found["run_dir"]))
    assert found["protocol"]["final_fit"] is True
    final = {phase["name"]: phase for phase in found["final_fit"]}
    assert final["shared"]["epochs"] == found["phases"][0]["best_epoch"]
    assert final["domain"]["epochs"] == found["phases"][1]["best_epoch"]
    trained = [*found["phases"], *found["final_fit"]]
    assert found["cost"]["train_seconds"] > sum(phase["seconds"] for phase in trained) - 1e-4
    states = [json.loads((f.checkpoint_dir / "state.json").read_text())
              for f in (folder, folder.final_fit)]  # fmt: skip
    assert ["fit" in state for state in states] == [False, True]
    head = folder.final_fit.curves_path.read_text().splitlines()[0]
    assert head == "phase,epoch,loss,seconds"
    log = folder.log_path.read_text().splitlines()
    lines = [line for line in log if "final fit: " in line]
    assert len(lines) == len(losses(folder.final_fit.path)) + 3
    assert not any("ndcg" in line for line in lines)
    # same seed, other rows: the first step of both fits is from the same weights
    assert losses(folder.path)[0][2] != losses(folder.final_fit.path)[0][2]


class KilledError(Exception):
    pass


@pytest.mark.kills
@pytest.mark.parametrize(
    ("model", "moments"),
    # LLMEDT saves three times in the shared phase and four times in the domain phase of the first
    # fit; 7 is its end. SASRec saves three times.
    [("LLMEDT", [2, 7, 8, 10]), ("SASRec", [4])],
)
def test_killed_in_either_fit_it_ends_with_the_same_numbers(tmp_path, monkeypatch, model, moments):
    give_vectors(make_dataset(tmp_path / "dataset"))
    keys = {"final_fit": True, "epochs": 2, "content_expert": True}
    unbroken = run(tmp_path, model, output="unbroken", **keys)
    original = checkpoint.save_state
    for moment in moments:
        calls = 0

        def dies(*args, moment=moment):
            nonlocal calls
            original(*args)
            calls += 1
            if calls == moment:
                raise KilledError

        output = f"killed{moment}"
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save_state", dies)
            with pytest.raises(KilledError):
                run(tmp_path, model, output=output, **keys)
        resumed = run(tmp_path, model, output=output, resume=True, **keys)
        for key in ("valid", "test", "expert_weights", "without_expert"):
            assert resumed[key] == unbroken[key], f"killed at save {moment}"
        folders = [Path(one["run_dir"], "final") for one in (resumed, unbroken)]
        assert losses(folders[0]) == losses(folders[1])
        assert differing(*map(weights, folders)) == []


@pytest.mark.parametrize("model", ["LLMEDT", "EASE", "Pop", "BPR"])
def test_loading_and_evaluation_use_the_final_weights(tmp_path, run_cli, model):
    give_vectors(make_dataset(tmp_path / "dataset"))
    keys = {"epochs": 1} if model in ("LLMEDT", "BPR") else {}
    found = run(tmp_path, model, final_fit=True, **keys)
    folder = RunFolder(Path(found["run_dir"]))
    loaded = load_run(folder, {})
    final = weights(folder.final_fit.path)
    assert differing({k: v.cpu() for k, v in loaded.model.state_dict().items()}, final) == []
    assert loaded.trained_on.item_counts().sum() > loaded.dataset.item_counts().sum()
    shown = run_cli("evaluate", f"--run={folder.path}")
    assert shown.status == 0, shown.err
    assert "final fit on training and validation rows" in shown.out
    again = json.loads(next(folder.path.glob("evaluate-*.json")).read_text())
    assert again["test"] == found["test"]
    assert again["protocol"]["final_fit"] is True
    assert run_cli("recommend", f"--run={folder.path}", "--user=u5").status == 0


def test_a_shared_phase_is_reused_from_the_first_fit(tmp_path):
    """That of the final fit has seen the validation rows."""
    give_vectors(make_dataset(tmp_path / "dataset"))
    epochs = {"shared_epochs": 2, "domain_epochs": 1}
    source = run(tmp_path, "LLMEDT", final_fit=True, **epochs)
    plain = run(tmp_path, "LLMEDT", **epochs)
    for final_fit, expected in ((False, plain), (True, source)):
        reused = run(
            tmp_path, "LLMEDT", output="reused", final_fit=final_fit,
            shared_run=source["run_dir"], **epochs,
        )  # fmt: skip
        assert reused["phases"][0]["valid"] == plain["phases"][0]["valid"]
        assert (reused["valid"], reused["test"]) == (expected["valid"], expected["test"])


def test_it_is_part_of_the_runs_id_only_where_it_is_set(tmp_path):
    settings = EDTConfig("SASRec", "toy", overrides={"output_dir": str(tmp_path)}).to_dict()
    assert settings["final_fit"] is False
    older = {key: value for key, value in settings.items() if key != "final_fit"}
    assert first_folder(settings) == first_folder(older)
    assert first_folder({**settings, "final_fit": True}) != first_folder(older)


def test_another_word_than_true_or_false_is_refused():
    with pytest.raises(UserError, match="final_fit: found 'train', expected True or False"):
        EDTConfig("SASRec", "toy", overrides={"final_fit": "train"})
