"""Metrics of lists in a comparison: tables, tests where each user has a value, the page."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_comparison import Line, change, make_comparison

from recbole_edt.compare.report import summary
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.tables import all_tables
from recbole_edt.compare.report.write import write_report
from recbole_edt.compare.results import load_results
from recbole_edt.errors import UserError

LINES = [Line("LLMEDT", 1.0, "LLMEDT", (1, 2)), Line("SASRec", 0.5, seeds=(1, 2)),
         Line("Pop", -0.6, "Pop", (1,), epochs=1)]  # fmt: skip
NOVELTY = {"LLMEDT": 9.0, "SASRec": 8.0, "Pop": 3.0}
GINI = {"LLMEDT": 0.5, "SASRec": 0.7, "Pop": 0.9}


def add_list_metrics(folder):
    """Give all runs novelty with a value per target, and a Gini index."""
    rng = np.random.default_rng(5)
    for row in json.loads((folder / "compare.json").read_text())["rows"]:
        for cell in row["cells"]:
            run = folder / cell["run_dir"]
            frame = pd.read_csv(run / "test_ranks.csv")
            frame["novelty@10"] = NOVELTY[row["label"]] + rng.normal(0, 1, len(frame))
            frame.to_csv(run / "test_ranks.csv", index=False)
            gini = GINI[row["label"]]

            def put(scores, some, gini=gini):
                scores |= {"novelty@5": 1.0, "novelty@10": float(some["novelty@10"].mean())}
                scores |= {"giniindex@5": gini}

            def edit(record, frame=frame, put=put):
                for part in ("valid", "test"):
                    put(record[part]["overall"], frame)
                    for domain, scores in record[part]["domains"].items():
                        put(scores, frame[frame["domain"] == domain])

            change(run / "metrics.json", edit)
            # no column of it is needed: it is not shown
            change(run / "metrics.json", lambda r: r["test"]["overall"].pop("novelty@5"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return add_list_metrics(make_comparison(tmp_path_factory.mktemp("lists"), LINES))


@pytest.fixture(scope="module")
def comparison(folder):
    return load_results(folder)


def test_each_metric_of_lists_is_shown_at_one_cut_off(comparison):
    assert comparison.metrics == ["ndcg@10", "hit@10", "mrr@10", "novelty@10", "giniindex@5"]


def test_the_smaller_of_a_gini_index_is_the_better_one(comparison):
    assert summary.marks(comparison, "giniindex@5") == {"LLMEDT": "best", "SASRec": "second"}
    assert summary.marks(comparison, "novelty@10") == {"LLMEDT": "best", "SASRec": "second"}


def test_only_what_a_user_has_a_value_of_is_tested(comparison):
    significance = Significance(comparison)
    tested = {test.metric for test in significance.tests}
    assert tested == {"ndcg@10", "hit@10", "mrr@10", "novelty@10"}
    (test,) = (t for t in significance.against_reference("novelty@10")
               if (t.second, t.domain) == ("Pop", None))  # fmt: skip
    run = comparison.rows[2].runs[1]
    ours = comparison.rows[0].runs[1]
    difference = (ours.ranks["novelty@10"] - run.ranks["novelty@10"]).mean()
    assert test.effect.difference == pytest.approx(difference)
    assert test.p_holm < 0.01
    assert significance.intervals("giniindex@5", None) == {}


def test_tables_say_how_they_are_read(comparison):
    by_name = {table.name: table for table in all_tables(Significance(comparison))}
    assert by_name["score-novelty@10"].title.startswith("Novelty@10, test")
    assert "Bigger is better. Tests of every pair" in by_name["score-novelty@10"].notes[-1]
    (note,) = [n for n in by_name["score-giniindex@5"].notes if "(!)" not in n]
    assert note == (
        "Smaller is better. One value of all lists, none per user: no test of significance."
    )
    assert not [n for n in by_name["score-ndcg@10"].notes if "better" in n]


def test_the_files_and_the_page_have_them(folder):
    text = write_report(folder)
    assert "GiniIndex@5, test" in text
    assert "Beyond accuracy" in (folder / "report.html").read_text()
    assert "Novelty@10, test" in (folder / "results.md").read_text()
    assert "novelty@10" in {*pd.read_csv(folder / "tests.csv")["metric"]}


def test_without_a_common_metric_to_rank_rows_by_there_is_no_table(tmp_path):
    folder = add_list_metrics(make_comparison(tmp_path, LINES[:2]))
    for path in folder.glob("runs/*/metrics.json"):

        def only_gini(record):
            scores = record["test"]["overall"]
            record["test"]["overall"] = {k: scores[k] for k in ("users", "giniindex@5")}

        change(path, only_gini)
    with pytest.raises(UserError, match=r"only giniindex@5 in common, of which smaller is better"):
        load_results(folder)


def test_shares_of_different_tails_are_not_in_one_table(tmp_path):
    folder = make_comparison(tmp_path, LINES[:2])
    for number, path in enumerate(sorted(folder.glob("runs/*/metrics.json"))):
        change(path, lambda run: run["test"]["overall"].update({"tailpercentage@10": 0.5}))
        path.with_name("config.yaml").write_text(f"tail_ratio: {0.1 if number else 0.2}\n")
    with pytest.raises(UserError, match=r"^tail_ratio: .* has 0.2, .* has 0.1"):
        load_results(folder)


def test_a_file_of_ranks_that_lacks_a_metric_is_named(tmp_path):
    folder = add_list_metrics(make_comparison(tmp_path, LINES[:2]))
    path = next(folder.glob("runs/*/test_ranks.csv"))
    pd.read_csv(path).drop(columns="novelty@10").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"test_ranks.csv: not a table of ranks .*novelty@10"):
        load_results(folder)
