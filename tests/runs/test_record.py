"""The typed record of a run: what is read, what older files lack, what is refused."""

import json
from pathlib import Path

import pytest

from recbole_edt.errors import UserError
from recbole_edt.runs import FINAL, WITHOUT_EXPERT, RunRecord

OLD = Path(__file__).parent / "metrics-03bd51c.json"
"""As written at commit 03bd51c: two phases, a content expert, artefacts."""


@pytest.fixture
def change(tmp_path):
    """Return a function that writes the old file with one key changed, and gives its path."""

    def write(keys, value):
        content = json.loads(OLD.read_text())
        parent = content
        for key in keys[:-1]:
            parent = parent[key]
        if value is None:
            del parent[keys[-1]]
        else:
            parent[keys[-1]] = value
        path = tmp_path / "metrics.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_a_record_is_written_byte_for_byte_as_it_was_read(tmp_path):
    RunRecord.read(OLD).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == OLD.read_bytes()


def test_what_is_in_the_file_is_in_the_record():
    record, content = RunRecord.read(OLD), json.loads(OLD.read_text())
    assert (record.model, record.dataset, record.seed) == ("LLMEDT", "toy", 2026)
    assert record.protocol.compared() == {
        key: content["protocol"].get(key) for key in record.protocol.COMPARED
    } | {"final_fit": False}
    assert record.test.overall.users == content["test"]["overall"]["users"]
    assert record.expert_weights == content["expert_weights"]
    assert [phase.name for phase in record.phases] == ["shared", "domain"]
    best = content["phases"][1]["best_epoch"]
    assert record.phases[1].last_best_epoch == max(best.values())
    assert record.model_valid.to_dict() == content["without_expert"]["valid"]


def test_values_of_every_evaluation():
    record, content = RunRecord.read(OLD), json.loads(OLD.read_text())
    assert [(named.variant, named.subset) for named in record.reports()] == [
        (FINAL, "valid"), (FINAL, "test"),
        ("after shared", "valid"), ("after shared", "test"),
        (WITHOUT_EXPERT, "valid"), (WITHOUT_EXPERT, "test"),
    ]  # fmt: skip
    assert record.value("ndcg@5") == content["test"]["overall"]["ndcg@5"]
    own = content["without_expert"]["valid"]["domains"]["d1"]["ndcg@5"]
    assert record.value("ndcg@5", "d1", "valid", WITHOUT_EXPERT) == own
    assert record.value("ndcg@5", variant="after domain") is None
    assert record.value("ndcg@5", "no such domain") is None
    assert record.value("hit@5") is None
    assert record.test.flat()["ndcg@5/d2"] == content["test"]["domains"]["d2"]["ndcg@5"]
    scopes = {(s.scope, s.domain or s.group) for s in record.test.scopes()}
    assert {("overall", ""), ("domain", "d0"), ("history_length", ">=50")} <= scopes


@pytest.mark.parametrize(
    "keys",
    [
        ("protocol", "items_hash"), ("cost", "parameters"), ("expert_weights",),
        ("without_expert",), ("phases", 0, "valid"), ("test", "groups"),
    ],
)  # fmt: skip
def test_what_runs_of_earlier_versions_lack(change, tmp_path, keys):
    path = change(keys, None)
    record = RunRecord.read(path)
    record.write(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    added = {"groups": {}} if keys[-1] == "groups" else {}
    expected = json.loads(path.read_text())
    assert {**again, "test": None} == {**expected, "test": None}
    assert again["test"] == {**expected["test"], **added}


def test_a_run_without_a_hash_of_its_items_is_compared_without_it(change):
    record = RunRecord.read(change(("protocol", "items_hash"), None))
    assert "items_hash" not in record.protocol.compared()
    assert list(record.protocol.data_hashes()) == ["split_hash"]


def test_keys_of_a_later_version_are_passed_over(change):
    assert RunRecord.read(change(("later",), 1)) == RunRecord.read(OLD)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("seed",), None, "lacks 'seed'"),
        (("test", "overall", "users"), None, "test.overall: lacks 'users'"),
        (("seed",), "2026", "seed: found '2026', expected a valid integer"),
        (("seed",), True, "seed: found True, expected a valid integer"),
        (("schema",), 2, "schema: found 2, expected 1"),
        (("protocol", "split_hash"), 5, "protocol.split_hash: found 5, expected a valid string"),
        (("test", "domains", "d1", "ndcg@5"), "high",
         "test.domains.d1.ndcg@5: found 'high', expected a finite number"),
        (("cost", "train_seconds"), float("nan"),
         "cost.train_seconds: found nan, expected a finite number"),
        (("phases", 1, "best_epoch"), {"d0": "last"},
         "phases.1.best_epoch: found {'d0': 'last'}, expected an epoch, or one per domain"),
        (("valid",), [1], "valid: found [1], expected an object"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_in_one_line(change, keys, value, message):
    path = change(keys, value)
    with pytest.raises(UserError) as caught:
        RunRecord.read(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "found list, expected a run's metrics"), ("{", "not valid JSON")],
)
def test_a_file_that_is_no_record(tmp_path, text, message):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"metrics.json: {message}"):
        RunRecord.read(path)
    with pytest.raises(UserError, match="nothing: no such file"):
        RunRecord.read(tmp_path / "nothing")
