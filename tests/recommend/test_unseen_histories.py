"""Recommendations after histories that training never saw, from Python and by the command."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import recbole_edt
from recbole_edt import UserError
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.scoring import score_targets
from recbole_edt.evaluation.targets import Targets
from recbole_edt.recommend.lists import batches_by_length
from recbole_edt.recommend.scoring import NextTargets

SEQUENTIAL = ["LLMEDT", "SASRec", "GRU4Rec", "FPMC", "Popularity"]
COLUMNS = ["user", "rank", "item_id", "title", "domain", "score"]
SEEN = ["d0-1", "d1-4", "d0-3"]


def rows_of(root, user):
    """Return the items and times of a user in the file."""
    table = pd.read_csv(root / "dataset" / "toy" / "toy.inter", sep="\t", dtype=str)
    mine = table[table["user_id:token"] == user]
    return mine["item_id:token"].tolist(), mine["timestamp:float"].astype(int).tolist()


def histories_before(recommender, targets):
    """Return what each target's user had before it, as a caller would write it."""
    index, items = (pairs.numpy() for pairs in targets.history(np.arange(len(targets))))
    users = targets.part.field2id_token["user_id"][targets.users]
    ids = recommender.items.ids[items]
    return {str(user): ids[index == n].tolist() for n, user in enumerate(users)}


@pytest.mark.parametrize("model", SEQUENTIAL)
def test_scores_and_ranks_are_those_of_evaluation(loaded, model):
    recommender = loaded(model)
    run, targets = recommender.run, Targets(recommender.run.dataset, "test")
    at = np.arange(len(targets))
    expected = score_targets(run.model, targets, at).detach()
    if run.expert is not None:
        run.expert.weights[:] = torch.tensor([0.5, 1.0, 2.0])  # an epoch may choose none
        expected = expected + run.expert.weighted(run.expert.scores(targets, at))
    histories = histories_before(recommender, targets)
    ids = recommender.items.ids[1:].tolist()
    scores = recommender.score(histories, ids)
    assert scores.columns.tolist() == ids
    assert scores.index.tolist() == list(histories)
    np.testing.assert_allclose(scores, expected[:, 1:], rtol=0, atol=1e-6)

    ranks = rank_targets(run.model, targets, "target_domain", expert=run.expert)
    for domain, name in enumerate(run.dataset.domains):
        here = np.flatnonzero(targets.domains == domain)
        some = {user: histories[user] for user in np.array(list(histories))[here]}
        lists = recommender.recommend(some, k=99, domain=name).set_index(["user", "item_id"])
        assert {*lists["domain"]} == {name}
        for user, item, rank in zip(some, targets.items[here], ranks[here], strict=True):
            row = lists.loc[(user, recommender.items.ids[item])]
            ties = (lists.loc[user, "score"] == row["score"]).sum()
            assert rank - ties < row["rank"] <= rank  # evaluation counts ties against the target


def test_a_list_by_hand(loaded, root):
    """Popularity scores log(1 + training interactions): all but each user's last two."""
    table = pd.read_csv(root / "dataset" / "toy" / "toy.inter", sep="\t", dtype=str)
    is_held_out = table.groupby("user_id:token").cumcount(ascending=False) < 2
    is_held_out &= ~table["user_id:token"].isin(["one", "two"])  # too short for a target
    counts = table[~is_held_out]["item_id:token"].value_counts()
    found = loaded("Popularity").recommend([SEEN], k=5, domain="d0")
    assert found.columns.tolist() == COLUMNS
    assert found["user"].tolist() == [0] * 5
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found["title"].tolist() == [f"title of {item}" for item in found["item_id"]]
    expected = [np.log1p(counts.get(item, 0)) for item in found["item_id"]]
    np.testing.assert_allclose(found["score"], expected, rtol=1e-6)
    best = counts[[i for i in counts.index if i.startswith("d0") and i not in SEEN]].nlargest(5)
    np.testing.assert_allclose(found["score"], np.log1p(best.to_numpy(float)), rtol=1e-6)


