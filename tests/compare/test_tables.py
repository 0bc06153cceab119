"""Marks, gains, facts of training, and the three formats."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from fake_comparison import DEFAULT, Line, make_comparison

from recbole_edt.compare.report import summary, tables, writers
from recbole_edt.compare.report.page import html_report
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.writers import BEST, SECOND, Entry, Table
from recbole_edt.compare.results import load
from recbole_edt.errors import UserError

ODD = DEFAULT[2].label


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return load(make_comparison(tmp_path_factory.mktemp("comparison")))


def row(comparison, label):
    return next(row for row in comparison.rows if row.label.startswith(label))


def test_mean_and_deviation_are_those_of_the_runs(comparison):
    values = [run.metrics["test"]["domains"]["food"]["ndcg@10"]
              for run in row(comparison, "SASRec").runs.values()]  # fmt: skip
    found = summary.score(row(comparison, "SASRec"), "ndcg@10", "food")
    assert (found.mean, found.seeds) == (pytest.approx(np.mean(values)), 3)
    assert found.std == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_deviation(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT", seeds=(1,)), Line("Pop", 0.0, "Pop", seeds=(1,))]
    one = load(make_comparison(tmp_path, lines))
    assert summary.score(one.rows[0], "hit@10").std is None
    assert "±" not in writers.as_text(tables.score_table(one, "hit@10"))


def test_best_and_second_by_hand(comparison):
    marked = summary.marks(comparison, "ndcg@10")
    means = {r.label: summary.score(r, "ndcg@10").mean for r in comparison.rows}
    first, second, *_ = sorted(means, key=means.__getitem__, reverse=True)
    assert marked == {first: BEST, second: SECOND}


def test_equal_means_share_a_mark_and_one_mean_alone_has_none(tmp_path):
    lines = [Line(label, 0.5, seeds=(1,)) for label in "abcd"]
    found = load(make_comparison(tmp_path, lines))
    values = {"a": 0.3, "b": 0.5, "c": 0.5, "d": 0.3}
    for row in found.rows:
        row.runs[1].metrics["test"]["overall"]["ndcg@10"] = values[row.label]
    marked = {"a": SECOND, "b": BEST, "c": BEST, "d": SECOND}
    assert summary.marks(found, "ndcg@10") == marked
    for row in found.rows:
        row.runs[1].metrics["test"]["overall"]["ndcg@10"] = 0.5
    assert summary.marks(found, "ndcg@10") == {}


def test_the_reference_is_the_row_called_llmedt_then_the_first_of_that_model(tmp_path):
    ablation = [Line("without", 0.9, "LLMEDT"), Line("LLMEDT", 0.1, "LLMEDT"), DEFAULT[1]]
    assert summary.reference(load(make_comparison(tmp_path / "a", ablation))).label == "LLMEDT"
    unnamed = [DEFAULT[1], Line("first", 0.1, "LLMEDT"), Line("second", 0.9, "LLMEDT")]
    assert summary.reference(load(make_comparison(tmp_path / "b", unnamed))).label == "first"


def test_the_competitor_is_chosen_on_validation(tmp_path):
    folder = make_comparison(tmp_path)
    path = folder / "runs" / "4-1" / "metrics.json"  # Pop, seed 1: bad on test
    metrics = json.loads(path.read_text())
    metrics["valid"]["domains"]["food"]["ndcg@10"] = 9.0
    path.write_text(json.dumps(metrics))
    changed = load(folder)
    ours = summary.reference(changed)
    assert ours.label == "LLMEDT"
    assert summary.best_other(changed, ours, "food").label == "Pop"
    assert summary.best_other(changed, ours, "books").label != "Pop"
    own, base = (summary.score(r, "ndcg@10", "food") for r in (ours, row(changed, "Pop")))
    assert summary.gain(changed, ours, "food") == pytest.approx(own.mean / base.mean - 1)


def test_a_row_that_is_above_on_test_is_named_whatever_validation_said(tmp_path):
    lines = [Line("LLMEDT", 0.6, "LLMEDT"), Line("Pop", 1.5, "Pop"), Line("SASRec", 0.2, "SASRec")]
    folder = make_comparison(tmp_path, lines)
    for path in folder.glob("runs/1-*/metrics.json"):  # Pop
        metrics = json.loads(path.read_text())
        for scores in (metrics["valid"]["overall"], *metrics["valid"]["domains"].values()):
            scores["ndcg@10"] = 0.0
        path.write_text(json.dumps(metrics))
    found = load(folder)
    assert summary.best_other(found, row(found, "LLMEDT")).label == "SASRec"
    everywhere = "all domains: Pop; books: Pop; food: Pop; home & garden: Pop"
    assert f"Above LLMEDT on test: {everywhere}." in tables.gain_table(found).notes
    page = html_report(Significance(found))
    assert page.count(html.escape(everywhere)) == 2  # at the top and below the table
    assert tables.above_note(found, row(found, "Pop")) == []


def test_an_ablation_does_not_compete_with_a_row_of_its_model(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT"), Line("no profiles", 0.9, "LLMEDT"), DEFAULT[1]]
    with_baseline = load(make_comparison(tmp_path / "a", lines))
    assert summary.best_other(with_baseline, with_baseline.rows[0]).label == "SASRec"
    alone = load(make_comparison(tmp_path / "b", lines[:2]))
    assert summary.best_other(alone, alone.rows[0]).label == "no profiles"


def test_without_our_model_the_reference_is_the_best_on_validation(tmp_path):
    found = load(make_comparison(tmp_path, DEFAULT[1:]))
    assert summary.reference(found).label == "SASRec"


@pytest.mark.parametrize("column", ["user_id", "item_id", "domain"])
def test_runs_of_other_targets_are_not_tested_together(tmp_path, column):
    folder = make_comparison(tmp_path)
    path = folder / "runs" / "1-2" / "test_ranks.csv"
    ranks = pd.read_csv(path)
    ranks[column] = ranks[column].to_numpy()[::-1]  # the same values at other places
    ranks.to_csv(path, index=False)
    with pytest.raises(UserError, match=f"1-2 differ in {column}; expected the same targets"):
        Significance(load(folder))


def test_intervals_are_of_the_metric_and_the_domain_asked_for(comparison):
    significance = Significance(comparison)
    for metric in ("ndcg@10", "hit@10"):
        for domain in (None, "food"):
            found = significance.intervals(metric, domain)
            for one in comparison.rows:
                low, high = found[one.label]
                mean = summary.score(one, metric, domain).mean
                assert low < mean < high
                assert mean == pytest.approx((low + high) / 2, abs=(high - low) / 4)


def test_convergence(comparison):
    assert summary.training(row(comparison, "SASRec")).converged == "yes"
    assert summary.training(row(comparison, "Pop")).converged == "-"
    phases = row(comparison, "LLMEDT").runs[1].metrics["phases"]
    phases[1]["best_epoch"]["food"] = phases[1]["epochs"]
    assert summary.training(row(comparison, "LLMEDT")).converged == "2 of 3"


def test_missing_seeds_and_failed_cells_are_shown(comparison):
    text = writers.as_text(tables.score_table(comparison, "ndcg@10"), columns=200)
    assert re.search(r"GRU4Rec.*2/3 \(!\)", text)
    assert re.search(r"\n(?!.*GRU).*2/3 \(!\)", text)  # the row that was given two seeds only
    unfinished = tables.unfinished_table(comparison)
    assert [entry.text for entry in unfinished.rows[0]][1:] == [
        "2", "failed", "RuntimeError: out of memory <in> epoch 3 & more",
    ]  # fmt: skip


def test_text_is_aligned_and_broken_to_the_width(comparison):
    table = tables.score_table(comparison, "ndcg@10")
    for columns in (70, 100, 160):
        lines = writers.as_text(table, columns).splitlines()[1:-1]
        assert max(map(writers.width, lines)) <= columns
    assert len(writers.as_text(table, 70).splitlines()) > len(
        writers.as_text(table, 160).splitlines()
    )


def test_labels_are_escaped_in_every_format():
    table = Table("x", "T", ["row", "score"], [[Entry(ODD + "|\n*_$%"), Entry("0.1", BEST)]])
    markdown = writers.as_markdown(table).splitlines()[-1]
    assert "<script>" not in markdown
    assert markdown.count("|") - markdown.count(r"\|") == 3
    assert "**0.1**" in markdown
    latex = writers.as_latex(table)
    assert r"a \textless{} b \& ünïcode" in latex
    assert r"\textbar{} *\_\$\%" in latex
    assert r"\textbf{0.1}" in latex


def test_wide_characters_count_twice():
    assert writers.width("漢字") == 4
    assert writers.shorten("漢字漢字", 5) == "漢字…"
    assert writers.one_line("a\x1b[31m\nb") == "a [31m b"


def test_phases_are_compared_without_an_expert(comparison):
    ours = row(comparison, "LLMEDT")
    for run in ours.runs.values():
        run.metrics["without_expert"] = {
            "valid": run.metrics["valid"],
            "test": run.metrics["phases"][0]["test"],
        }
    after, final = (
        [entry.text for entry in line]
        for line in tables.phase_table(comparison).rows
        if line[0].text == "LLMEDT"
    )
    assert (after[1], final[1]) == ("after shared", "final")
    assert after[2:] == final[2:]
