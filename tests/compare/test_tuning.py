"""Tuning: budgets, validation only, nothing twice, and what is fed back."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.compare.tuning.row_tuning import RowTuning
from recbole_edt.compare.tuning.search_space import read_search_space
from recbole_edt.compare.tuning.trial import Trial
from recbole_edt.files import read_json, write_json
from recbole_edt.paths import properties_dir
from recbole_edt.quick_start import run_recbole_edt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_pdf")]

SPACE = "learning_rate choice [0.1, 0.01]\nn_heads choice [2, 3]\n"  # 3 heads do not divide 8
SMALL = ("--epochs=2", "--inner_size=8", "--hidden_size=8")


@pytest.fixture
def tuned(make_dataset, run_cli, tmp_path, monkeypatch):
    """Return a function that calls ``recbole-edt tune`` for SASRec on toy."""
    monkeypatch.chdir(tmp_path)
    make_dataset()

    def call(*argv, space=SPACE):
        Path("space.hyper").write_text(space)
        keys = ("--model=SASRec", "--dataset=toy", "--params_file=space.hyper")
        return run_cli("tune", *keys, *argv)

    return call


@pytest.mark.parametrize(
    ("argv", "space", "said"),
    [
        ([], "learnin_rate choice [1]", "space.hyper: SASRec: learnin_rate: no such key"),
        ([], "learning_rate choice [1, many]", "learning_rate: found 'many'"),
        ([], "learning_rate uniform -1,1", "learning_rate: found -1"),
        ([], "seed choice [1, 2]", "seed: cannot be searched"),
        (["--n_heads=2"], SPACE, "n_heads is fixed to 2 and searched"),
        (["--trials=0"], SPACE, "--trials: found '0'"),
        (["--strategy=exhaustive"], "learning_rate uniform 0.1,1", "exhaustive needs an end"),
        (["--strategy=exhaustive", "--trials=3"], SPACE, "--trials: of no use"),
        (["--strategy=optna"], SPACE, "did you mean 'optuna'"),
        (["--tirals=3"], SPACE, "tirals: no such key"),
    ],
)
def test_mistakes_stop_before_anything_runs(tuned, tmp_path, argv, space, said):
    outcome = tuned(*argv, space=space)
    assert outcome.status == 2, outcome
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "output").exists()


def test_params_file_model_and_dataset_are_needed(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "params_file: missing" in run_cli("tune", "--model=Pop", "--dataset=toy").err
    named = ("--params_file=BPR", "--dataset=toy")
    assert "model: missing" in run_cli("tune", *named).err
    assert "did you mean 'SASRec'" in run_cli("tune", "--model=SASRek", *named).err


def test_all_trials_on_validation_and_the_best_fed_back(tuned, run_cli, tmp_path):
    outcome = tuned(*SMALL, "--strategy=exhaustive", "--jobs=2", "--seed=7")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "output" / "toy" / "tune").iterdir()
    found = read_json(folder / "tune.json")
    assert [t["status"] for t in found["runs"]] == ["done", "failed", "done", "failed"]
    assert "multiple of the number of attention heads" in found["runs"][1]["reason"]
    done = [t for t in found["runs"] if t["status"] == "done"]
    metrics = [read_json(folder / t["run_dir"] / "metrics.json") for t in done]
    assert [t["score"] for t in done] == [m["valid"]["overall"]["ndcg@10"] for m in metrics]
    best = max(done, key=lambda t: t["score"])
    assert found["best"] == best["params"]
    assert outcome.out.splitlines()[1].split()[:2] == [str(best["trial"]), f"{best['score']:.4f}"]
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert [row["learning_rate"] for row in rows] == ["0.1", "0.1", "0.01", "0.01"]
    assert rows[0]["converged"] == str(metrics[0]["phases"][0]["best_epoch"] < 2)

    run = run_recbole_edt(
        config_files=[str(folder / "best.yaml")], overrides={"seed": 7}, resume=True
    )
    assert Path(run["run_dir"]).resolve() == (folder / best["run_dir"]).resolve()

    # nothing runs again, and the test part of the runs is not looked at
    stamps = {}
    for path in (tmp_path / "output").rglob("metrics.json"):
        content = read_json(path)
        test, valid = (content[part]["overall"] for part in ("test", "valid"))
        test |= dict.fromkeys(test.keys() - {"users"}, 1 - valid["ndcg@10"])
        write_json(path, content)
        stamps[path] = path.stat().st_mtime_ns
    again = tuned(*SMALL, "--strategy=exhaustive", "--seed=7")
    assert again.status == 0, again.err
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    table = [line for line in outcome.out.splitlines() if "hidden size" not in line]
    assert [line for line in again.out.splitlines() if "hidden size" not in line] == table
    assert read_json(folder / "tune.json")["best"] == best["params"]


def test_every_row_gets_the_same_budget_and_runs_with_its_best(tuned, run_cli, tmp_path):
    Path("small.hyper").write_text("learning_rate choice [0.3, 0.01]")
    rows = {
        "Pop": {"model": "Pop"},
        "SASRec": {
            "model": "SASRec", "hidden_size": 8, "inner_size": 8, "search": "small.hyper",
            "learning_rate": 0.2,  # where the search starts
        },
    }  # fmt: skip
    Path("rows.yaml").write_text(json.dumps({"rows": rows, "keys": {"epochs": 1}}))
    argv = ("--file=rows.yaml", "--dataset=toy", "--seeds=3,4", "--tune=2", "--jobs=2")
    outcome = run_cli("compare", *argv)
    assert outcome.status == 0, outcome.err
    assert "Pop: not tuned: Pop has no search space" in outcome.err
    assert "SASRec: tuned in 2 trials (random): learning_rate=" in outcome.err
    (path,) = (tmp_path / "output" / "toy" / "compare").glob("*/compare.json")
    pop, sasrec = read_json(path)["rows"]
    assert pop["tuning"] is None
    assert (sasrec["tuning"]["trials"], sasrec["tuning"]["done"]) == (2, 2)
    (path,) = (tmp_path / "output" / "toy" / "tune").glob("*/tune.json")
    tried = [run["params"]["learning_rate"] for run in read_json(path)["runs"]]
    assert tried[0] == 0.2
    assert tried[1] in (0.3, 0.01)
    assert sasrec["tuning"]["space"] == {"learning_rate": "choice [0.3, 0.01]"}
    runs = {}
    for folder in (tmp_path / "output" / "toy" / "SASRec").iterdir():
        metrics = read_json(folder / "metrics.json")
        runs[folder.name] = metrics["seed"], metrics["valid"]["overall"]["ndcg@10"]
    trials = {name: score for name, (seed, score) in runs.items() if seed == 3}
    assert len(runs) == 3  # two trials with the first seed, one of them its cell, and seed 4
    best = max(trials, key=trials.__getitem__)
    assert Path(sasrec["cells"][0]["run_dir"]).name == best
    assert sasrec["tuning"]["score"] == trials[best]


@pytest.mark.parametrize("strategy", ["random", "optuna"])
def test_the_first_trial_is_the_row_as_it_stands(tuned, tmp_path, strategy):
    keys = {"epochs": 1, "hidden_size": 8, "inner_size": 8, "seed": 7}
    bare = run_recbole_edt("SASRec", "toy", overrides=keys)
    flags = [f"--{key}={value}" for key, value in keys.items()]
    space = "n_heads choice [1, 4]\n"
    outcome = tuned(*flags, "--trials=2", f"--strategy={strategy}", space=space)
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "output" / "toy" / "tune").iterdir()
    first, second = read_json(folder / "tune.json")["runs"]
    assert first["params"] == {"n_heads": 2}  # RecBole's own value, which the space does not hold
    assert (folder / first["run_dir"]).resolve() == Path(bare["run_dir"]).resolve()
    assert second["params"]["n_heads"] in (1, 4)


@pytest.mark.parametrize("path", sorted((properties_dir() / "search").glob("*.hyper")))
def test_shipped_spaces_fit_their_models(path):
    model = {"sequential": "NARM", "SASRecIds": "SASRecLLM"}.get(path.stem, path.stem)
    space = read_search_space(path)
    tuning = RowTuning(ComparisonRow(model, model, {}), "toy", {}, 1, space, "random", 4)
    assert len(tuning.next_jobs(1)) == 4


def test_trials_end_with_validation_on_the_full_ranking(tmp_path):
    (tmp_path / "space.hyper").write_text(SPACE)
    space, row = read_search_space(tmp_path / "space.hyper"), ComparisonRow("A", "SASRec", {})
    of_test = {"sampled_candidates": 5, "final_fit": True}
    keys = {**of_test, "output_dir": str(tmp_path)}
    tuning = RowTuning(row, "toy", keys, 1, space, "random", 2)
    for _, job in tuning.next_jobs(2):
        assert job.settings["sampled_candidates"] is None
        assert job.settings["final_fit"] is False
    best = yaml.safe_load(tuning.configuration_of(Trial(1, {"n_heads": 2}, score=0.5)))
    assert best == {"model": "SASRec", "dataset": "toy", **of_test, "n_heads": 2}


def test_a_model_that_learns_nothing_is_not_called_unconverged(
    make_dataset, give_vectors, run_cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    give_vectors(make_dataset())
    outcome = run_cli(
        "tune", "--model=Similarity", "--dataset=toy", "--params_file=Similarity", "--trials=1"
    )
    assert outcome.status == 0, outcome.err
    assert "-" in outcome.out.splitlines()[1].split()
    assert "rising" not in outcome.out
    (path,) = (tmp_path / "output" / "toy" / "tune").glob("*/tune.json")
    assert read_json(path)["converged"] is None
