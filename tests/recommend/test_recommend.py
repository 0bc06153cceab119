"""What a finished run recommends: the page of a user, lists side by side, the file of all users."""

import csv
import importlib.util
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from recbole_edt.files import read_json, write_json
from recbole_edt.recommend.scoring import best_items, history_rows, next_scores
from recbole_edt.recommend.user_history import date_of
from recbole_edt.runs import RunFolder, load_run
from recbole_edt.training.checkpoint import load_tensors, save_tensors

ROW = re.compile(r"^ +(\d+) +(-?[\d.]+) +(\S+)  (.*)$")


def inter(root):
    return pd.read_csv(root / "dataset" / "toy" / "toy.inter", sep="\t", dtype=str)


def sections(text):
    """Return the rows of each list: (rank, score, item id, rest)."""
    parts = re.split(r"^next, all|^next in (\S+)$", text, flags=re.MULTILINE)[1:]
    return {
        name or "all": [m.groups() for m in map(ROW.match, part.splitlines()) if m]
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "GRU4Rec", "BPR", "EASE", "ItemKNN", "Pop"])
def test_lists_mask_the_complete_history(ask, root, model):
    outcome = ask("--user=u5", "--k=99", model=model)
    assert outcome.status == 0, outcome.err
    rows = inter(root)
    mine = rows[rows["user_id:token"] == "u5"]["item_id:token"].tolist()
    lists = sections(outcome.out)
    assert list(lists) == ["d0", "d1", "d2", "all"]
    for name, found in lists.items():
        ids = [row[2] for row in found]
        here = {f"{d}-{n}" for d in ("d0", "d1", "d2") for n in range(14)}
        expected = {item for item in here - {*mine} if name in ("all", item.split("-")[0])}
        assert sorted(ids) == sorted(expected)
        assert [int(row[0]) for row in found] == list(range(1, len(ids) + 1))
        scores = [float(row[1]) for row in found]
        assert scores == sorted(scores, reverse=True)


def test_history_is_complete_and_the_latest_comes_first(ask, root):
    rows = inter(root)
    mine = rows[rows["user_id:token"] == "u5"]["item_id:token"].tolist()
    shown = re.findall(
        r"^  \d{4}-\d\d-\d\d +(\S+)  d\d  title of (\S+)$", ask("--user=u5").out, re.M
    )
    assert shown == [(item, item) for item in reversed(mine)]
    short = ask("--user=u5", "--history=2").out
    assert f"and {len(mine) - 2} earlier ones" in short


def test_the_test_item_is_part_of_what_the_model_reads(root, folder):
    run = load_run(RunFolder(folder("SASRec")), {})
    user = run.dataset.field2token_id["user_id"]["u5"]
    rows = history_rows(run.dataset, np.array([user]))
    scores = next_scores(run, np.array([user, 1]))
    batch = run.dataset.histories(
        run.dataset.flat["user_id"][rows[-1:]].numpy(), rows[-1:]
    )  # what came before the last interaction
    assert int(batch["item_length"][0]) == len(rows) - 1
    batch["user_id"] = np.array([user])
    before = run.model.full_sort_predict(run.dataset.join(batch))[0]
    unseen = np.isfinite(scores[0].numpy())
    assert not np.allclose(before.detach().numpy()[unseen], scores[0].numpy()[unseen])
    assert best_items(scores, 3).user_index.tolist() == [0, 0, 0, 1, 1, 1]
    alone = next_scores(run, np.array([user]))[0]
    np.testing.assert_allclose(alone[unseen], scores[0][unseen], atol=1e-5)


def test_what_the_run_adds_is_added(folder):
    run = load_run(RunFolder(folder("GRU4Rec")), {})
    weights = run.record.expert_weights
    assert run.expert.weights.tolist() == pytest.approx([weights[d] for d in run.dataset.domains])
    user = np.array([run.dataset.field2token_id["user_id"]["u5"]])
    parts = []
    for weight in (0.0, 1.0, 2.0):
        run.expert.weights[:] = weight
        parts.append(next_scores(run, user)[0])
    unseen = np.isfinite(parts[0].numpy())
    added = (parts[1] - parts[0])[unseen]
    assert added.abs().max() > 0.1
    np.testing.assert_allclose((parts[2] - parts[0])[unseen], 2 * added, atol=1e-5)
    last = run.dataset.flat["item_id"][history_rows(run.dataset, user)[-1]]
    cosine = (run.expert.unit @ run.expert.unit[last])[unseen]
    assert (added >= cosine - 1e-5).all()  # the nearest of the last items, the very last one too


