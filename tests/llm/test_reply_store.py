import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_llm import FakeClient, failing

from recbole_edt.errors import UserError
from recbole_edt.llm import GenerateRequests, Generation, LanguageModel, Prompt, Reply, model
from recbole_edt.llm.client import ScoreRequests
from recbole_edt.llm.estimate import Prices
from recbole_edt.llm.store import Record, ReplyStore, Usage

SETTINGS = Generation(8)
OLD_KEYS = ("2f80f2dbad26", "d48dabce63da")


def prompts(*texts):
    return [Prompt("system", text) for text in texts]


def test_nothing_is_asked_twice(tmp_path, fake):
    with ReplyStore(tmp_path) as store:
        llm = LanguageModel(fake, store)
        replies = llm.generate(prompts("a", "b", "a"), SETTINGS)
        assert [reply.text for reply in replies] == ["A", "B", "A"]
        llm.generate(prompts("b", "c"), SETTINGS)
        assert fake.asked == ["a", "b", "c"]
        llm.score(prompts("a"), [["x y", "z"]])
    with ReplyStore(tmp_path) as store:
        again = LanguageModel(fake, store)
        (reply,) = again.generate(prompts("c"), SETTINGS)
        (scores,) = again.score(prompts("a"), [["x y", "z"]])
    assert (reply.text, scores.sums, scores.counts) == ("C", (6.0, 1.0), (2, 1))
    assert fake.asked == ["a", "b", "c", "a"]


def test_all_that_determines_a_reply_is_in_its_key():
    def generation(system="s", user="u", settings=SETTINGS, model="m"):
        return GenerateRequests([Prompt(system, user)], settings).keys(model)

    keys = [
        generation(),
        generation(system=""),
        generation(user="v"),
        generation(settings=Generation(9)),
        generation(settings=Generation(8, 0.5)),
        generation(settings=Generation(8, 0.5, 1)),
        generation(model="other"),
        ScoreRequests(prompts("u"), [["a", "b"]]).keys("m"),
        ScoreRequests(prompts("u"), [["ab"]]).keys("m"),
    ]
    assert len({key for (key,) in keys}) == len(keys)


def test_another_model_is_asked_anew(tmp_path, fake):
    store, other = ReplyStore(tmp_path), FakeClient(name="other")
    for client in (fake, other):
        LanguageModel(client, store).generate(prompts("a"), SETTINGS)
    assert fake.asked == other.asked == ["a"]


def test_a_key_is_what_it_was_in_earlier_versions():
    # Changing it would ask, and pay for, every stored question again.
    (key,) = GenerateRequests(prompts("a"), SETTINGS).keys("m")
    assert key.startswith(OLD_KEYS[0])
    (key,) = ScoreRequests(prompts("a"), [["x", "y"]]).keys("m")
    assert key.startswith(OLD_KEYS[1])


def test_a_failure_is_counted_and_asked_again(tmp_path):
    client = FakeClient(failing("b"))
    with ReplyStore(tmp_path) as store:
        replies = LanguageModel(client, store).generate(prompts("a", "b"), SETTINGS)
    assert [reply.failure for reply in replies] == [None, "timeout"]
    with ReplyStore(tmp_path) as store:
        usage = store.usage
        assert (usage.calls, usage.failures, usage.retries) == (2, 1, 2)
        client.answer = str.upper
        assert LanguageModel(client, store).generate(prompts("b"), SETTINGS)[0].text == "B"


