"""Marks, gains, facts of training, and the three formats of tables."""

import re

import numpy as np
import pandas as pd
import pytest
from fake_comparison import DEFAULT, Line, change, make_comparison
from wcwidth import wcswidth

from recbole_edt.compare.report import summary, tables
from recbole_edt.compare.report.headline import colour_of, lead
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import BEST, SECOND
from recbole_edt.compare.report.table import (
    Table,
    TableCell,
    as_latex,
    as_markdown,
    as_text,
    shorten,
)
from recbole_edt.compare.report.texts import one_line
from recbole_edt.compare.results import load_results
from recbole_edt.errors import UserError

ODD = DEFAULT[2].label


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return load_results(make_comparison(tmp_path_factory.mktemp("comparison")))


def row(comparison, label):
    return next(row for row in comparison.rows if row.label.startswith(label))


def test_mean_and_deviation_are_those_of_the_runs(comparison):
    runs = row(comparison, "SASRec").runs.values()
    values = [run.record.test.domains["food"].metrics["ndcg@10"] for run in runs]
    found = summary.score(row(comparison, "SASRec"), "ndcg@10", "food")
    assert (found.mean, found.seeds) == (pytest.approx(np.mean(values)), 3)
    assert found.std == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_deviation(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT", seeds=(1,)), Line("Pop", 0.0, "Pop", seeds=(1,))]
    one = load_results(make_comparison(tmp_path, lines))
    assert summary.score(one.rows[0], "hit@10").std is None
    assert "±" not in as_text(tables.score_table(one, "hit@10"))


def test_best_and_second_by_hand(comparison):
    marked = summary.marks(comparison, "ndcg@10")
    means = {r.label: summary.score(r, "ndcg@10").mean for r in comparison.rows}
    first, second, *_ = sorted(means, key=means.__getitem__, reverse=True)
    assert marked == {first: BEST, second: SECOND}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3, 0.5, 0.5, 0.3), {"a": SECOND, "b": BEST, "c": BEST, "d": SECOND}),
        ((0.5, 0.5, 0.5, 0.5), {}),
    ],
)
def test_equal_means_share_a_mark_and_one_mean_alone_has_none(tmp_path, values, expected):
    folder = make_comparison(tmp_path, [Line(label, 0.5, seeds=(1,)) for label in "abcd"])
    for k, value in enumerate(values):
        path = folder / "runs" / f"{k}-1" / "metrics.json"
        change(path, lambda run, value=value: run["test"]["overall"].update({"ndcg@10": value}))
        path.with_name("test_ranks.csv").unlink()  # which would give another value
    assert summary.marks(load_results(folder), "ndcg@10") == expected


def test_the_reference_is_the_row_called_llmedt_then_the_first_of_that_model(tmp_path):
    ablation = [Line("without", 0.9, "LLMEDT"), Line("LLMEDT", 0.1, "LLMEDT"), DEFAULT[1]]
    assert (
        summary.reference(load_results(make_comparison(tmp_path / "a", ablation))).label == "LLMEDT"
    )
    unnamed = [DEFAULT[1], Line("first", 0.1, "LLMEDT"), Line("second", 0.9, "LLMEDT")]
    assert (
        summary.reference(load_results(make_comparison(tmp_path / "b", unnamed))).label == "first"
    )


def test_the_competitor_is_chosen_on_validation(tmp_path):
    folder = make_comparison(tmp_path)
    path = folder / "runs" / "4-1" / "metrics.json"  # Pop, seed 1: bad on test
    change(path, lambda run: run["valid"]["domains"]["food"].update({"ndcg@10": 9.0}))
    changed = load_results(folder)
    ours = summary.reference(changed)
    assert ours.label == "LLMEDT"
    assert summary.best_other(changed, ours, "food").label == "Pop"
    assert summary.best_other(changed, ours, "books").label != "Pop"
    own, base = (summary.score(r, "ndcg@10", "food") for r in (ours, row(changed, "Pop")))
    assert summary.gain(changed, ours, "food") == pytest.approx(own.mean / base.mean - 1)


@pytest.mark.parametrize(
    ("gain", "colour"), [(0.1, "up"), (-0.1, "down"), (0, ""), (1e-5, ""), (-1e-5, "")]
)
def test_a_gain_that_is_shown_as_zero_is_no_loss(gain, colour):
    assert colour_of(gain) == colour


def test_a_row_that_is_above_on_test_is_named_whatever_validation_said(tmp_path):
    lines = [Line("LLMEDT", 0.6, "LLMEDT"), Line("Pop", 1.5, "Pop"), Line("SASRec", 0.2, "SASRec")]
    folder = make_comparison(tmp_path, lines)

    def forget_validation(run):
        for scores in (run["valid"]["overall"], *run["valid"]["domains"].values()):
            scores["ndcg@10"] = 0.0

    for path in folder.glob("runs/1-*/metrics.json"):  # Pop
        change(path, forget_validation)
    found = load_results(folder)
    assert summary.best_other(found, row(found, "LLMEDT")).label == "SASRec"
    everywhere = "all domains: Pop; books: Pop; food: Pop; home & garden: Pop"
    assert f"Above LLMEDT on test: {everywhere}." in tables.gain_table(found).notes
    assert f"Above LLMEDT on test: {everywhere}." in lead(Significance(found))["text"]
    assert tables.above_note(found, row(found, "Pop")) == []