def test_new_items_are_scored_and_marked(ask):
    text = ask("--user=one", "--k=99").out
    (row,) = [row for row in sections(text)["d0"] if row[2] == "d0-13"]
    assert row[3].endswith("  new")
    assert "new: nobody has it in the training rows" in text
    assert not [r for r in sections(text)["all"] if r[2].endswith("-1") and "new" in r[3]]


def test_one_item(ask, root):
    text = ask("--user=one", "--item=d1-13").out
    row = next(r for r in sections(ask("--user=one", "--k=99").out)["d1"] if r[2] == "d1-13")
    told = re.search(r"LLMEDT: score (\S+), rank (\d+) of (\d+) in d1, (\d+) of (\d+)", text)
    assert told.groups()[:2] == (row[1], row[0])
    had = inter(root).query("`user_id:token` == 'one'")["item_id:token"].iloc[0]
    assert "in the user's history" in ask("--user=one", f"--item={had}").out


@pytest.mark.usefixtures("folder")
def test_side_by_side(run_cli, root):
    where = ("--dataset=toy", f"--output_dir={root}/output", f"--data_path={root}/dataset")
    text = run_cli("recommend", "--models=LLMEDT,SASRec", *where, "--user=u5", "--k=4").out
    part = text.split("next in d1\n")[1].splitlines()[:5]
    assert [cell.strip() for cell in part[0].split("|")] == ["LLMEDT", "SASRec"]
    alone = [
        sections(run_cli("recommend", f"--run={next((root / 'output/toy' / m).iterdir())}",
                         "--user=u5", "--k=4").out)["d1"]
        for m in ("LLMEDT", "SASRec")
    ]  # fmt: skip
    for line, *rows in zip(part[1:], *alone, strict=True):
        for cell, row in zip(line.split(" | "), rows, strict=True):
            assert row[2] in cell


def test_newest_finished_run_is_taken(run_cli, root, folder, tmp_path):
    copied = tmp_path / "output"
    shutil.copytree(root / "output", copied)
    newer = copied / "toy" / "SASRec" / "zzz"
    shutil.copytree(folder("SASRec"), newer)
    (newer / "metrics.json").unlink()  # unfinished
    where = ("--dataset=toy", f"--output_dir={copied}", f"--data_path={root}/dataset")
    assert run_cli("recommend", "--models=SASRec", *where, "--user=u5").status == 0
    write_json(newer / "metrics.json", read_json(folder("SASRec") / "metrics.json"))
    (newer / "checkpoint" / "state.json").unlink()
    outcome = run_cli("recommend", "--models=SASRec", *where, "--user=u5")
    assert "zzz is not finished" in outcome.err


@pytest.mark.parametrize("batch", [1, 7, 512])
def test_export(ask, root, tmp_path, batch):
    path = tmp_path / "out" / "all.csv"
    outcome = ask("--all", f"--out={path}", "--k=3", f"--eval_batch_size={batch}")
    assert outcome.status == 0, outcome.err
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score", "domain"]
    users = inter(root)["user_id:token"].unique()
    assert len(rows) == 3 * len(users)
    assert {row["user_id"] for row in rows} == {*users}
    assert all(row["domain"] == row["item_id"].split("-")[0] for row in rows)
    page = sections(ask("--user=u5", "--k=3").out)["all"]
    mine = [row for row in rows if row["user_id"] == "u5"]
    assert [row["item_id"] for row in mine] == [row[2] for row in page]
    assert [f"{float(row['score']):.4f}" for row in mine] == [row[1] for row in page]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.csv"]


def test_export_per_domain(ask, root, tmp_path):
    path = tmp_path / "all.csv"
    ask("--all", f"--out={path}", "--k=2", "--per-domain")
    frame = pd.read_csv(path)
    users = inter(root)["user_id:token"].nunique()
    assert len(frame) == 2 * 3 * users
    assert frame.groupby(["user_id", "domain"])["rank"].apply(list).map(lambda r: r == [1, 2]).all()
    assert frame["user_id"].ne(frame["user_id"].shift()).sum() == users


