"""Runs over several folds: each fold is a run of its own, and one record holds all of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import give_vectors, write_inter, write_items

import recbole_edt
from recbole_edt.compare.compared_run import (
    ComparedRun,
    mean_of_folds,
    target_values,
    target_weights,
)
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import validation
from recbole_edt.compare.report.tables import fold_table
from recbole_edt.compare.results import load_results
from recbole_edt.errors import UserError
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import Report, RunFolder, load_run
from recbole_edt.runs.folds import combine
from recbole_edt.training import checkpoint
from recbole_edt.training.trainer import PhasedTrainer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_pdf")]

SMALL = {
    "hidden_size": 8, "inner_size": 8, "n_layers": 1, "MAX_ITEM_LIST_LENGTH": 8,
    "show_progress": False, "train_batch_size": 32,
}  # fmt: skip
KEYS = {
    "SASRec": {**SMALL, "epochs": 2, "loss_type": "BPR"},
    "LLMEDT": {**SMALL, "epochs": 2, "augment": False, "profiles": False},
    "BPR": {"show_progress": False, "embedding_size": 8, "epochs": 2},
    "Popularity": {"show_progress": False},
}
FOLDS = {"split": "rolling", "folds": 3, "fold_share": 0.1}


@pytest.fixture
def quick_pdf(monkeypatch):
    from recbole_edt.compare.report.figures import canvas

    monkeypatch.setitem(canvas.STYLE, "pdf.fonttype", 3)


def make_interleaved(root: Path, later: int = 0, seed: int = 0) -> Path:
    """Write 30 users' 600 rows in turn, one a moment; `later` redraws the last so many rows.

    Two users have every item that anybody has, so that items are numbered alike.
    """
    rng = np.random.default_rng(seed)
    names = [f"d{k}-{n}" for k in range(3) for n in range(8)]
    unused = [f"d{k}-{n}" for k in range(3) for n in range(8, 12)]
    users, items = rng.integers(30, size=600), rng.integers(24, size=600)
    if later:
        other = np.random.default_rng(99)
        users[-later:], items[-later:] = (
            other.integers(30, size=later),
            other.integers(24, size=later),
        )
    rows = [(f"first{n % 2}", name, -1000 + n) for n, name in enumerate(names)]
    rows += [(f"u{user}", "d0-0", -900 + user) for user in range(30)]
    rows += [(f"u{u}", names[i], n) for n, (u, i) in enumerate(zip(users, items, strict=True))]
    folder = root / "dataset" / "toy"
    write_inter(folder / "toy.inter", sorted(rows, key=lambda row: (row[0], row[2])))
    write_items(folder / "toy.item", [(name, name[:2]) for name in [*names, *unused]])
    give_vectors(folder)
    return folder


def run(root, model, output="out", resume=False, **keys):
    places = {"data_path": str(root / "dataset"), "output_dir": str(root / output)}
    overrides = {**KEYS[model], **places, **FOLDS, **keys}
    return run_recbole_edt(model, "toy", overrides=overrides, resume=resume)


def weights(folder):
    return checkpoint.model_weights(checkpoint.load_state(Path(folder) / "checkpoint").tensors)


def same_weights(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def without_times(record):
    kept = json.loads(json.dumps({k: v for k, v in record.items() if k != "run_dir"}))
    del kept["cost"], kept["git"]
    for phase in (*kept["phases"], *kept.get("final_fit", ())):
        del phase["seconds"]
    return kept


@pytest.mark.parametrize("model", ["SASRec", "BPR", "LLMEDT"])
def test_a_fold_is_a_run_of_its_own(tmp_path, model):
    make_interleaved(tmp_path)
    found = run(tmp_path, model)
    assert found["protocol"]["split"] == "rolling-3-0.1"
    assert [one["fold"] for one in found["folds"]] == [1, 2, 3]
    records = []
    for fold in (1, 2, 3):
        single = run(tmp_path, model, "single", fold=fold)
        records.append(single)
        folder = Path(found["run_dir"], f"fold-{fold}")
        assert same_weights(folder, single["run_dir"])
        within = json.loads((folder / "metrics.json").read_text())
        assert without_times(within) == without_times(single)
        for part in ("valid", "test"):
            assert found["folds"][fold - 1][part] == single[part]
    # the last one is the split ``time``
    keys = {k: v for k, v in KEYS[model].items()}
    places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
    by_time = run_recbole_edt(model, "toy", overrides={**keys, **places, "split": "time"})
    assert by_time["test"] == found["folds"][2]["test"]
    assert by_time["protocol"]["split_hash"] == found["folds"][2]["split_hash"]
    for scope in ("overall", *(("domains", d) for d in ("d0", "d1", "d2"))):

        def of(report, scope=scope):
            return report["overall"] if scope == "overall" else report["domains"][scope[1]]

        for part in ("valid", "test"):
            parts = [of(one[part]) for one in records]
            for name in ("ndcg@10", "hit@5", "mrr@20"):
                values = [one[name] for one in parts]
                mean, std = np.mean(values), np.std(values, ddof=1)
                assert of(found[part])[name] == pytest.approx(mean)
                assert of(found["std_over_folds"][part])[name] == pytest.approx(std)
            assert of(found[part])["users"] == sum(one["users"] for one in parts)


def test_ranks_of_all_folds(tmp_path):
    make_interleaved(tmp_path)
    found = run(tmp_path, "SASRec", metrics=["NDCG", "Hit", "Novelty"])
    whole = ComparedRun.read(Path(found["run_dir"]))
    ranks = whole.ranks  # checks that they give the metrics
    for number, fold in enumerate(whole.fits, start=1):
        of_fold = ranks[ranks["fold"] == number].drop(columns="fold").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_fold, fold.ranks)
    by_fold = pd.Series(target_values(ranks, "ndcg@10")).groupby(ranks["fold"].to_numpy()).mean()
    assert found["test"]["overall"]["ndcg@10"] == pytest.approx(by_fold.mean())
    sizes = ranks["fold"].value_counts()
    assert sizes.nunique() > 1  # so that the mean of folds is not that of all targets
    path = Path(found["run_dir"], "test_ranks.csv")
    path.write_text(path.read_text().replace(",1,", ",2,"))
    with pytest.raises(UserError, match=r"of these ranks is"):
        _ = ComparedRun.read(Path(found["run_dir"])).ranks


@pytest.mark.parametrize("model", ["SASRec", "BPR", "LLMEDT", "Popularity"])
def test_no_later_row_is_read(tmp_path, model):
    """The last 120 rows are others: nothing of fold 1 changes, whose test window ends before."""
    keys = {"metrics": ["NDCG", "Novelty", "AveragePopularity"]}
    if model == "BPR":
        keys["train_neg_sample_args"] = {
            "distribution": "popularity", "sample_num": 1, "alpha": 1.0, "dynamic": False,
            "candidate_num": 0,
        }  # fmt: skip
    runs = []
    for later in (0, 120):
        folder = make_interleaved(tmp_path / str(later), later)
        count = len(folder.joinpath("toy.inter").read_text().splitlines()) - 1
        assert count == 654
        runs.append(run(tmp_path / str(later), model, fold_share=60 / 654, fold=1, **keys))
    assert runs[0]["protocol"]["split_hash"] != runs[1]["protocol"]["split_hash"]
    assert runs[0]["valid"] == runs[1]["valid"]
    assert runs[0]["test"] == runs[1]["test"]
    assert same_weights(runs[0]["run_dir"], runs[1]["run_dir"])
    ranks = [pd.read_csv(Path(one["run_dir"], "test_ranks.csv")) for one in runs]
    pd.testing.assert_frame_equal(*ranks)


class KilledError(Exception):
    pass


def test_a_finished_fold_is_never_trained_again(tmp_path, monkeypatch):
    make_interleaved(tmp_path)
    unbroken = run(tmp_path, "LLMEDT", "unbroken")
    original, trained = PhasedTrainer.evaluate, []

    def dies_after(count):
        def evaluate(self, *args, **keys):
            if len(trained) == count:
                raise KilledError
            trained.append(Path(self.checkpoint_dir).parent.name)
            return original(self, *args, **keys)

        return evaluate

    per_fold = None
    for kill_at in (3, 7, 8, 99):
        with monkeypatch.context() as patch:
            patch.setattr(PhasedTrainer, "evaluate", dies_after(kill_at))
            if kill_at < 99:
                with pytest.raises(KilledError):
                    run(tmp_path, "LLMEDT", resume=True)
            else:
                resumed = run(tmp_path, "LLMEDT", resume=True)
                per_fold = {name: trained.count(name) for name in trained}
    assert set(per_fold) == {"fold-1", "fold-2", "fold-3"}
    assert len(set(per_fold.values())) == 1, per_fold  # each epoch is validated once
    assert without_times(resumed) == without_times(unbroken)
    before = {p: p.stat().st_mtime_ns for p in Path(resumed["run_dir"]).rglob("*")}
    again = run(tmp_path, "LLMEDT", resume=True)
    assert again == resumed
    assert {p: p.stat().st_mtime_ns for p in Path(resumed["run_dir"]).rglob("*")} == before
    other = run(tmp_path, "LLMEDT")  # without resume a new run
    assert other["run_dir"] == f"{resumed['run_dir']}-2"


@pytest.mark.kills
def test_kill_9_loses_the_current_epoch_at_most(tmp_path):
    make_interleaved(tmp_path)
    keys = {**KEYS["SASRec"], **FOLDS, "epochs": 12, "stopping_step": 100}
    flags = [f"--{key}={value}" for key, value in keys.items()]
    where = [f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/out", "--dataset=toy"]
    command = [sys.executable, "-m", "recbole_edt", "run", "--model=SASRec", *where, *flags]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as killed:
        for _ in range(6000):
            states = list(tmp_path.glob("out/*/*/*/fold-2/checkpoint/state.json"))
            if states and json.loads(states[0].read_text())["epoch"] >= 2:
                break
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    (folder,) = tmp_path.glob("out/toy/SASRec/*")
    epoch = json.loads(states[0].read_text())["epoch"]
    first = (folder / "fold-1" / "metrics.json").stat().st_mtime_ns
    assert not (folder / "metrics.json").exists()
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming after train epoch {epoch}" in resumed.stderr
    assert "fold 1 of 3" not in resumed.stderr
    assert (folder / "fold-1" / "metrics.json").stat().st_mtime_ns == first
    record = json.loads((folder / "metrics.json").read_text())
    unbroken = run(tmp_path, "SASRec", "unbroken", epochs=12, stopping_step=100)
    assert without_times(record) == without_times(unbroken)


def test_final_fit_sampled_candidates_and_expert(tmp_path):
    make_interleaved(tmp_path)
    keys = {"final_fit": True, "sampled_candidates": 3, "content_expert": True}
    found = run(tmp_path, "SASRec", **keys)
    assert len(found["final_fit"]) == 3
    assert found["protocol"]["final_fit"] is True
    draws = set()
    for number, fold in enumerate(found["folds"], start=1):
        single = run(tmp_path, "SASRec", "single", fold=number, **keys)
        assert fold["test"] == single["test"]
        draws.add(single["protocol"]["sampled_hash"])
        assert set(single["expert_weights"]) == {"d0", "d1", "d2"}
    assert len(draws) == 3
    assert found["protocol"]["sampled_hash"] not in draws
    assert "expert_weights" not in found
    loaded = load_run(RunFolder(Path(found["run_dir"])), {})
    assert same_weights(found["run_dir"] + "/fold-3/final", loaded.folder.final_fit.path)
    assert loaded.folder.path.name == "fold-3"


def test_one_fold_has_no_deviation(tmp_path):
    make_interleaved(tmp_path)
    found = run(tmp_path, "Popularity", folds=1)
    assert "std_over_folds" not in found
    assert len(found["folds"]) == 1
    assert found["folds"][0]["test"] == found["test"]


def test_commands_on_a_run_of_folds(tmp_path, run_cli):
    make_interleaved(tmp_path)
    folder = run(tmp_path, "SASRec")["run_dir"]
    said = f"recbole-edt: {folder} has several folds; the last is used\n"
    page = run_cli("recommend", f"--run={folder}", "--user=u1", "--k=2")
    assert page.status == 0, page.err
    assert page.err == said
    assert page.out == run_cli("recommend", f"--run={folder}/fold-3", "--user=u1", "--k=2").out
    other = run_cli("recommend", f"--run={folder}/fold-1", "--user=u1", "--k=2")
    assert (other.status, other.err) == (0, "")
    assert "/fold-1" in other.out
    places = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/out")
    newest = run_cli("recommend", "--models=SASRec", "--dataset=toy", *places, "--user=u1", "--k=2")
    assert (newest.out, newest.err) == (page.out, said)
    shown = run_cli("explore", f"--runs={folder}", f"--output={tmp_path}/page.html")
    assert (shown.status, shown.err) == (0, said)
    refused = run_cli("evaluate", f"--run={folder}", "--candidates=all")
    assert refused.status == 2
    assert refused.err.endswith(
        f"{folder} is a run over several folds; expected the folder of one of them, such as "
        f"{folder}/fold-1\n"
    )
    assert run_cli("evaluate", f"--run={folder}/fold-2", "--candidates=all").status == 0
    assert recbole_edt.load(folder).run.folder.path.name == "fold-3"
    RunFolder(Path(folder)).metrics_path.unlink()
    for command in ("recommend", "explore"):
        flags = {"recommend": ("--run", "--user=u1"), "explore": ("--runs",)}[command]
        unfinished = run_cli(command, f"{flags[0]}={folder}", *flags[1:])
        assert unfinished.status == 2
        assert unfinished.err == (
            f"recbole-edt: run: {folder} is not finished: it has no metrics.json\n"
        )


def test_export_takes_the_last_fold(tmp_path, run_cli):
    pytest.importorskip("onnxruntime")
    make_interleaved(tmp_path)
    folder = run(tmp_path, "SASRec")["run_dir"]
    done = run_cli("export", f"--run={folder}")
    assert done.status == 0, done.err
    assert f"{folder} has several folds; the last is used" in done.err
    exported = Path(folder) / "export"
    assert json.loads((exported / "config.json").read_text())["model"] == "SASRec"


def test_every_fold_has_its_own_artefacts(tmp_path, run_cli):
    folder = make_interleaved(tmp_path)
    keys = {"augment": True, "augment_mode": "random"}
    flags = [f"--{key}={value}" for key, value in {**FOLDS, **keys}.items() if key != "augment"]
    before = {*(folder / "artefacts").iterdir()}
    with pytest.raises(
        UserError, match=r"augment of these settings for rolling-3-0\.1-fold1"
    ) as said:
        run(tmp_path, "LLMEDT", **keys)
    assert not (tmp_path / "out").exists() or not [*tmp_path.glob("out/toy/LLMEDT/*/fold-*")]
    assert "--split=rolling" in str(said.value)
    assert "--fold=" not in str(said.value)
    where = ("--dataset=toy", f"--data_path={tmp_path}/dataset", "--only=augment")
    made = run_cli("artefacts", *where, *flags)
    assert made.status == 0, made.err
    assert [line for line in made.out.splitlines() if line.startswith("fold")] == [
        f"fold {n} of 3" for n in (1, 2, 3)
    ]
    assert len({*(folder / "artefacts").iterdir()} - before) == 3
    found = run(tmp_path, "LLMEDT", **keys)
    assert len(set(found["artefacts"]["hash"].split(", "))) == 3
    # an anchor is a training row of the fold
    assert run(tmp_path, "LLMEDT", resume=True, **keys) == found
    shutil.rmtree(Path(found["run_dir"], "fold-3"))
    with pytest.raises(UserError, match="fold-3"):
        run(tmp_path, "LLMEDT", resume=True, **keys)


def test_a_shared_phase_is_reused_fold_by_fold(tmp_path):
    make_interleaved(tmp_path)
    plain = {k: v for k, v in KEYS["LLMEDT"].items()}
    shared = run(tmp_path, "LLMEDT", "shared", phases=["shared"], **plain)
    trained = run(tmp_path, "LLMEDT")
    reused = run(tmp_path, "LLMEDT", "reused", shared_run=shared["run_dir"])
    assert reused["test"] == trained["test"]
    for fold in (1, 2, 3):
        log = Path(reused["run_dir"], f"fold-{fold}", "train.log").read_text()
        assert "shared epoch" not in log
        assert "shared epoch" in Path(trained["run_dir"], f"fold-{fold}", "train.log").read_text()


def test_tuning_reads_the_first_folds_validation_only(tmp_path, run_cli, monkeypatch):
    make_interleaved(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("space.hyper").write_text("learning_rate choice [0.1, 0.01]\n")
    keys = {**KEYS["SASRec"], **FOLDS, "model": "SASRec", "dataset": "toy"}
    flags = [f"--{key}={value}" for key, value in keys.items()]
    done = run_cli("tune", "--params_file=space.hyper", "--trials=2", *flags)
    assert done.status == 0, done.err
    (tuned,) = tmp_path.glob("output/toy/tune/*/tune.json")
    trials = json.loads(tuned.read_text())["runs"]
    for trial in trials:
        record = json.loads(Path(tuned.parent, trial["run_dir"], "metrics.json").read_text())
        assert record["protocol"]["split"] == "rolling-3-0.1-fold1"
        assert trial["score"] == record["valid"]["overall"]["ndcg@10"]
    best = (tuned.parent / "best.yaml").read_text()
    assert "split: rolling" in best
    assert "fold:" not in best


def test_two_processes_of_torchrun_run_all_folds(tmp_path):
    make_interleaved(tmp_path)
    keys = {
        **FOLDS, **SMALL, "folds": 2, "epochs": 1, "learner": "sgd", "hidden_dropout_prob": 0.0,
        "attn_dropout_prob": 0.0,
    }  # fmt: skip
    one = run_recbole_edt(
        "SASRecLLM",
        "toy",
        overrides={**keys, "data_path": f"{tmp_path}/dataset", "output_dir": f"{tmp_path}/one"},
    )
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "recbole_edt",
        "run", "--model=SASRecLLM", "--dataset=toy", f"--data_path={tmp_path}/dataset",
        f"--output_dir={tmp_path}/two", *(f"--{key}={value}" for key, value in keys.items()),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = tmp_path.glob("two/toy/SASRecLLM/*/metrics.json")
    two = json.loads(path.read_text())
    assert two["cost"]["processes"] == 2
    for first, second in zip(one["folds"], two["folds"], strict=True):
        assert second["test"]["overall"] == pytest.approx(first["test"]["overall"], abs=0.02)
    assert done.stdout.count("mean over folds") == 1
    ranks = [
        pd.read_csv(Path(x, "test_ranks.csv"))["user_id"] for x in (one["run_dir"], path.parent)
    ]
    assert ranks[0].equals(ranks[1])


def test_a_comparison_of_folds(tmp_path, run_cli):
    make_interleaved(tmp_path)
    places = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/out", "--dataset=toy")
    flags = [f"--{key}={value}" for key, value in FOLDS.items()]
    command = ("compare", "--models=Popularity,ItemKNN", "--seeds=1", *places, *flags)
    done = run_cli(*command)
    assert done.status == 0, done.err
    (folder,) = tmp_path.glob("out/toy/compare/*")
    found = load_results(folder)
    rows = {row.label: row for row in found.rows}
    records = {label: row.runs[1].record for label, row in rows.items()}
    tests = Significance(found)
    for domain in (None, "d0", "d1", "d2"):
        means = {}
        for label, record in records.items():
            values = [one.test.value("ndcg@10", domain) for one in record.folds]
            means[label] = np.mean(values)
            assert rows[label].values("ndcg@10", domain)[1] == pytest.approx(means[label])
        (test,) = (t for t in tests.tests if (t.metric, t.domain) == ("ndcg@10", domain))
        difference = means[test.first] - means[test.second]
        assert test.effect.difference == pytest.approx(difference)
        assert test.effect.low <= difference <= test.effect.high
    for row in rows.values():  # later folds validate on what earlier ones are tested on
        first = row.runs[1].record.folds[0].valid.value("ndcg@10")
        assert validation(found, row, None).mean == first
    (overall,) = (t for t in tests.tests if (t.metric, t.domain) == ("ndcg@10", None))
    ranks = rows["Popularity"].runs[1].ranks
    assert overall.effect.users == ranks["user_id"].nunique() < len(ranks)
    table = fold_table(found)
    cells = {line[0].text: [cell.text for cell in line[1:]] for line in table.rows}
    for label, record in records.items():
        values = [one.test.value("ndcg@10") for one in record.folds]
        assert cells[label][:3] == [f"{value:.4f}" for value in values]
        assert cells[label][3] == f"{np.mean(values):.4f} ±{np.std(values, ddof=1):.4f}"
    ours, other = records[overall.first], records[overall.second]
    ahead = sum(
        a.test.value("ndcg@10") > b.test.value("ndcg@10")
        for a, b in zip(ours.folds, other.folds, strict=True)
    )
    assert cells[overall.first][4] == "-"
    assert cells[overall.second][4] == f"{ahead} of 3"
    assert "by fold" in done.out
    assert "by fold" in (folder / "report.html").read_text()
    results = pd.read_csv(folder / "results.csv")
    assert {"fold 1", "fold 2", "fold 3"} < {*results["variant"]}
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/toy/*/*/fold-*/metrics.json")}
    assert len(before) == 6
    again = run_cli(*command)
    assert again.out == done.out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    paths = [str(row.runs[1].path) for row in rows.values()]
    other_folds = run(tmp_path, "Popularity", folds=2)["run_dir"]
    refused = run_cli("compare", f"--runs={paths[0]},{other_folds}")
    assert refused.status == 2
    assert "split: " in refused.err
    assert "'rolling-3-0.1'" in refused.err
    assert "'rolling-2-0.1'" in refused.err
    assert run_cli("compare", f"--runs={','.join(paths)}").status == 0
    one_by_one = run_cli("compare", f"--runs={','.join(f'{p}/fold-2' for p in paths)}")
    assert one_by_one.status == 0, one_by_one.err
    assert "by fold" not in one_by_one.out


def test_each_fold_weighs_the_same():
    ranks = pd.DataFrame({"fold": [1, 1, 1, 1, 2, 3, 3]})
    assert target_weights(ranks).tolist() == [0.25] * 4 + [1.0] + [0.5] * 2
    values = np.array([1.0, 0, 0, 0, 1, 1, 0])
    assert mean_of_folds(ranks, values) == pytest.approx((0.25 + 1 + 0.5) / 3)
    assert target_weights(pd.DataFrame({"rank": [1, 2]})) is None


def test_means_leave_out_folds_without_targets():
    def report(users, value):
        scores = {"users": users, "ndcg@10": value}
        return Report.model_validate({"overall": scores, "domains": {"a": scores}, "groups": {}})

    mean = combine([report(4, 0.5), report(0, 0.0), report(2, 0.1)], np.mean)
    assert mean.overall.metrics == {"ndcg@10": pytest.approx(0.3)}
    assert mean.domains["a"].users == 6
    assert combine([report(0, 0.0)] * 2, np.mean).overall.metrics == {"ndcg@10": 0.0}