def test_usage_and_cost_survive(tmp_path, fake, monkeypatch):
    clock = SimpleNamespace(monotonic=iter([10.0, 12.5]).__next__)
    monkeypatch.setattr(model, "time", clock)
    with ReplyStore(tmp_path) as store:
        LanguageModel(fake, store, Prices(1e6, 2e6)).generate(prompts("a b c"), SETTINGS)
    usage = ReplyStore(tmp_path).usage
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cost) == (3, 3, 3 + 6)
    assert usage.seconds == 2.5


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from recbole_edt.llm import Generation, LanguageModel, Prompt
    from recbole_edt.llm.store import ReplyStore
    sys.path.insert(0, sys.argv[2])
    from fake_llm import FakeClient
    first, count = int(sys.argv[3]), int(sys.argv[4])
    model = LanguageModel(FakeClient(), ReplyStore(Path(sys.argv[1])))
    for number in range(first, first + count):
        model.generate([Prompt("s", f"{number} " + "x" * 5000)], Generation(8))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    """
)


def writer(folder, first, count):
    tests = Path(__file__).parents[1]
    arguments = [sys.executable, "-c", WRITER, folder, tests, first, count]
    return subprocess.Popen(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tests.parent,
    )


@pytest.mark.kills
def test_killed_while_writing(tmp_path):
    with writer(tmp_path, 0, 100_000) as process:
        reported = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        reported += process.stdout.readlines()
    store = ReplyStore(tmp_path)
    whole = [line for line in reported if line.endswith("\n")]
    # Each reply was on disk before it was reported; one more may have been.
    assert len(whole) <= len(store) <= len(whole) + 1


def test_two_processes_at_once(tmp_path):
    with writer(tmp_path, 0, 60) as one, writer(tmp_path, 40, 60) as two:
        assert [one.wait(), two.wait()] == [0, 0]
    store = ReplyStore(tmp_path)
    assert (len(store), store.torn_lines) == (100, 0)
    assert len(list((tmp_path / "replies").iterdir())) == 2


def test_both_orders_of_reading_take_the_same_duplicate(tmp_path):
    lines = []
    for text in ("one", "two"):
        with ReplyStore(tmp_path / text) as store:
            store.add([Record("k", Reply(text), Usage(calls=1))])
        lines.append(next((tmp_path / text / "replies").iterdir()).read_bytes())
    taken = []
    for name, order in (("x", lines), ("y", lines[::-1])):
        folder = tmp_path / name / "replies"
        folder.mkdir(parents=True)
        for number, line in enumerate(order):
            (folder / f"{number}.jsonl").write_bytes(line)
        merged = ReplyStore(tmp_path / name)
        assert (len(merged), merged.usage.calls) == (1, 2)
        taken.append(merged.answer("k"))
    assert taken[0] == taken[1]


def test_a_torn_last_line_is_skipped(tmp_path, fake):
    with ReplyStore(tmp_path) as store:
        LanguageModel(fake, store).generate(prompts("a", "b", "c"), SETTINGS)
    (segment,) = (tmp_path / "replies").iterdir()
    segment.write_bytes(segment.read_bytes()[:-10])
    with ReplyStore(tmp_path) as store:
        assert (len(store), store.torn_lines) == (2, 1)
        LanguageModel(fake, store).generate(prompts("c"), SETTINGS)
    assert len(ReplyStore(tmp_path)) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"[]",
        b"\xff\xfe",
        b'{"v": 2}',
        b'{"v": 1, "key": "k", "kind": "generate", "answer": {"text": 5}, "usage": {}}',
        b'{"v": 1, "key": "k", "kind": "generate", "answer": {"txt": ""}, "usage": {}}',
        b'{"v": 1, "key": "", "kind": "score", "answer": {"sums": [1], "counts": []}, "usage": {}}',
        b'{"v": 1, "key": "", "kind": "failure", "answer": {}, "usage": {"calls": ""}}',
    ],
)
def test_any_other_damage_names_file_and_line(tmp_path, line):
    with ReplyStore(tmp_path) as store:
        store.add([Record("k", Reply("fine"), Usage())])
    (segment,) = (tmp_path / "replies").iterdir()
    segment.write_bytes(segment.read_bytes() + line + b"\n")
    with pytest.raises(UserError, match=rf"{segment.name}: line 2 .*") as caught:
        ReplyStore(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk(tmp_path, fake, monkeypatch):
    with ReplyStore(tmp_path) as store:
        llm = LanguageModel(fake, store)
        llm.generate(prompts("a"), SETTINGS)
        with monkeypatch.context() as patched:

            def full(descriptor):
                raise OSError(28, "No space left on device")

            patched.setattr(os, "fsync", full)
            with pytest.raises(UserError, match="No space left"):
                llm.generate(prompts("b"), SETTINGS)
        llm.generate(prompts("c"), SETTINGS)
    reopened = ReplyStore(tmp_path)
    assert (len(reopened), reopened.torn_lines) == (2, 0)


def test_lines_are_plain_json(tmp_path, fake):
    with ReplyStore(tmp_path) as store:
        LanguageModel(fake, store).generate(prompts("ß 🍎\u2028"), SETTINGS)
    (segment,) = (tmp_path / "replies").iterdir()
    (line,) = segment.read_text(encoding="ascii").splitlines()
    assert json.loads(line)["answer"]["text"] == "SS 🍎\u2028"
