"""Items newer than training score as items of training that nobody had."""

import re

import numpy as np
import pandas as pd
import pytest

import recbole_edt
from recbole_edt import UserError
from recbole_edt.artefacts.embeddings import TextEncoder
from recbole_edt.recommend import new_items

HISTORY = ["d0-1", "d1-4", "d0-3"]
LIKE = "d0-13"  # nobody has it
NEW = pd.DataFrame({"item_id": ["n1", "n2"], "domain": ["d0", "d2"],
                    "title": ["a new d0-13", "a new d2-5"]})  # fmt: skip


class Encoder:
    """Gives titles such as ``a new d0-13`` the vector of the item that they name."""

    weights_sha256 = "0" * 64

    def __init__(self, run):
        self.artefacts, self.folder = run.artefacts, run.folder
        self.dim = run.artefacts.manifest["embeddings"]["dim"]

    def count_tokens(self, texts):
        return np.array([len(text) for text in texts])

    def encode(self, texts):
        return self.artefacts.item_vectors([text.split()[-1] for text in texts])


@pytest.fixture
def encoder(loaded, monkeypatch):
    made = Encoder(loaded("LLMEDT").run)
    monkeypatch.setattr(TextEncoder, "from_settings", lambda settings: made)
    return made


@pytest.mark.usefixtures("encoder")
@pytest.mark.parametrize("model", ["LLMEDT", "LLM4CDSR", "Similarity"])
def test_scores_are_those_of_an_item_with_the_same_vector(folder, model):
    recommender = recbole_edt.load(folder(model))
    before = recommender.recommend([HISTORY, [LIKE]], k=99)
    recommender.add_items(NEW)
    scores = recommender.score([HISTORY, [LIKE], ["n1"], ["n2", "n1"]], ["n1", LIKE, "d2-5"])
    np.testing.assert_allclose(scores["n1"], scores[LIKE], atol=1e-6)
    np.testing.assert_allclose(scores.loc[1], scores.loc[2], atol=1e-6)
    assert not np.allclose(scores.loc[3], scores.loc[2], atol=1e-6)
    after = recommender.recommend([HISTORY, [LIKE]], k=99)
    of_new = after[after["item_id"] == "n1"]
    assert of_new["title"].tolist() == ["a new d0-13"] * 2
    assert of_new["domain"].tolist() == ["d0"] * 2
    old = after[~after["item_id"].isin(["n1", "n2"])]
    assert old["item_id"].tolist() == before["item_id"].tolist()
    np.testing.assert_allclose(old["score"], before["score"], atol=1e-6)
    inside = recommender.recommend([HISTORY], k=99, domain="d2")
    assert "n2" in inside["item_id"].tolist()
    assert {*inside["domain"]} == {"d2"}


def test_vectors_that_are_given_and_items_in_two_steps(folder):
    recommender = recbole_edt.load(folder("LLMEDT"))
    vectors = recommender.run.artefacts.item_vectors([LIKE, "d2-5"])
    untitled = NEW[["item_id", "domain"]]
    recommender.add_items(untitled[:1], vectors[:1])
    recommender.add_items(untitled[1:].rename(columns={"item_id": "item"}), vectors[1:])
    together = recbole_edt.load(folder("LLMEDT"))
    together.add_items(NEW, vectors)
    columns = ["n1", "n2", "d2-5"]
    np.testing.assert_allclose(
        recommender.score([HISTORY], columns), together.score([HISTORY], columns), atol=1e-6
    )
    assert recommender.items.titles[-2:].tolist() == ["", ""]
    with pytest.raises(UserError, match=r"vectors: found shape \(1, 3\), expected \(1, 12\)"):
        recommender.add_items(NEW[:1].assign(item_id="n3"), np.zeros((1, 3)))


def test_what_the_content_expert_adds(folder):
    recommender = recbole_edt.load(folder("LLMEDT"))
    with pytest.raises(UserError, match="GRU4Rec knows items by number; items newer than training"):
        recbole_edt.load(folder("GRU4Rec")).add_items(NEW)
    expert = recbole_edt.load(folder("GRU4Rec")).run.expert
    expert.weights[:] = 1.0
    recommender.run = new_items.LoadedRun(**{**vars(recommender.run), "expert": expert})
    recommender.add_items(NEW, recommender.run.artefacts.item_vectors([LIKE, "d2-5"]))
    scores = recommender.score([HISTORY], ["n1", LIKE])
    assert scores["n1"].tolist() == pytest.approx(scores[LIKE].tolist(), abs=1e-6)
    inside = recommender.recommend([HISTORY], k=99, domain="d0").set_index("item_id")["score"]
    assert inside["n1"] == pytest.approx(scores["n1"][0], abs=1e-6)


@pytest.mark.usefixtures("encoder")
def test_the_command(ask, tmp_path):
    path = tmp_path / "new.csv"
    NEW.to_csv(path, index=False)
    outcome = ask("--history=n1,d1-4", "--domain=d2", "--k=99", f"--new_items={path}")
    assert outcome.status == 0, outcome.err
    assert re.search(r"^ +\d+ +n2 +a new d2-5 +d2 ", outcome.out, re.M)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item_id,domain\nn1,d0\n", r"new\.csv: no column 'title'; found item_id, domain"),
        ("item_id,domain,title\nn1,d0,x\nd0-1,d0,x\n", r"new\.csv: line 3: item 'd0-1' is in toy"),
        ("item_id,domain,title\nn1,d0,x\n\nn1,d0,x\n", r"line 4: item 'n1' is listed twice"),
        ("item_id,domain,title\nn1,d9,x\n", r"line 2: domain is 'd9'; expected \['d0', 'd1', 'd2"),
        ("item_id,domain,title\nn1,d0,\n", "line 2: item 'n1' has no text"),
        ("item_id,domain,title\n,d0,x\n", "line 2: no item_id"),
        ("item_id,domain,title\n", "holds no items"),
    ],
)
def test_bad_items(ask, tmp_path, text, said):
    path = tmp_path / "new.csv"
    path.write_text(text, encoding="utf-8")
    outcome = ask("--history=d0-1", f"--new_items={path}")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(said, outcome.err), outcome.err


def test_another_encoder(folder, encoder):
    recommender = recbole_edt.load(folder("LLMEDT"))
    encoder.dim = 7
    with pytest.raises(UserError, match="are not those that made the item vectors"):
        recommender.add_items(NEW)
