"""Metrics of lists from the command to the files of a run."""

import pandas as pd
import pytest
from synthetic import give_vectors, make_dataset

from recbole_edt.files import read_json

METRICS = (
    "[NDCG, itemcoverage, GiniIndex, ShannonEntropy, AveragePopularity, TailPercentage, "
    "Novelty, Calibration]"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics")
    make_dataset(root / "dataset")
    return root


@pytest.fixture
def run(run_cli, root):
    """Return a function that runs a model and gives the outcome and the run's folder."""

    def call(output, *keys, model="Popularity"):
        where = (f"--data_path={root}/dataset", f"--output_dir={root}/{output}", "--dataset=toy")
        done = run_cli("run", f"--model={model}", *where, "--topk=[1,5]", *keys)
        return done, next(iter((root / output).glob("toy/*/*")), None)

    return call


def test_a_run_reports_them_everywhere(run, root):
    keys = ("--candidates=all", "--valid_metric=Novelty@5")
    done, folder = run("all", *keys, f"--metrics={METRICS}")
    assert done.status == 0, done.err
    assert "averagepopularity@5" in done.out
    record = read_json(folder / "metrics.json")
    names = {"ndcg@5", "itemcoverage@5", "giniindex@1", "shannonentropy@5", "calibration@5"}
    for part in ("valid", "test"):
        for scores in (record[part]["overall"], *record[part]["domains"].values()):
            assert names < scores.keys()
    frame = pd.read_csv(folder / "test_ranks.csv")
    overall = record["test"]["overall"]
    for name in ("averagepopularity@1", "tailpercentage@5", "novelty@5", "calibration@5"):
        assert overall[name] == pytest.approx(frame[name].mean())
    assert "giniindex@5" not in frame
    # the same first item for everybody but those who had it
    assert overall["itemcoverage@1"] < 0.2 < overall["giniindex@1"]
    assert "novelty@5/d0" in pd.read_csv(folder / "curves.csv")


def test_other_metrics_change_no_number(run):
    _, plain = run("plain", "--metrics=[NDCG]", "--valid_metric=NDCG@5")
    _, more = run("more", "--metrics=[NDCG,Novelty]", "--valid_metric=NDCG@5")
    before, after = (read_json(folder / "metrics.json") for folder in (plain, more))
    for part in ("valid", "test"):
        assert before[part]["overall"].items() <= after[part]["overall"].items()
    assert (plain / "test_ranks.csv").read_text().splitlines()[0].count(",") == 6


def test_diversity_needs_vectors(run, run_cli, root):
    keys = ("--metrics=[NDCG,IntraListDiversity]", "--valid_metric=NDCG@5")
    done, folder = run("vectors", *keys)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "no item vectors of encoder" in done.err
    assert "recbole-edt artefacts --dataset=toy --only embeddings" in done.err
    assert folder is None  # nothing was trained
    give_vectors(root / "dataset" / "toy")
    done, folder = run("vectors", *keys)
    assert done.status == 0, done.err
    record = read_json(folder / "metrics.json")
    assert 0.5 < record["test"]["overall"]["intralistdiversity@5"] < 1.5  # of random vectors
    assert record["test"]["overall"]["intralistdiversity@1"] == 0
    # a finished run, measured again with other metrics
    keys = ("--metrics=[IntraListDiversity,TailPercentage]", "--tail_ratio=2", "--topk=[5]")
    assert run_cli("evaluate", f"--run={folder}", f"--data_path={root}/dataset", *keys).status == 0
    again = read_json(folder / "evaluate-target_domain-full.json")["test"]["overall"]
    assert again["intralistdiversity@5"] == record["test"]["overall"]["intralistdiversity@5"]
    assert 0 < again["tailpercentage@5"] < 1


def test_calibration_of_one_domain_is_refused_in_one_line(run):
    done, _ = run("refused", "--metrics=[Calibration]")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "expected candidates: all, found candidates: target_domain" in done.err