def test_an_ablation_does_not_compete_with_a_row_of_its_model(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT"), Line("no profiles", 0.9, "LLMEDT"), DEFAULT[1]]
    with_baseline = load_results(make_comparison(tmp_path / "a", lines))
    assert summary.best_other(with_baseline, with_baseline.rows[0]).label == "SASRec"
    alone = load_results(make_comparison(tmp_path / "b", lines[:2]))
    assert summary.best_other(alone, alone.rows[0]).label == "no profiles"


def test_without_our_model_the_reference_is_the_best_on_validation(tmp_path):
    found = load_results(make_comparison(tmp_path, DEFAULT[1:]))
    assert summary.reference(found).label == "SASRec"


@pytest.mark.parametrize("column", ["user_id", "item_id", "domain"])
def test_runs_of_other_targets_are_not_tested_together(tmp_path, column):
    folder = make_comparison(tmp_path)
    path = folder / "runs" / "1-2" / "test_ranks.csv"
    ranks = pd.read_csv(path)
    ranks[column] = ranks[column].to_numpy()[::-1]  # the same values at other places
    ranks.to_csv(path, index=False)
    with pytest.raises(UserError, match=f"1-2 differ in {column}; expected the same targets"):
        Significance(load_results(folder))


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


def test_convergence(tmp_path):
    folder = make_comparison(tmp_path, [DEFAULT[0], DEFAULT[1], DEFAULT[4]])

    def still_rising(run):
        phase = run["phases"][1]
        phase["best_epoch"]["food"] = phase["epochs"]

    change(folder / "runs" / "0-1" / "metrics.json", still_rising)
    summaries = {r.label: summary.training(r) for r in load_results(folder).rows}
    assert {label: s.converged for label, s in summaries.items()} == {
        "LLMEDT": "2 of 3", "SASRec": "yes", "Pop": "-",
    }  # fmt: skip


def test_missing_seeds_and_failed_cells_are_shown(comparison):
    text = as_text(tables.score_table(comparison, "ndcg@10"), columns=200)
    assert re.search(r"GRU4Rec.*2/3 \(!\)", text)
    assert re.search(r"\n(?!.*GRU).*2/3 \(!\)", text)  # the row that was given two seeds only
    unfinished = tables.unfinished_table(comparison)
    assert [cell.text for cell in unfinished.rows[0]][1:] == [
        "2", "failed", "RuntimeError: out of memory <in> epoch 3 & more",
    ]  # fmt: skip


def test_text_is_aligned_and_broken_to_the_width(comparison):
    table = tables.score_table(comparison, "ndcg@10")
    for columns in (70, 100, 160):
        lines = as_text(table, columns).splitlines()[1:-1]
        assert max(map(wcswidth, lines)) <= columns
    assert len(as_text(table, 70).splitlines()) > len(as_text(table, 160).splitlines())


def test_labels_are_escaped_in_every_format():
    table = Table(
        "x", "T", ["row", "score"], [[TableCell(ODD + "|\n*_$%"), TableCell("0.1", BEST)]]
    )
    markdown = as_markdown(table).splitlines()[-1]
    assert "<script>" not in markdown
    assert markdown.count("|") - markdown.count(r"\|") == 3
    assert "**0.1**" in markdown
    latex = as_latex(table)
    assert r"a \textless{} b \& ünïcode" in latex
    assert r"\textbar{} *\_\$\%" in latex
    assert r"\textbf{0.1}" in latex


def test_wide_characters_count_twice():
    table = Table("x", "T", ["row", "score"], [[TableCell("漢字"), TableCell("0.1")]])
    assert as_text(table).splitlines()[1:] == ["row    score", "漢字     0.1"]
    assert shorten("漢字漢字", 5) == "漢字…"
    assert one_line("a\x1b[31m\nb") == "a [31m b"


def test_phases_are_compared_without_an_expert(tmp_path):
    folder = make_comparison(tmp_path, DEFAULT[:2])

    def add_expert(run):
        after = run["phases"][0]["test"]
        run["without_expert"] = {"valid": run["valid"], "test": after}

    for path in folder.glob("runs/0-*/metrics.json"):  # LLMEDT
        change(path, add_expert)
    after, final = (
        [cell.text for cell in line] for line in tables.phase_table(load_results(folder)).rows
    )
    assert (after[1], final[1]) == ("after shared", "final")
    assert after[2:] == final[2:]
