"""The page to look around in: its arrays against files, scores and metrics, and its markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import finish_runs

from recbole_edt.artefacts import store
from recbole_edt.evaluation.scoring import score_targets
from recbole_edt.evaluation.targets import Targets
from recbole_edt.recommend.explore.items import items_of_page, map_of, nearest_on_page
from recbole_edt.recommend.explore.lists import lists_of
from recbole_edt.recommend.explore.packing import pack
from recbole_edt.recommend.explore.page import content_of, html_of
from recbole_edt.runs import RunFolder, load_run

QUICK = (
    "--epochs=1", "--shared_min_epochs=0", "--hidden_size=8", "--inner_size=8", "--adapter_size=4",
)  # fmt: skip
MODELS = {
    "LLMEDT": QUICK,
    "Pop": ("--candidates=all",),
    "Similarity": ("--sampled_candidates=3",),
}
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">' & \u202e<!--"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("explore")


@pytest.fixture(scope="module")
def folder(root):
    """Return a function that gives a model's run; the artefacts have a profile and a proposal."""
    found = finish_runs(root, MODELS)
    run = load_run(RunFolder(found("LLMEDT")), {})
    artefacts, name = run.artefacts, "toy"
    rows = pd.read_csv(root / "dataset/toy/toy.inter", sep="\t", dtype=str)
    anchor = rows[rows["user_id:token"] == "u5"].iloc[0]
    augmented = pd.DataFrame(
        {
            "user_id": ["u5"], "item_id": ["d2-13"], "timestamp": [1.0], "domain": ["d2"],
            "anchor_item": [anchor["item_id:token"]], "score": [0.25], "mode": ["score"],
        }
    )  # fmt: skip
    entry = {"sha256": store.save_augmented(artefacts.path, augmented)}
    store.record_part(artefacts.path, name, artefacts.identity, store.AUGMENT, entry)
    domains = list(run.dataset.domains)
    texts = [{"user_id": "u5", "domain": "d1", "text": HOSTILE, "n_items": 3}]
    vectors, present = np.zeros((1, 3, 4), np.float16), np.array([[False, True, False]])
    hashes = store.save_profiles(artefacts.path, ["u5"], vectors, present, texts)
    entry = {"users": 1, "domains": domains, "dim": 4, "sha256": hashes}
    store.record_part(artefacts.path, name, artefacts.identity, store.PROFILES, entry)
    return found


@pytest.fixture(scope="module")
def runs(folder):
    return [load_run(RunFolder(folder(model)), {}) for model in MODELS]


@pytest.fixture(scope="module")
def content(runs):
    return content_of(runs, most_users=1000, k=4, show_progress=False)


def unpack(text):
    kind, data = text.split(":")
    return np.frombuffer(base64.b64decode(data), np.dtype(kind).newbyteorder("<"))


def test_packed_arrays_are_small_and_exact():
    for values, kind in [([0, 255], "u1"), ([256], "u2"), ([65536, 1], "u4"), ([], "u1")]:
        packed = pack(np.array(values, dtype=np.int64))
        assert packed.startswith(f"{kind}:")
        assert unpack(packed).tolist() == values
    assert unpack(pack(np.array([0.1, np.nan]))).tolist()[0] == 0.1
    assert pack(np.array([0.5], np.float32)) == "f4:AAAAPw=="
    for bad in (-1, 2**32):
        with pytest.raises(ValueError, match="from 0 to"):
            pack(np.array([bad]))


def test_histories_are_those_of_the_file(content, root):
    rows = pd.read_csv(root / "dataset/toy/toy.inter", sep="\t", dtype=str)
    users, starts = content["users"], unpack(content["users"]["starts"])
    ids = np.array(content["items"]["ids"])
    assert len(starts) == len(users["ids"]) + 1 == 44
    for user in ("u5", "one"):
        at = users["ids"].index(user)
        part = slice(starts[at], starts[at + 1])
        mine = rows[rows["user_id:token"] == user]
        assert ids[unpack(users["items"])[part]].tolist() == mine["item_id:token"].tolist()
        assert unpack(users["times"])[part].tolist() == mine["timestamp:float"].astype(int).tolist()
    codes = unpack(users["parts"])[starts[users["ids"].index("u5")] :]
    assert codes[: len(rows[rows["user_id:token"] == "u5"])].tolist()[-2:] == [1, 2]
    assert users["dates"]


