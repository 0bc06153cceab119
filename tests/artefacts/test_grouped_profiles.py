"""Grouped profiles: clusters of the augmented sequence, a text per group and domain, merging."""

import json

import numpy as np
import pytest
from fake_llm import FakeClient
from shops import make_task, repeat_titles, shown, unit

from recbole_edt.artefacts import ArtefactSettings, find_artefacts
from recbole_edt.artefacts.augmenter import make_augmented
from recbole_edt.artefacts.embeddings.encoder import TextEncoder, find_encoder
from recbole_edt.artefacts.profiles import make_profiles
from recbole_edt.artefacts.profiles.texts import leave_out_shared, repetition
from recbole_edt.errors import UserError
from recbole_edt.files import write_json
from recbole_edt.llm import Reply, Shard

ITEMS = {
    "a1": ("a", "w1", unit(0)),
    "a2": ("a", "w2", unit(4)),
    "a3": ("a", "w3", unit(80)),
    "a4": ("a", "w4", unit(84)),
    "b1": ("b", "w11", unit(2)),
    "b2": ("b", "w12", unit(82)),
    "b3": ("b", "w13", unit(86)),
}
# The last two of each history are held out.
HISTORIES = {
    "ann": ["a1", "a2", "a3", "a4", "b2", "b3", "b3"],
    "bob": ["b1", "b2", "b3", "a1", "a2"],
    "cat": ["a1", "a2", "b2"],
    "eve": ["a1", "a3", "b1", "a2", "b3"],
}
KEYS = {
    "profile_mode": "grouped",
    "augment_mode": "similarity",
    "profile_groups": 2,
    "profile_items_per_group": 3,
    "profile_min_items": 2,
    "profile_augmented": False,
    "profile_most_shared": 1,
}
FILES = ("profiles.jsonl", "profile_vectors.safetensors", "users.txt")


def describe(text):
    """Answer a question about a group with its titles, a merging question with what is known."""
    if "Known of the customer" not in text:
        last = text.rpartition("Items from the domain")[2]
        return "likes " + " and ".join(line[3:-1] for line in shown(last))
    known = text.rpartition("Known of the customer")[2]
    return "; ".join(json.loads(line.partition(": ")[2]) for line in shown(known))


@pytest.fixture
def make(config, tmp_path, use_model):
    """Return a function that makes grouped profiles; gives report, model, set and task."""

    def run(answer=describe, histories=HISTORIES, at="toy", dry_run=False, shard=None, **keys):
        model = use_model(FakeClient(answer))
        task = make_task(tmp_path / at, config, histories, ITEMS, **KEYS | keys)
        if shard is not None:
            from dataclasses import replace

            task = replace(task, shard=shard)
        if keys.get("profile_augmented"):
            make_augmented(task, False)
        report = make_profiles(task, dry_run)
        chosen = ArtefactSettings.from_config(task.config)
        found = find_artefacts(task.dataset_dir, "toy", chosen, task.split)
        return report.text, model, found, task

    return run


def lines_of(found):
    return [json.loads(line) for line in (found.path / "profiles.jsonl").open(encoding="utf-8")]


def entry(found):
    return found.manifest["profiles"]


def test_texts_of_all_stages_are_kept(make):
    report, model, found, _ = make()
    ann = [line for line in lines_of(found) if line["user_id"] == "ann"]
    assert ann == [
        {"user_id": "ann", "domain": "", "n_items": 5, "stage": "overall",
         "text": "likes w1 and w2; likes w3 and w4; likes w12"},
        {"user_id": "ann", "domain": "a", "n_items": 2, "stage": "group", "group": 1,
         "text": "likes w1 and w2"},
        {"user_id": "ann", "domain": "a", "n_items": 2, "stage": "group", "group": 2,
         "text": "likes w3 and w4"},
        {"user_id": "ann", "domain": "b", "n_items": 1, "stage": "group", "group": 2,
         "text": "likes w12"},
    ]  # fmt: skip
    made = entry(found)
    # ann two groups in three parts, bob one group, eve one group in two parts; cat too few items
    assert (made["asked"], made["merges"], made["groups"], made["profiles"]) == (6, 3, 4, 3)
    assert made["masked"] == {"too_few_items": 1}
    assert made["spent"]["calls"] == len(model.asked) == 9
    assert made["spent_by_stage"]["group"]["calls"] == 6
    assert "3 overall profiles of 4 users" in report
    frame = found.profile_texts()
    assert frame["stage"].tolist().count("overall") == 3


