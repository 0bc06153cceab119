"""The augmenter as the authors draw it: representatives, pairs, examples, noise filter."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from fake_llm import FakeClient
from shops import make_task, make_training, shown, unit

from recbole_edt.artefacts.augmenter import AugmentSettings, make_augmented
from recbole_edt.artefacts.augmenter.representatives import UserItems, find_pairs
from recbole_edt.artefacts.clusters import cluster, growing_count, representatives
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.errors import UserError
from recbole_edt.llm import Shard

# Two kinds of items of a (near 0 and near 60 degrees), with neighbours in b.
ITEMS = {
    "a1": ("a", "green tea", unit(0)),
    "a2": ("a", "black tea", unit(4)),
    "a3": ("a", "white tea", unit(8)),
    "a4": ("a", "coffee", unit(60)),
    "a5": ("a", "espresso", unit(64)),
    "b1": ("b", "kettle", unit(2)),
    "b2": ("b", "coffee mill", unit(62)),
    "b3": ("b", "pan", unit(150)),
    "b4": ("b", "knife", unit(155)),
    "b5": ("b", "fork", unit(160)),
}
# The last two of each history are held out.
HISTORIES = {
    "ann": ["a1", "a2", "a3", "a4", "a5", "b4", "b4"],
    "bob": ["b3", "b4", "b5", "b5", "b4"],
    "eve": ["a1", "a4", "b1", "b2", "b3", "a1", "b5"],
    "kim": ["a2", "a5", "b3", "b5", "b4", "a1", "b4"],
}
KEYS = {
    "augment_mode": "representatives",
    "augment_representatives": 2,
    "augment_items_per_representative": 2,
    "augment_noise_share": 0.5,
    "augment_cap": 3,
}


@pytest.fixture
def make(config, tmp_path, use_model, monkeypatch):
    """Return a function that writes a shop and returns the task of its set."""
    at = {title: vector for _, title, vector in ITEMS.values()}
    at |= {"spaceship": unit(250), "mug": unit(3), "samovar": unit(1.5)}
    monkeypatch.setattr(
        "recbole_edt.artefacts.augmenter.make.title_encoder",
        lambda settings, dim: lambda titles: np.array([at[title] for title in titles], np.float32),
    )

    def write(answer, histories=HISTORIES, items=ITEMS, at_folder="toy", **keys):
        use_model(FakeClient(answer))
        return make_task(tmp_path / at_folder, config, histories, items, **KEYS | keys)

    return write


def rows(task):
    lines = (task.folder / "augmented.inter").read_text().splitlines()
    return [line.split("\t") for line in lines[1:]]


def entry(task):
    return json.loads((task.folder / "manifest.json").read_text())["augment"]


def own_titles(text):
    """Return the titles of the user that a prompt is about, behind its examples."""
    return [line[3:-1] for line in shown(text.rpartition("Items of this customer")[2])]


def settings_of(config, **keys):
    return AugmentSettings.from_config(config | KEYS | keys)


def test_clusters_are_numbered_by_their_first_member():
    vectors = np.array([unit(90), unit(0), unit(92), unit(5), unit(90)], np.float32)
    assert cluster(vectors, 2).tolist() == [0, 1, 0, 1, 0]
    assert cluster(vectors, 9).tolist() == [0, 1, 2, 3, 0]
    assert cluster(vectors[:0], 2).tolist() == []


def test_representatives_are_nearest_to_the_centres():
    vectors = np.array([unit(a) for a in (0, 10, 2, 100, 90)], np.float32)
    assert representatives(vectors, 2).tolist() == [2, 4]  # 2 degrees; of two equal ones the last
    assert representatives(vectors, 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("items", "count"), [(1, 1), (3, 1), (4, 2), (9, 3), (100, 4)])
def test_the_number_grows_with_the_history_up_to_its_cap(items, count):
    assert growing_count(items, 3, 4) == count


def test_items_of_a_user_are_distinct_and_in_the_order_of_the_last_interaction():
    training = make_training([[0, 1, 2, 0, 3], [3]], [0, 0, 0, 1], 2)
    items = UserItems(training, np.array([True, True, False, True]), None, None)
    assert items.of(0, 0).tolist() == [1, 0]
    assert items.of(0, 1).tolist() == [3]
    assert items.of(1, 0).tolist() == []


def test_every_ordered_pair_of_domains_is_asked_about(config):
    training = make_training([[0, 1, 2], [2]], [0, 1, 2], 3)
    everything, vectors = np.ones(3, bool), np.eye(3, dtype=np.float32)
    pairs = find_pairs(UserItems(training, everything, vectors, settings_of(config)), everything)
    asked = zip(pairs.users.tolist(), pairs.sources.tolist(), pairs.targets.tolist(), strict=True)
    assert list(asked) == [
        (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 2), (0, 2, 0), (0, 2, 1), (1, 2, 0), (1, 2, 1),
    ]  # fmt: skip
    sparse = settings_of(config, augment_pairs="sparse", augment_imbalance=1.0, augment_rate=2.0)
    pairs = find_pairs(UserItems(training, everything, vectors, sparse), everything)
    assert (pairs.users.tolist(), pairs.targets.tolist()) == ([1, 1], [0, 1])
    assert pairs.limits.tolist() == [2, 2]


def test_examples_are_of_users_active_in_both_domains(config):
    histories = [[0, 1, 2, 3], [0, 1], [1, 0, 3, 2], [0, 2, 3], [3, 2, 1, 0]]
    training = make_training(histories, [0, 0, 1, 1], 2)

    def drawn_by(**keys):
        items = UserItems(training, np.ones(4, bool), None, settings_of(config, **keys))
        return items.draw_examples(0, 1)

    drawn = [drawn_by(augment_examples=2, augment_seed=seed) for seed in range(9)]
    assert {user for one in drawn for user in one} == {0, 2, 4}
    assert {len(one) for one in drawn} == {3}
    assert drawn_by(augment_examples=0) == []


def test_what_is_asked_and_what_becomes_of_the_replies(make):
    asked = {}

    def answer(text):
        asked[tuple(own_titles(text)), "from the domain b:" in text[-40:]] = text
        if own_titles(text) == ["black tea", "espresso"]:
            return "- kettle\n- spaceship\n- green tea\n- pan\n- kettle"
        return "none"

    task = make(answer)
    report = make_augmented(task, False).text
    assert len(asked) == 6  # ann and bob have one domain; nobody has items of a third
    # the kettle is as near to the first tea as to the second, which is later
    assert rows(task) == [["ann", "b1", "10", "b", "a2", rows(task)[0][5], "representatives"]]
    made = entry(task)
    assert made["rejects"] == {
        "duplicate": 1, "far_from_representatives": 2, "in_history": 1,
    }  # fmt: skip
    assert (made["pairs"], made["asked_users"], made["none_replies"]) == (6, 4, 5)
    assert made["prompt"]["name"] == "transfer"
    assert "6 ordered pairs of domains" in report


def test_cut_thoughts_are_counted_apart(make):
    def answer(text):
        if own_titles(text) == ["black tea", "espresso"]:
            return "<think>\n- kettle\n- pan"
        return "<think>hm</think>none"

    task = make(answer)
    report = make_augmented(task, False).text
    made = entry(task)
    assert made["rejects"] == {"cut_thought": 1}
    assert (made["cut_thoughts"], made["failed"], made["accepted"]) == (1, 1, 0)
    assert "1 replies ended inside a thought; with a larger llm_thinking_tokens" in report


def test_items_are_clustered_in_one_thread(make, monkeypatch):
    """Those of examples too: sums over several threads would depend on the machine."""
    inside, clustered = [], []

    @contextmanager
    def one_thread():
        inside.append(True)
        yield
        inside.pop()

    def checked(vectors, count):
        clustered.append(bool(inside))
        return representatives(vectors, count)

    module = "recbole_edt.artefacts.augmenter"
    monkeypatch.setattr(f"{module}.transfer.one_thread", one_thread)
    monkeypatch.setattr(f"{module}.representatives.representatives", checked)
    make_augmented(make(lambda text: "none"), False)
    assert len(clustered) > 6  # of six pairs, and of examples
    assert all(clustered)


def test_users_never_see_themselves_and_examples_are_training_rows(make):
    texts = []
    task = make(lambda text: texts.append(text) or "none", augment_examples=1)
    make_augmented(task, False)
    assert len(texts) == 6
    examples = {}
    for text in texts:
        before, _, own = text.rpartition("Items of this customer")
        assert before.count("another customer") == 1
        examples[tuple(own_titles("Items of this customer" + own))] = '"kettle"' in before or (
            '"green tea"' in before
        )
    # eve's items are the only ones with a kettle or green tea: she is shown kim, kim is shown eve
    assert [one for titles, one in examples.items() if "coffee" in titles] == [False]
    assert [one for titles, one in examples.items() if "kettle" in titles] in ([], [False])
    assert any(examples.values())


def test_floor_and_comparison_with_random_items(make):
    def answer(text):
        return "samovar" if own_titles(text) == ["black tea", "espresso"] else "none"

    for keys, rejects in (
        ({}, {}),
        ({"augment_noise_floor": 0.9999}, {"far_from_representatives": 1}),
        ({"augment_noise_share": 1.0, "augment_floor": 0.9}, {"like_random_items": 1}),
        ({"augment_floor": 0.99999}, {"ungrounded": 1}),
    ):
        task = make(answer, **keys)
        make_augmented(task, False)
        assert entry(task)["rejects"] == rejects


def test_other_languages_and_copies_are_reported_in_one_line(make):
    report = make_augmented(make(lambda text: "чайник\nсамовар"), False).text
    assert "most titles (12 of 12) are in a script of no title here" in report
    report = make_augmented(make(lambda text: own_titles(text)[0], at_folder="copies"), False).text
    assert "repeat the user's history: the model copies its prompt" in report


def test_held_out_rows_change_nothing(make):
    seen = []
    for number, other in enumerate(("b4", "b5")):
        histories = {user: [*items[:-2], other, "a4"] for user, items in HISTORIES.items()}
        asked = []
        reply = "kettle\ncoffee mill\ngreen tea"
        task = make(
            lambda text, asked=asked, reply=reply: asked.append(text) or reply,
            histories,
            at_folder=str(number),
        )
        make_augmented(task, False)
        made = entry(task)
        del made["spent"]["seconds"]
        seen.append(((task.folder / "augmented.inter").read_bytes(), made, asked))
    assert seen[0][0].count(b"\n") > 2
    assert seen[0] == seen[1]


def test_a_dry_run_counts_what_is_asked(make):
    report = make_augmented(make(lambda text: "kettle"), True).text
    assert "6 calls (0 more are stored)" in report
    task = make(lambda text: "kettle")
    make_augmented(task, False)
    assert entry(task)["spent"]["calls"] == 6


def test_shards_ask_their_users_and_the_last_call_writes(make):
    from dataclasses import replace

    whole = make(lambda text: "kettle", at_folder="whole")
    make_augmented(whole, False)
    asked = []
    for index in (0, 1):
        task = make(lambda text: asked.append(text) or "kettle", at_folder="parts")
        report = make_augmented(replace(task, shard=Shard(index, 2)), False)
        assert report.status == "asked"
    assert len(asked) == len({*asked}) == 6
    task = make(lambda text: pytest.fail("asked again"), at_folder="parts")
    make_augmented(task, False)
    assert rows(task) == rows(whole)


def test_hashes_of_other_modes_do_not_depend_on_the_new_keys(config):
    plain = ArtefactSettings.from_config(config | {"augment_mode": "select"})
    other = ArtefactSettings.from_config(
        config | {"augment_mode": "select", "augment_examples": 9, "llm_repetition_penalty": 2.0}
    )
    assert plain == other
    one = ArtefactSettings.from_config(config | KEYS)
    assert one.augment["augment_examples"] == config["augment_examples"]
    assert "augment_imbalance" not in one.augment
    sparse = ArtefactSettings.from_config(config | KEYS | {"augment_pairs": "sparse"})
    assert "augment_imbalance" in sparse.augment


@pytest.mark.parametrize(
    ("key", "value"),
    [("augment_pairs", "some"), ("augment_noise_share", 2), ("augment_representatives", 0)],
)
def test_bad_keys(make, key, value):
    with pytest.raises(UserError, match=key):
        make_augmented(make(lambda text: "none", **{key: value}), False)