@pytest.mark.parametrize("number", range(len(MODELS)), ids=MODELS)
def test_held_out_lists_give_the_metrics_of_the_run(content, runs, number):
    packed, run = content["runs"][number], runs[number]
    held_out = unpack(packed["heldOut"]).reshape(-1, 4)
    users, starts = content["users"], unpack(content["users"]["starts"])
    items, parts = unpack(users["items"]), unpack(users["parts"])
    hits, targets = 0, 0
    written = pd.read_csv(run.folder.ranks_path, dtype=str).set_index("user_id")["rank"]
    for user in range(len(users["ids"])):
        own = items[starts[user] : starts[user + 1]]
        test = own[parts[starts[user] : starts[user + 1]] == 2]
        rank = unpack(packed["rank"])[user]
        if not len(test):
            assert (rank, held_out[user].any()) == (0, False)
            continue
        targets += 1
        assert str(rank) == written[users["ids"][user]]
        listed = (held_out[user][held_out[user] > 0] - 1).tolist()
        assert (test[0] in listed) == (rank <= 4)
        assert test[0] not in listed or listed.index(test[0]) == rank - 1
        assert len({*listed}) == len(listed)
        hits += rank <= 10
        if run.record.protocol.candidates == "target_domain":
            assert not {*listed} & {*own[:-1].tolist()}
            domain = unpack(content["items"]["domain"])
            assert {*domain[listed].tolist()} <= {int(domain[test[0]])}
    assert targets == run.record.test.overall.users
    assert hits / targets == pytest.approx(run.record.test.overall.metrics["hit@10"])


def test_other_items_of_a_list_are_the_best_candidates(content, runs):
    run, users = runs[0], content["users"]
    targets = Targets(run.dataset, "test")
    at = np.flatnonzero(targets.users == run.dataset.field2token_id["user_id"]["u5"])
    scores = score_targets(run.model, targets, at)[0].detach().numpy()
    before = run.dataset.flat["item_id"][
        np.arange(run.dataset.user_starts[targets.users[at[0]]], targets.rows[at[0]])
    ].tolist()
    allowed = [
        i for i in range(1, run.dataset.item_num)
        if run.dataset.item_domain[i] == targets.domains[at[0]] and i not in before
    ]  # fmt: skip
    best = sorted(allowed, key=lambda i: -scores[i])[:4]
    user = users["ids"].index("u5")
    assert unpack(content["runs"][0]["heldOut"]).reshape(-1, 4)[user].tolist() == best
    assert unpack(content["runs"][0]["candidates"])[user] == len(allowed)
    assert unpack(content["runs"][2]["candidates"])[user] == 4


def test_following_lists_are_those_of_recommend_all(content, folder, run_cli, tmp_path):
    path = tmp_path / "all.csv"
    run_cli("recommend", f"--run={folder('LLMEDT')}", "--all", f"--out={path}", "--per-domain",
            "--k=4")  # fmt: skip
    written = pd.read_csv(path, dtype=str)
    ids, users = [None, *content["items"]["ids"]], content["users"]["ids"]
    following = unpack(content["runs"][0]["following"]).reshape(len(users), 3, 4)
    scores = unpack(content["runs"][0]["scores"]).reshape(following.shape)
    listed = [
        (users[user], ids[following[user, domain, rank]], str(rank + 1), content["domains"][domain])
        for user, domain, rank in zip(*np.nonzero(following), strict=True)
    ]
    columns = ["user_id", "item_id", "rank", "domain"]
    assert sorted(listed) == sorted(written[columns].itertuples(index=False, name=None))
    first = written[(written["user_id"] == "u5") & (written["domain"] == "d0")]
    np.testing.assert_allclose(scores[users.index("u5"), 0], first["score"].astype(np.float32))