def test_what_is_left_out(loaded):
    recommender = loaded("SASRec")
    everything = recommender.recommend({"a": SEEN, "b": ["d2-5"]}, k=99)
    assert everything.groupby("user", sort=False).size().to_dict() == {"a": 39, "b": 41}
    mine = everything[everything["user"] == "a"]
    assert not {*SEEN} & {*mine["item_id"]}
    assert mine["score"].is_monotonic_decreasing
    repeated = recommender.recommend({"a": SEEN}, k=99, repeats=True)
    assert {*repeated["item_id"]} == {*recommender.items.ids[1:]}
    first = mine["item_id"].iloc[0]
    without = recommender.recommend({"a": SEEN, "b": ["d2-5"]}, k=99, exclude=[first, first])
    pd.testing.assert_frame_equal(
        without.drop(columns="rank"),
        everything[everything["item_id"] != first].drop(columns="rank").reset_index(drop=True),
    )
    of_one = recommender.recommend({"a": SEEN, "b": ["d2-5"]}, k=99, exclude={"b": [first]})
    assert (of_one["item_id"] == first).sum() == 1
    inside = recommender.recommend({"a": SEEN}, k=2, domain="d0", exclude=["d1-0", first])
    assert inside["rank"].tolist() == [1, 2]
    assert {*inside["domain"]} == {"d0"}


def test_forms_of_histories(loaded):
    recommender = loaded("GRU4Rec")
    as_dict = recommender.recommend({"x": SEEN, "y": ["d2-0", "d1-1"]}, k=3)
    as_lists = recommender.recommend([SEEN, np.array(["d2-0", "d1-1"])], k=3)
    assert as_lists["user"].tolist() == [0, 0, 0, 1, 1, 1]
    pd.testing.assert_frame_equal(as_dict.drop(columns="user"), as_lists.drop(columns="user"))
    table = pd.DataFrame(
        {"user": [*"xyxyx"], "item": ["d0-3", "d1-1", "d0-1", "d2-0", "d1-4"],
         "time": [30.0, 9.0, 10.0, 5.0, 20.0]}
    )  # fmt: skip
    pd.testing.assert_frame_equal(recommender.recommend(table, k=3), as_dict)
    dates = table.assign(time=pd.to_datetime(table["time"], unit="s", utc=True))
    dates = dates.rename(columns={"user": "user_id", "item": "item_id", "time": "timestamp"})
    pd.testing.assert_frame_equal(recommender.recommend(dates, k=3), as_dict)
    in_order = table.sort_values(["user", "time"]).drop(columns="time")
    pd.testing.assert_frame_equal(recommender.recommend(in_order, k=3), as_dict)


def test_batches_hold_histories_of_like_length(loaded):
    recommender = loaded("SASRec")
    run = recommender.run
    targets = NextTargets(run.dataset, np.arange(1, run.dataset.user_num))
    (batch,) = batches_by_length(run, targets)
    lengths = np.diff(run.dataset.user_starts)[1:][batch]
    assert (np.diff(lengths) >= 0).all()
    assert sorted(batch) == list(range(len(targets)))


@pytest.mark.parametrize("model", ["SASRec", "FPMC"])
def test_newer_rows_of_a_known_user_come_after_the_known_ones(loaded, root, model):
    recommender = loaded(model)
    items, times = rows_of(root, "u5")
    new = next(i for i in ("d2-3", "d2-4", "d2-5") if i not in items)
    expected = recommender.recommend({"u5": [*items, new]}, k=4)
    appended = recommender.recommend({"u5": [new]}, k=4, extend=True)
    pd.testing.assert_frame_equal(appended, expected)
    table = pd.DataFrame({"user": "u5", "item": [new, items[-1], items[0]],
                          "time": [times[-1] + 1, times[-1], times[0]]})  # fmt: skip
    named, repeated = recommender.named(table, extend=True)
    assert repeated == 2
    assert recommender.items.ids[named.histories.items].tolist() == [*items, new]
    pd.testing.assert_frame_equal(recommender.recommend(table, k=4, extend=True), expected)
    alone = recommender.recommend({"u5": [new]}, k=4)
    assert not alone["score"].equals(expected["score"])