def test_one_vector_per_user_whatever_the_domains(make, tiny_model):
    _, _, found, _ = make()
    vectors, present = found.profiles(["eve", "nobody", "cat", "bob"], ["a", "b"])
    assert vectors.shape == (4, 1, 16)
    assert present.tolist() == [[True], [False], [False], [True]]
    encoder = TextEncoder(find_encoder(str(tiny_model), None), 12)
    overall = [line["text"] for line in lines_of(found) if line["stage"] == "overall"]
    np.testing.assert_allclose(vectors[3, 0], encoder.encode([overall[1]])[0], atol=1e-3)


def test_augmented_items_are_grouped_too(make):
    _, _, plain, _ = make(at="plain")
    _, _, found, task = make(profile_augmented=True, augment_floor=0.5)
    assert (task.folder / "augmented.inter").read_text().count("\n") > 1
    assert plain.hash != found.hash
    sizes = [{line["user_id"]: line["n_items"] for line in lines_of(one) if not line["domain"]}
             for one in (plain, found)]  # fmt: skip
    assert sizes[1]["bob"] > sizes[0]["bob"]


def test_without_augmented_interactions_there_is_one_line(make, config, tmp_path, use_model):
    use_model(FakeClient(describe))
    task = make_task(
        tmp_path / "toy", config, HISTORIES, ITEMS, **KEYS | {"profile_augmented": 1 > 0}
    )
    with pytest.raises(
        UserError, match="make them with '--only augment', or set profile_augmented"
    ):
        make_profiles(task, False)
    report = make_profiles(task, True).text
    assert "counted without augmented interactions" in report


def test_held_out_rows_change_nothing(make):
    other = {user: [*items[:-2], "b1", "a4"] for user, items in HISTORIES.items()}
    _, first, found, _ = make(at="one")
    _, second, replaced, _ = make(histories=other, at="other")
    assert first.asked == second.asked
    assert found.hash != replaced.hash
    for name in FILES:
        assert (found.path / name).read_bytes() == (replaced.path / name).read_bytes()


def test_a_text_of_many_users_is_left_out_and_counted(make):
    def answer(text):
        return "likes things" if '"likes w1 ' in text else describe(text)

    report, _, found, _ = make(answer)
    made = entry(found)
    assert made["masked"] == {"shared_text": 2, "too_few_items": 1}
    assert made["repetition"]["overall"] == {
        "texts": 3, "distinct": 2, "repeated": 2, "most_frequent": 2,
    }  # fmt: skip
    assert "overall texts: 2 of 3 differ" in report
    assert found.profiles(["ann", "bob", "eve"], ["a", "b"])[1].tolist() == [
        [False],
        [True],
        [False],
    ]
    with pytest.raises(UserError, match="every one of 3 overall profiles is shared"):
        make(lambda text: "likes things", at="all")


def test_empty_merges_and_groups(make):
    def answer(text):
        if "Known of" in text:
            return " ... " if "w12" in text.rpartition("Known of")[2] else describe(text)
        return "" if '"w11"' in text else describe(text)

    report, _, found, _ = make(answer)
    assert entry(found)["masked"] == {
        "empty_merge": 1, "no_group_text": 1, "too_few_items": 1,
    }  # fmt: skip
    assert entry(found)["masked_groups"] == {"empty_reply": 2}
    assert "groups without a text: empty_reply 2" in report
    with pytest.raises(UserError, match=r"none of 3 merging replies is usable \(empty_merge 3\)"):
        make(lambda text: "" if "Known of" in text else describe(text), at="empty")
    with pytest.raises(UserError, match=r"none of 6 replies about groups is usable"):
        make(lambda text: "", at="nothing")


