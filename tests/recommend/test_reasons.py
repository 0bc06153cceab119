"""Lists for some users, with repeats, and with what explains each item."""

import csv
import re

import numpy as np
import pandas as pd
import pytest

from recbole_edt import UserError
from recbole_edt.recommend import reasons, write_all_users

HISTORY = ["d0-1", "d1-4", "d0-3", "d2-2"]


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "BPR"])
def test_lists_of_users_are_those_of_all_users(loaded, tmp_path, model):
    recommender = loaded(model)
    write_all_users(recommender.run, tmp_path / "all.csv", 4, False, show_progress=False)
    everyone = pd.read_csv(tmp_path / "all.csv", dtype={"user_id": str})
    found = recommender.recommend_users(["u5", "one", "u11"], k=4)
    assert found["user"].tolist() == [user for user in ("u5", "one", "u11") for _ in range(4)]
    for user in ("u5", "one", "u11"):
        expected = everyone[everyone["user_id"] == user]
        mine = found[found["user"] == user]
        assert mine["item_id"].tolist() == expected["item_id"].tolist()
        np.testing.assert_allclose(mine["score"], expected["score"], atol=1e-5)
    repeated = recommender.recommend_users(["u5"], k=99, repeats=True)
    assert len(repeated) == 42
    with pytest.raises(UserError, match=r"users: 'u_5' is not in toy\.inter \(did you mean 'u5'"):
        recommender.recommend_users(["u5", "u_5"])


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "Similarity"])
def test_the_nearest_item_of_the_history(loaded, model, monkeypatch):
    monkeypatch.setattr(reasons, "_MOST_VALUES", 40)  # several pieces
    recommender = loaded(model)
    histories = {"a": HISTORY, "b": ["d1-1"], "c": ["d2-1", "d0-1", "d2-1"]}
    found = recommender.recommend(histories, k=5, reasons=True)
    plain = recommender.recommend(histories, k=5)
    pd.testing.assert_frame_equal(found[plain.columns], plain)
    unit = reasons.item_directions(recommender.run).numpy()
    np.testing.assert_allclose(np.linalg.norm(unit[1:], axis=1), 1, rtol=1e-5)
    number = {item: n for n, item in enumerate(recommender.items.ids)}
    for row in found.itertuples():
        cosines = {item: unit[number[item]] @ unit[number[row.item_id]]
                   for item in histories[row.user]}  # fmt: skip
        assert row.nearest_item == max(cosines, key=cosines.get)
        assert row.nearest_title == f"title of {row.nearest_item}"


def test_the_share_of_the_domain_thread(loaded):
    """The scores of the shared phase lack exactly the thread's part."""
    recommender = loaded("LLMEDT")
    model, ids = recommender.run.model, recommender.items.ids[1:].tolist()
    learnt = [thread.weight.detach().clone() for thread in model.threads]
    try:
        for k, thread in enumerate(model.threads):
            thread.weight.data.fill_(0.2 * (k - 1))  # an epoch may learn nothing; none of d1
        found = recommender.recommend([HISTORY, ["d1-1"]], k=99, reasons=True)
        both = recommender.score([HISTORY, ["d1-1"]], ids)
        model.set_phase("shared")
        assert "thread_share" not in recommender.recommend([HISTORY], reasons=True)
        shared = recommender.score([HISTORY, ["d1-1"]], ids)
    finally:
        model.set_phase("domain")
        for thread, weight in zip(model.threads, learnt, strict=True):
            thread.weight.data.copy_(weight)
    bias = dict(zip(ids, model.whole_table()[1][1:].tolist(), strict=True))
    assert (found["thread_share"] > 0.01).any()
    for row in found.itertuples():
        part = abs(both.loc[row.user, row.item_id] - shared.loc[row.user, row.item_id])
        rest = abs(shared.loc[row.user, row.item_id] - bias[row.item_id])
        assert row.thread_share == pytest.approx(part / (part + rest), abs=1e-3)
    no_item_of_d0 = found[(found["user"] == 1) & (found["domain"] == "d0")]
    assert (no_item_of_d0["thread_share"] == 0).all()  # its thread has read nothing


def test_a_model_without_vectors_of_items(loaded):
    with pytest.raises(UserError, match="reasons: Popularity has no vectors of items to compare"):
        loaded("Popularity").recommend([HISTORY], reasons=True)


def test_the_command(ask, loaded, tmp_path):
    users, out = tmp_path / "users.txt", tmp_path / "out.csv"
    users.write_text("user_id\nu5\none\n", encoding="utf-8")
    outcome = ask(f"--users={users}", f"--out={out}", "--k=3", "--reasons", "--repeats")
    assert outcome.status == 0, outcome.err
    assert f"6 recommendations for 2 users written to {out}" in outcome.out
    expected = loaded("LLMEDT").recommend_users(["u5", "one"], k=3, reasons=True, repeats=True)
    with open(out, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == expected.columns.tolist()
    for column in ("user", "item_id", "nearest_item", "nearest_title"):
        assert [row[column] for row in rows] == expected[column].tolist()
    for column in ("score", "thread_share"):
        found = [float(row[column]) for row in rows]
        np.testing.assert_allclose(found, expected[column], atol=1e-6)
    text = ask("--history=d0-1,d1-4", "--k=2", "--reasons").out
    assert re.search(r"^ +1 +\S+ +title of .* d\d-\d+ +title of d\d-\d+ +[\d.]+$", text, re.M)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("u5\nu_5\n", r"users\.txt: line 2: user 'u_5' is not in toy\.inter \(did you mean 'u5'"),
        ("user\nu5\n\nu5\n", r"users\.txt: line 4 repeats user 'u5' of line 2"),
        ("user\n", r"users\.txt: holds no user; expected one id per line"),
    ],
)
def test_bad_files_of_users(ask, tmp_path, text, said):
    path = tmp_path / "users.txt"
    path.write_text(text, encoding="utf-8")
    outcome = ask(f"--users={path}")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(said, outcome.err), outcome.err