def test_models_that_cannot(loaded):
    with pytest.raises(UserError, match="BPR does not read histories, it knows the users of tr"):
        loaded("BPR").recommend([SEEN])
    with pytest.raises(UserError, match="FPMC has a vector for each user of training; expected"):
        loaded("FPMC").recommend({"u5": SEEN, "somebody": SEEN})
    assert len(loaded("FPMC").recommend({"u5": SEEN})) == 10


@pytest.mark.parametrize(
    ("histories", "keys", "said"),
    [
        ({"x": ["d0-1", "d0_2"]}, {}, r"'x': item 'd0_2' is not in toy\.item \(did you mean 'd0-2"),
        ([["d0-1"], []], {}, "1 has no item"),
        (["d0-1"], {}, "0 has 'd0-1'; expected a list of item ids"),
        ("d0-1", {}, "found str; expected lists of item ids"),
        ({"x": ["[PAD]"]}, {}, r"item '\[PAD\]' is not in"),
        ({"x": SEEN}, {"domain": "d7"}, r"domain: 'd7'; expected one of \['d0', 'd1', 'd2'\]"),
        ([SEEN], {"extend": True}, "extend: lists name no users; expected a mapping or a table"),
        ({"x": SEEN}, {"k": 0}, "k: found 0, expected a whole number above 0"),
        ({"x": SEEN}, {"exclude": ["z"]}, "exclude: item 'z' is not in"),
        ({"x": SEEN}, {"exclude": "d0-1"}, "exclude: found 'd0-1'; expected a list"),
        ({"x": SEEN}, {"exclude": {"y": ["d0-1"]}}, "exclude: 'y' has no history here"),
        (pd.DataFrame({"user": ["x"], "thing": ["d0-1"]}), {}, "no column 'item' .or 'item_id'"),
        (pd.DataFrame({"user": ["x", None], "item": SEEN[:2]}), {}, "row 1: no user"),
        (pd.DataFrame({"user": [], "item": []}), {}, "found no row"),
        (pd.DataFrame({"user": ["x"], "item": ["d0-1"], "time": ["noon"]}), {},
         "row 0: time is 'noon'; expected a number or a datetime"),
    ],
)  # fmt: skip
def test_bad_histories(loaded, histories, keys, said):
    with pytest.raises(UserError, match=said):
        loaded("SASRec").recommend(histories, **keys)


def test_keys_of_the_run_stay(folder):
    with pytest.raises(UserError, match="hidden_size: a finished run has its own"):
        recbole_edt.load(folder("SASRec"), hidden_size=4)
    assert recbole_edt.load(folder("SASRec"), eval_batch_size=3).run.config["eval_batch_size"] == 3


# ------------------------------------------------------------------ the command


def test_one_history(ask, loaded):
    outcome = ask("--history=d0-1, d1-4,d0-3", "--k=4", "--domain=d1", "--exclude=d1-0")
    assert outcome.status == 0, outcome.err
    expected = loaded("LLMEDT").recommend([SEEN], k=4, domain="d1", exclude=["d1-0"])
    rows = re.findall(r"^ +(\d) +(\S+) +title of (\S+) +(d\d) +(\S+)$", outcome.out, re.M)
    assert [row[1] for row in rows] == expected["item_id"].tolist()
    assert [row[4] for row in rows] == [f"{score:.4f}" for score in expected["score"]]
    assert "LLMEDT on toy: next after 3 items, in d1" in outcome.out


def write(path, *rows):
    path.write_text("".join(f"{row}\n" for row in ("user,item,time", *rows)), encoding="utf-8")
    return f"--histories={path}"