def test_artefacts_of_the_users(content):
    (made,) = content["artefacts"]  # both runs with artefacts read the same set; Pop reads none
    assert made["runs"] == ["LLMEDT", "Similarity"]
    user, ids = content["users"]["ids"].index("u5"), content["items"]["ids"]
    for part in ("profiles", "proposals"):
        starts = unpack(made[part]["starts"])
        assert starts.tolist() == [0] * (user + 1) + [1] * (len(starts) - user - 1)
    assert made["profiles"]["texts"] == [HOSTILE]
    assert made["profiles"]["names"] == ["d1"]
    proposals = made["proposals"]
    assert ids[unpack(proposals["items"])[0]] == "d2-13"
    first = unpack(content["users"]["items"])[unpack(content["users"]["starts"])[user]]
    assert unpack(proposals["anchors"])[0] == first
    assert (unpack(proposals["scores"]).tolist(), proposals["modes"]) == ([0.25], ["score"])


def test_a_run_without_artefacts_or_vectors_shows_what_it_has(root, folder, tmp_path):
    alone = load_run(RunFolder(folder("Pop")), {})
    with_vectors = content_of([alone], most_users=1000, k=4, show_progress=False)
    assert with_vectors["artefacts"] == []
    assert with_vectors["vectors"].startswith("item vectors of")  # beside the dataset
    alone.dataset.text_inputs.find = lambda: None
    without = content_of([alone], most_users=1000, k=4, show_progress=False)
    assert (without["vectors"], without["nearest"], without["map"]) == (None, None, None)
    trained = load_run(RunFolder(folder("LLMEDT")), {})
    trained.dataset.text_inputs.find = lambda: None
    object.__setattr__(trained, "artefacts", None)
    table = content_of([alone, trained], most_users=1000, k=4, show_progress=False)
    assert table["vectors"] == "item embeddings of LLMEDT"


def test_nearest_items_and_the_map():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    near, cosines = nearest_on_page(vectors)
    assert near[0].tolist() == [3, 4, 5, 0]  # index plus one, the item without a vector never
    assert cosines[0].tolist() == [80, 0, 0, 0]
    assert near[1].tolist() == [0, 0, 0, 0]
    assert near[2].tolist() == [1, 4, 5, 0]
    drawn = map_of(vectors, seed=0)
    assert np.isnan(drawn[1]).all()
    known = vectors[[0, 2, 3, 4]].double()
    expected = torch.pca_lowrank(known, q=2, center=True)
    projected = (known - known.mean(0)) @ expected[2]
    np.testing.assert_allclose(abs(drawn[[0, 2, 3, 4]]), abs(projected), atol=1e-6)
    assert np.isnan(map_of(torch.zeros(3, 2), 0)).all()


def test_a_large_catalogue_has_the_mentioned_items_only(monkeypatch):
    monkeypatch.setattr("recbole_edt.recommend.explore.items._MOST_WITHOUT_CHOICE", 8)
    assert items_of_page(9, [np.array([2])]).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert items_of_page(10, [np.array([[0, 7], [2, 7]]), np.array([3])]).tolist() == [2, 3, 7]


@pytest.mark.usefixtures("folder")
def test_several_test_items_of_a_user(root, run_cli, tmp_path):
    argv = (
        "--model=Pop",
        "--dataset=toy",
        "--split=ratio",
        "--split_ratios=[0.4,0.2,0.4]",
        f"--data_path={root}/dataset",
    )
    outcome = run_cli("run", *argv, f"--output_dir={tmp_path}")
    assert outcome.status == 0, outcome.err
    (run,) = (tmp_path / "toy" / "Pop").iterdir()
    shown = content_of([load_run(RunFolder(run), {})], most_users=1000, k=4, show_progress=False)
    parts, starts = unpack(shown["users"]["parts"]), unpack(shown["users"]["starts"])
    written = pd.read_csv(run / "test_ranks.csv", dtype=str).groupby("user_id").last()
    ids, ranks = shown["users"]["ids"], unpack(shown["runs"][0]["rank"])
    tests = [(parts[a:b] == 2).sum() for a, b in pairwise(starts)]
    assert max(tests) > 1
    assert {ids[u]: str(ranks[u]) for u in np.flatnonzero(ranks)} == written["rank"].to_dict()