def test_cut_thoughts_are_counted_apart(make):
    """With or without the opening tag, which some models have in the prompt."""

    def answer(text):
        if "Known of" in text:
            done = "<think>hm</think>" + describe(text)
            return Reply("They", finish="length") if "w13" in text else done
        return "<think>teas, so" if '"w3"' in text and '"w4"' in text else describe(text)

    report, _, found, _ = make(answer)
    made = entry(found)
    assert made["masked_groups"] == {"cut_thought": 1}
    assert made["masked"] == {"cut_thought": 1, "too_few_items": 1}  # bob's merging
    assert (made["cut_thoughts"], made["failed"]) == (2, 2)
    texts = {(line["user_id"], line["stage"]): line["text"] for line in lines_of(found)}
    assert texts["ann", "overall"] == "likes w1 and w2; likes w12"
    assert ("bob", "overall") not in texts
    assert "2 replies ended inside a thought; with a larger llm_thinking_tokens" in report
    with pytest.raises(UserError, match=r"\(cut_thought 6\); raise llm_thinking_tokens"):
        make(lambda text: "<think>hm", at="thoughts")


def test_failed_groups_are_asked_again_before_merging(make):
    def answer(text):
        if "Known of" not in text and '"w3"' in text and '"w4"' in text:
            return Reply("", failure="timeout", finish="failed")
        return describe(text)

    _, model, found, _ = make(answer)
    assert entry(found)["masked"] == {"failed_group": 1, "too_few_items": 1}
    assert entry(found)["failed"] == 1
    _, model, found, _ = make()
    assert len(model.asked) == 2  # the group, and ann's merging
    assert (entry(found)["failed"], entry(found)["profiles"]) == (0, 3)


def test_groups_larger_than_a_prompt_show_the_latest(make):
    report, model, found, _ = make(profile_history=1)
    assert all(len(shown(t.rpartition("Items from")[2])) == 1
               for t in model.asked if "Known of" not in t)  # fmt: skip
    assert entry(found)["cut_groups"] == 4
    assert "4 groups have more items than profile_history" in report


def test_quoted_titles_are_hidden_in_both_stages(make):
    _, _, found, _ = make(profile_hide_titles=True, profile_most_shared=9)
    assert not any(f"w{n}" in line["text"] for line in lines_of(found) for n in range(20))


def test_only_users_with_a_sparse_domain(make):
    _, _, found, _ = make(profile_users="sparse", augment_imbalance=0.99, augment_rate=1.0)
    assert entry(found)["masked"] == {"no_sparse_domain": 2, "too_few_items": 1}


def test_dry_run_says_the_truth_about_both_stages(make):
    report, _, found, _ = make(dry_run=True)
    assert found is None or not found.has("profiles")
    assert "groups: 6 calls" in report
    assert "merging: 3 calls" in report
    assert "both: 9 calls" in report
    read = sum(int(line.split("calls")[1].split(", ")[1].split()[0].replace(",", ""))
               for line in report.splitlines() if "groups: 6" in line)  # fmt: skip
    _, _, found, _ = make()
    assert entry(found)["spent_by_stage"]["group"]["prompt_tokens"] == read


def test_shards(make):
    _, _, whole, _ = make(at="whole")
    asked = []
    for index in range(2):
        _, model, _, _ = make(at="parts", shard=Shard(index, 2))
        asked += model.asked
    assert len(asked) == len({*asked}) == 9
    _, model, merged, _ = make(at="parts")
    assert model.asked == []
    for name in FILES:
        assert (merged.path / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "llm"}, r"were made for profile_mode 'llm', expected 'grouped'"),
        ({"overall": False}, "grouped profiles without the merged one of each user"),
    ],
)
def test_profiles_of_another_mode_or_without_merge_are_refused(make, change, message):
    _, _, found, task = make()
    manifest = json.loads((found.path / "manifest.json").read_text())
    manifest["profiles"] |= change
    write_json(found.path / "manifest.json", manifest)
    chosen = ArtefactSettings.from_config(task.config)
    found = find_artefacts(task.dataset_dir, "toy", chosen, task.split)
    with pytest.raises(UserError, match=message):
        found.profiles(["ann"], ["a", "b"])


def test_per_domain_is_the_set_of_its_older_name(config):
    keys = [config | {"profile_mode": mode} for mode in ("per_domain", "llm")]
    one, other = map(ArtefactSettings.from_config, keys)
    assert one == other
    assert repeat_titles("") == "likes "


def test_repetition():
    texts = ["Likes tea.", "likes  tea", "", "mugs"]
    assert repetition(texts) == {"texts": 3, "distinct": 2, "repeated": 2, "most_frequent": 2}
    assert leave_out_shared(texts, 1) == (["", "", "", "mugs"], 2)
    assert leave_out_shared(texts, 2) == (texts, 0)