def test_a_file_of_histories(ask, loaded, root, tmp_path):
    items, times = rows_of(root, "u5")
    new = next(i for i in ("d2-3", "d2-4", "d2-5") if i not in items)
    path, out = tmp_path / "new.csv", tmp_path / "made" / "out.csv"
    given = write(path, "zoe,d1-4,20", "zoe,d0-1,10", f"u5,{new},{times[-1] + 5}",
                  "zoe,d0-3,30", f"u5,{items[0]},{times[0]}")  # fmt: skip
    outcome = ask(given, f"--out={out}", "--k=3", model="SASRec")
    assert outcome.status == 0, outcome.err
    assert "6 recommendations for 2 users (1 of them known, 1 new) written to" in outcome.out
    assert f"1 rows of {path} are in toy.inter already" in outcome.out
    expected = loaded("SASRec").recommend({"zoe": SEEN, "u5": [*items, new]}, k=3)
    with open(out, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == COLUMNS
    assert [row["item_id"] for row in rows] == expected["item_id"].tolist()
    assert [np.float32(row["score"]) for row in rows] == expected["score"].tolist()
    assert [path.name for path in out.parent.iterdir()] == ["out.csv"]
    printed = ask(given, "--k=3", model="SASRec").out
    assert printed == out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["zoe,d0-1,1", "zoe,d0_2,2"], r"new\.csv: line 3: item 'd0_2' is not in toy\.item \(did"),
        (["zoe,d0-1,1", "", "zoe,d0-2,noon"], r"new\.csv: line 4: time is 'noon'; expected a numb"),
        (["zoe,d0-1,1", ",d0-2,2"], r"new\.csv: line 3: no 'user'"),
        (["zoe,,1"], r"new\.csv: line 2: no 'item'"),
        (["zoe,d0-1,1,4"], r"new\.csv: line 2: 4 fields; expected 3"),
        ([], r"new\.csv: holds no interactions, only a header"),
    ],
)
def test_bad_files(ask, tmp_path, rows, said):
    out = tmp_path / "out.csv"
    outcome = ask(write(tmp_path / "new.csv", *rows), f"--out={out}", model="SASRec")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(said, outcome.err), outcome.err
    assert not out.exists()


def test_bad_commands(ask, tmp_path):
    (tmp_path / "new.csv").write_text("user,thing,time\nzoe,d0-1,1\n", encoding="utf-8")
    write(tmp_path / "good.csv", "zoe,d0-1,1")
    for argv, model, said in [
        ([f"--histories={tmp_path}/none.csv"], "SASRec", "none.csv: no such file"),
        ([f"--histories={tmp_path}/new.csv"], "SASRec", "new.csv: line 1: no column 'item'"),
        ([f"--histories={tmp_path}/good.csv"], "BPR", "BPR does not read histories"),
        ([f"--histories={tmp_path}/good.csv"], "FPMC", "FPMC has a vector for each user"),
        ([f"--histories={tmp_path}/good.csv", "--domain=d7"], "SASRec", "domain: 'd7'; expected"),
        (["--history=d0-1,,d0-2"], "SASRec", "--history: found 'd0-1,,d0-2', expected ids"),
        (["--history=d0-1,d0_1"], "SASRec", "--history: item 'd0_1' is not in toy.item"),
        (
            ["--history=d0-1", "--out=x.csv"],
            "SASRec",
            "--out: of use with --all, --histories or --users",
        ),
        (["--history=d0-1", "--all"], "SASRec", "found --all and --history"),
    ]:
        outcome = ask(*argv, model=model)
        assert (outcome.status, outcome.out) == (2, ""), argv
        assert outcome.err.count("\n") == 1
        assert said in outcome.err, outcome.err


def test_the_example_of_the_docs(folder, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "recommend.md"
    example = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
        if "recbole_edt.load(" in block
    )
    assert len(example.splitlines()) == 8
    names = {"output/shop/LLMEDT/seed2026-0a1b2c3d": str(folder("LLMEDT")), "tea-": "d0-",
             "mug-": "d1-", "kitchen": "d1"}  # fmt: skip
    for name, here in names.items():
        assert name in example
        example = example.replace(name, here)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(page), "exec"), {})
    assert "title of d1-" in capsys.readouterr().out
    scores = pd.read_csv("scores.csv", index_col="user")
    assert scores.shape == (2, 2)