class _Scripts(HTMLParser):
    """What a browser would take as elements, and the text of its scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.policy, self.urls = [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.urls += [name for name, _ in attrs if name in ("src", "href", "srcset", "action")]
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts.append(data)


def test_hostile_texts_are_data_only(content):
    changed = json.loads(json.dumps(content))
    changed["dataset"] = changed["domains"][0] = changed["items"]["titles"][0] = HOSTILE
    changed["users"]["ids"][0] = changed["runs"][0]["label"] = HOSTILE
    page = _Scripts(html_of(changed))
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert not page.urls
    data = json.loads(page.scripts[0])
    assert data == changed
    html = html_of(changed)
    outside = html.replace("http://www.w3.org/2000/svg", "")  # a name, never requested
    assert not re.search(r"https?://|url\(|@import|\bimport\(|fetch\(|XMLHttp|eval\(", outside)
    assert "innerHTML" not in html
    script = html.split("<script>")[1].split("</script>")[0]
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in page.policy
    assert page.policy.startswith("default-src 'none'")


def test_the_command(folder, run_cli, tmp_path):
    paths = [tmp_path / name for name in ("a.html", "b.html")]
    names = f"{folder('LLMEDT')},{folder('Pop')}"
    for path in paths:
        outcome = run_cli("explore", f"--runs={names}", f"--output={path}", "--users=5", "--k=2")
        assert outcome.status == 0, outcome.err
        assert outcome.out.startswith(f"5 of 43 users, 42 items, 2 runs: {path} (")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    data = json.loads(_Scripts(paths[0].read_text(encoding="utf-8")).scripts[0])
    assert len(data["users"]["ids"]) == 5
    assert data["allUsers"] == 43
    assert len(unpack(data["runs"][0]["heldOut"])) == 10


def test_what_is_refused(folder, run_cli, root, tmp_path):
    one = folder("Pop")
    outcome = run_cli("run", "--model=Pop", "--dataset=toy", "--split=time", "--candidates=all",
                      f"--data_path={root}/dataset", f"--output_dir={tmp_path}")  # fmt: skip
    assert outcome.status == 0, outcome.err
    (other,) = (tmp_path / "toy" / "Pop").iterdir()
    for argv, said in [
        ([], "expected --runs=DIR"),
        (["--runs=,"], "expected --runs=DIR"),
        ([f"--runs={tmp_path}"], "is no folder of a run"),
        ([f"--runs={one},{other}"], "is of split"),
        ([f"--runs={one}", f"--output={tmp_path}"], "is a folder, expected a file"),
        ([f"--runs={one}", f"--output={one}/metrics.json/x.html"], "cannot be written"),
        ([f"--runs={one}", "--users=0"], "--users: found '0'"),
        ([f"--runs={one}", "--hidden_size=8"], "--hidden_size: not of use here"),
        ([f"--run={one}"], "did you mean 'runs'"),
    ]:
        outcome = run_cli("explore", *argv)
        assert (outcome.status, outcome.out) == (2, ""), argv
        assert outcome.err.count("\n") == 1
        assert said in outcome.err


def test_lists_do_not_depend_on_the_batch(runs, folder):
    users = np.arange(1, runs[0].dataset.user_num)
    small = load_run(RunFolder(folder("LLMEDT")), {"eval_batch_size": 3})
    for one, other in zip(
        vars(lists_of(runs[0], users, 3, False)).values(),
        vars(lists_of(small, users, 3, False)).values(),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)
