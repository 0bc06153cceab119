"""What write_report reads, refuses and writes."""

import shutil

import numpy as np
import pandas as pd
import pytest
from fake_comparison import DEFAULT, Line, change, make_comparison

from recbole_edt.compare.report import bootstrap, write_report
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.results import load_results
from recbole_edt.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_pdf")]

FILES = {"results.csv", "results.md", "results.tex", "tests.csv", "report.html"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a written report; not to be changed."""
    path = make_comparison(tmp_path_factory.mktemp("report"))
    (path / "terminal.txt").write_text(write_report(path))
    return path


@pytest.fixture
def copy(folder, tmp_path):
    """Return a comparison without its report, to be damaged."""
    made = tmp_path / "copy"
    shutil.copytree(folder, made, ignore=shutil.ignore_patterns(*FILES, "figures"))
    return made


def test_all_files_are_written_and_nothing_else(folder):
    assert {p.name for p in folder.iterdir()} == FILES | {
        "compare.json",
        "figures",
        "runs",
        "terminal.txt",
    }


def test_results_hold_every_metric_of_every_run(folder):
    frame = pd.read_csv(folder / "results.csv", keep_default_na=False, float_precision="round_trip")
    for row, seed, run in load_results(folder).runs():
        mine = frame[(frame["label"] == row.label) & (frame["seed"] == seed)]
        final = mine[(mine["variant"] == "final") & (mine["part"] == "test")]
        for domain, scores in run.record.test.domains.items():
            lines = final[(final["scope"] == "domain") & (final["domain"] == domain)]
            values = dict(zip(lines["metric"], lines["value"].astype(float), strict=True))
            assert values == scores.metrics
    assert set(frame["variant"]) == {"final", "after shared"}
    assert frame["split_hash"].nunique() == 1


def test_tests_are_all_pairs_and_agree_with_the_runs(folder):
    frame = pd.read_csv(folder / "tests.csv", keep_default_na=False, na_values={"p": ""})
    assert len(frame) == 10 * 4 * 3  # pairs of 5 rows, scopes, metrics
    results = pd.read_csv(folder / "results.csv", keep_default_na=False)
    chosen = results[
        (results["scope"] == "overall") & (results["metric"] == "ndcg@10")
        & (results["variant"] == "final") & (results["part"] == "test")
    ].set_index(["label", "seed"])["value"]  # fmt: skip
    for line in frame[(frame["scope"] == "overall") & (frame["metric"] == "ndcg@10")].itertuples():
        seeds = [int(seed) for seed in line.seeds.split()]
        means = [np.mean([chosen[label, s] for s in seeds]) for label in (line.first, line.second)]
        assert line.difference == pytest.approx(means[0] - means[1])
        assert line.low <= line.difference <= line.high
        assert line.p_holm >= line.p
    missing = frame[frame["second"] == DEFAULT[2].label]
    assert set(missing["seeds"]) == {"1 2"}  # the seeds that both have


def test_holm_is_applied_to_the_reference_family(folder):
    tests = Significance(load_results(folder)).against_reference("ndcg@10")
    assert len(tests) == 4 * 4
    assert [t.p_holm for t in tests] == bootstrap.holm([t.effect.p for t in tests])


def test_the_report_is_the_same_twice(folder, copy):
    write_report(copy)
    for name in FILES - {"results.csv", "report.html"}:  # those name the folder
        assert (copy / name).read_bytes() == (folder / name).read_bytes()
    figures = sorted((folder / "figures").iterdir())
    assert [path.name for path in figures] == sorted(p.name for p in (copy / "figures").iterdir())
    for path in figures:
        assert (copy / "figures" / path.name).read_bytes() == path.read_bytes()


def test_figures_of_an_earlier_report_are_removed(tmp_path):
    folder = make_comparison(tmp_path, [Line("LLMEDT", 1.0, "LLMEDT"), Line("SASRec", 0.5)])
    for name in ("curves-09-gone.svg", "curves-09-gone.pdf", "mine.svg"):
        (folder / "figures").mkdir(exist_ok=True)
        (folder / "figures" / name).write_text("")
    write_report(folder)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"mine.svg", "bars-01-books.pdf", "curves-01-sasrec.svg", "cost.pdf"} <= names
    assert not any("gone" in name for name in names)


def test_several_targets_per_user(tmp_path):
    made = load_results(make_comparison(tmp_path, DEFAULT[:2], users=60, targets_per_user=5))
    effect = Significance(made).tests[0].effect
    assert effect.users == 60
    means = [
        np.mean([run.record.value("ndcg@10") for run in row.runs.values()]) for row in made.rows
    ]
    assert effect.difference == pytest.approx(means[0] - means[1])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("split_hash", "other"),
        ("candidates", "all"),
        ("sampled", 100),
        ("sampled_hash", "x"),
        ("final_fit", True),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(copy, key, value):
    path = copy / "runs" / "1-2" / "metrics.json"
    change(path, lambda content: content["protocol"].update({key: value}))
    with pytest.raises(UserError, match=rf"^{key}: .*0-1 has .*1-2 has {value!r}") as caught:
        write_report(copy)
    assert "\n" not in str(caught.value)
    assert not FILES & {p.name for p in copy.iterdir()}


def test_runs_of_another_split_than_the_comparison_are_refused(copy):
    change(copy / "compare.json", lambda content: content.update(split_hash="abc"))
    with pytest.raises(UserError, match="split_hash 'abc'"):
        write_report(copy)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(schema=9), "schema 9, expected 1"),
        (lambda c: c["rows"][0].pop("label"), "not as compare writes it"),
        (lambda c: c["rows"][0]["cells"][0].update(status="don"), "did you mean 'done'"),
        (lambda c: c["rows"][0]["cells"][0].update(seed=5), "seed 5, but"),
        (lambda c: c["rows"][0].update(label="Pop"), "'Pop' names several rows"),
        (lambda c: c["rows"][0]["cells"][0].update(run_dir="no"), "no/metrics.json: no such file"),
    ],
)
def test_bad_comparison_files(copy, edit, message):
    change(copy / "compare.json", edit)
    with pytest.raises(UserError, match=message):
        load_results(copy)


def test_ranks_of_another_run_are_refused(copy):
    shutil.copy(copy / "runs" / "4-1" / "test_ranks.csv", copy / "runs" / "0-1")
    with pytest.raises(UserError, match=r"0-1/test_ranks.csv: .* of these ranks is"):
        write_report(copy)


def test_ranks_of_other_targets_are_refused(copy):
    path = copy / "runs" / "1-1" / "test_ranks.csv"
    path.write_text(path.read_text().replace("\nu7,", "\nv7,"))
    with pytest.raises(UserError, match=r"0-1 and .*1-1 differ in user_id"):
        write_report(copy)


def test_without_ranks_scores_are_shown_and_tests_are_not(copy):
    for path in (copy / "runs").glob("*/test_ranks.csv"):
        path.unlink()
    text = write_report(copy)
    assert "No test_ranks.csv" in text
    assert "0.0" in text
    assert "95 %" not in text


def test_groups_that_are_not_those_of_the_run_are_named(copy):
    path = copy / "runs" / "0-1" / "test_ranks.csv"
    frame = pd.read_csv(path, dtype={"user_id": str})
    frame.assign(history_length=frame["history_length"] + 5).to_csv(path, index=False)
    assert "not those of metrics.json: LLMEDT (seed 1)." in write_report(copy)


def test_a_comparison_that_has_just_begun(tmp_path):
    lines = [Line("A", 0.0, seeds=(1, 2), failed=(1, 2))]
    text = write_report(make_comparison(tmp_path, lines))
    assert "no cell is finished" in text
    assert "out of memory" in text


def test_histories_of_different_lengths_are_noted(copy):
    rows = load_results(copy).rows
    for row, length in zip(rows, (50, 47, 50, 200, 50), strict=True):
        for run in row.runs.values():
            (run.path / "config.yaml").write_text(f"MAX_ITEM_LIST_LENGTH: {length}\n")
    change(copy / "compare.json", lambda content: content["rows"][3].update(model="BPR"))
    (note,) = [n for n in load_results(copy).notes if "MAX_ITEM_LIST_LENGTH" in n]
    assert f"47 items: {rows[1].label}; 50 items: {rows[0].label}, " in note
    assert "200" not in note  # of a model that reads no history
    for run in rows[1].runs.values():
        (run.path / "config.yaml").write_text("MAX_ITEM_LIST_LENGTH: 50\n")
    assert not [n for n in load_results(copy).notes if "MAX_ITEM_LIST_LENGTH" in n]
