"""Marks, gains, facts of training, and the three formats."""

import html
import json
import re

import numpy as np
import pytest
from fake_comparison import DEFAULT, Line, make_comparison

from recbole_edt.compare import summary, tables, writers
from recbole_edt.compare.page import html_report
from recbole_edt.compare.results import load
from recbole_edt.compare.significance import Significance
from recbole_edt.compare.writers import BEST, SECOND, Entry, Table

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