def test_parquet(ask, tmp_path):
    path = tmp_path / "all.parquet"
    outcome = ask("--all", f"--out={path}", "--k=2")
    if importlib.util.find_spec("pyarrow") is None:
        assert outcome.status == 2
        assert "needs pyarrow" in outcome.err
        assert outcome.err.count("\n") == 1
        assert not list(tmp_path.iterdir())
    else:
        assert list(pd.read_parquet(path)) == ["user_id", "item_id", "rank", "score", "domain"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--user=u_5"], r"user: 'u_5' is not in .*toy\.inter \(did you mean 'u5'"),
        (["--user=[PAD]"], "user: '\\[PAD\\]' is not in"),
        (["--user=u5", "--item=d1_3"], r"item: 'd1_3' is not in .*toy\.item \(did you mean 'd1-3'"),
        (["--user=u5", "--k=0"], "--k: found '0', expected a whole number above 0"),
        (["--user=u5", "--k=ten"], "--k: found 'ten'"),
        ([], "expected one of --user=ID, .*; found none"),
        (["--user=u5", "--all", "--out=x.csv"], "expected one of .*; found --user and --all"),
        (["--all"], "--all: expected --out=FILE beside it"),
        (["--user=u5", "--out=x.csv"], "--out: of use with --all, --histories or --users only"),
        (["--user=u5", "--per-domain"], "--per-domain: of use with --all only"),
        (["--user=u5", "--history=d0-1"], "--history: found 'd0-1', expected a whole number"),
        (["--history=d0-1", "--item=d0-2"], "--item: of use with --user only"),
        (["--user=u5", "--hidden_size=8"], "--hidden_size: not of use here"),
        (["--user=u5", "--dataset=toy"], "--dataset: not of use here"),
        (["--user=u5", "--models=SASRec"], "either --run=DIR or --models=A,B"),
    ],
)
def test_bad_input(ask, argv, said):
    outcome = ask(*argv)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(said, outcome.err), outcome.err


def test_runs_that_are_none(run_cli, root, folder, tmp_path):
    lost = tmp_path / "Pop"  # as a version that did not keep counts left it
    shutil.copytree(folder("Pop"), lost)
    (path,) = (lost / "checkpoint").glob("*.safetensors")
    save_tensors(path, {k: v for k, v in load_tensors(path).items() if "outside" not in k})
    for argv, said in [
        ([f"--run={tmp_path}"], "is no folder of a run: it has no config.yaml"),
        (["--models=SASRek", "--dataset=toy"], "did you mean 'SASRec'"),
        (["--models=SASRec"], "--models: expected --dataset=NAME"),
        (["--models=NARM", "--dataset=toy", f"--output_dir={root}/output",
          f"--data_path={root}/dataset"], "no finished run of NARM"),
        ([f"--run={lost}"], "Pop keeps its state outside the checkpoint's tensors"),
    ]:  # fmt: skip
        outcome = run_cli("recommend", *argv, "--user=u5")
        assert outcome.status == 2
        assert outcome.err.count("\n") == 1
        assert said in outcome.err


def test_changed_data_are_refused(root, folder, run_cli, tmp_path):
    def refuse(model, said):
        argv = (f"--run={folder(model)}", f"--data_path={data}", "--user=u5")
        outcome = run_cli("recommend", *argv)
        assert outcome.status == 2
        assert outcome.err.count("\n") == 1
        assert said in outcome.err

    data = tmp_path / "titles"
    shutil.copytree(root / "dataset", data)
    path = data / "toy" / "toy.item"
    path.write_text(path.read_text().replace("title of d0-1\n", "another title\n"))
    refuse("LLMEDT", "was made for another catalogue and another titles_and_domains")

    shutil.rmtree(next((data / "toy" / "artefacts").glob("*/manifest.json")).parent)
    refuse("LLMEDT", "titles, domains or this package have changed; train again")

    data = tmp_path / "rows"
    shutil.copytree(root / "dataset", data)
    path = data / "toy" / "toy.inter"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    refuse("SASRec", "was made from another toy.inter")
    shutil.rmtree(data / "toy" / "split")
    refuse("SASRec", "its interactions have changed; train again")

    data = tmp_path / "items"
    shutil.copytree(root / "dataset", data)
    path = data / "toy" / "toy.item"
    path.write_text(path.read_text() + "d0-99\td0\ttitle\n")
    refuse("SASRec", "which now has")


def test_a_loaded_model_is_in_its_last_phase(folder):
    assert load_run(RunFolder(folder("LLMEDT")), {}).model.phase == "domain"


def test_dates_of_seconds_and_of_milliseconds():
    assert date_of(1.5e9) == date_of(1.5e12) == date_of(1.5e18) == "2017-07-14"
    assert date_of(12.0) == date_of(float("inf")) == ""
