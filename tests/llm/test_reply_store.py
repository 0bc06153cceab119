import json
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from echo_model import EchoModel

from recbole_edt.errors import UserError
from recbole_edt.llm import cached
from recbole_edt.llm.cached import CachedClient, Prices
from recbole_edt.llm.client import Generation, Prompt, Reply
from recbole_edt.llm.store import Record, ReplyStore, Usage

SETTINGS = Generation(8)


def prompts(*texts):
    return [Prompt("system", text) for text in texts]


def test_nothing_is_asked_twice(tmp_path, echo):
    with ReplyStore(tmp_path) as store:
        client = CachedClient(echo, store)
        replies = client.generate(prompts("a", "b", "a"), SETTINGS)
        assert [reply.text for reply in replies] == ["A", "B", "A"]
        client.generate(prompts("b", "c"), SETTINGS)
        assert echo.asked == ["a", "b", "c"]
        client.score(prompts("a"), [["x y", "z"]])
    with ReplyStore(tmp_path) as store:
        again = CachedClient(echo, store)
        (reply,) = again.generate(prompts("c"), SETTINGS)
        (scores,) = again.score(prompts("a"), [["x y", "z"]])
    assert (reply.text, scores.sums, scores.counts) == ("C", (-3.0, -1.0), (2, 1))
    assert echo.asked == ["a", "b", "c", "a"]


def test_all_that_determines_a_reply_is_in_its_key(tmp_path, echo):
    client = CachedClient(echo, ReplyStore(tmp_path))
    other = CachedClient(EchoModel("other"), client.store)
    keys = [
        client.generation_key(Prompt("s", "u"), SETTINGS),
        client.generation_key(Prompt("", "u"), SETTINGS),
        client.generation_key(Prompt("s", "v"), SETTINGS),
        client.generation_key(Prompt("s", "u"), Generation(9)),
        client.generation_key(Prompt("s", "u"), Generation(8, 0.5)),
        client.generation_key(Prompt("s", "u"), Generation(8, 0.5, 1)),
        other.generation_key(Prompt("s", "u"), SETTINGS),
        client.scoring_key(Prompt("s", "u"), ["a", "b"]),
        client.scoring_key(Prompt("s", "u"), ["ab"]),
    ]
    assert len(set(keys)) == len(keys)


def test_a_failure_is_counted_and_asked_again(tmp_path):
    model = EchoModel(fails=["b"])
    with ReplyStore(tmp_path) as store:
        replies = CachedClient(model, store).generate(prompts("a", "b"), SETTINGS)
    assert [reply.failure for reply in replies] == [None, "timeout"]
    with ReplyStore(tmp_path) as store:
        usage = store.usage
        assert (usage.calls, usage.failures, usage.retries) == (2, 1, 2)
        model.fails.clear()
        assert CachedClient(model, store).generate(prompts("b"), SETTINGS)[0].text == "B"


def test_usage_and_cost_survive(tmp_path, echo, monkeypatch):
    clock = SimpleNamespace(monotonic=iter([10.0, 12.5]).__next__)
    monkeypatch.setattr(cached, "time", clock)
    with ReplyStore(tmp_path) as store:
        CachedClient(echo, store, Prices(1e6, 2e6)).generate(prompts("a b c"), SETTINGS)
    usage = ReplyStore(tmp_path).usage
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cost) == (3, 2, 3 + 4)
    assert usage.seconds == 2.5


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from recbole_edt.llm.cached import CachedClient
    from recbole_edt.llm.client import Generation, Prompt
    from recbole_edt.llm.store import ReplyStore
    sys.path.insert(0, sys.argv[2])
    from echo_model import EchoModel
    first, count = int(sys.argv[3]), int(sys.argv[4])
    client = CachedClient(EchoModel(), ReplyStore(Path(sys.argv[1])))
    for number in range(first, first + count):
        client.generate([Prompt("s", f"{number} " + "x" * 5000)], Generation(8))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    """
)


def writer(folder, first, count):
    here = os.path.dirname(__file__)
    arguments = [sys.executable, "-c", WRITER, str(folder), here, str(first), str(count)]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, cwd=os.path.join(here, "..", "..")
    )


def test_killed_while_writing(tmp_path):
    with writer(tmp_path, 0, 100_000) as process:
        told = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    store = ReplyStore(tmp_path)
    whole = [line for line in told if line.endswith("\n")]
    # Each reply was on disk before it was told; one more may have been.
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
        taken.append(merged.get("k"))
    assert taken[0] == taken[1]


def test_a_torn_last_line_is_passed_over(tmp_path, echo):
    with ReplyStore(tmp_path) as store:
        CachedClient(echo, store).generate(prompts("a", "b", "c"), SETTINGS)
    (segment,) = (tmp_path / "replies").iterdir()
    segment.write_bytes(segment.read_bytes()[:-10])
    with ReplyStore(tmp_path) as store:
        assert (len(store), store.torn_lines) == (2, 1)
        CachedClient(echo, store).generate(prompts("c"), SETTINGS)
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


def test_a_full_disk(tmp_path, echo, monkeypatch):
    with ReplyStore(tmp_path) as store:
        client = CachedClient(echo, store)
        client.generate(prompts("a"), SETTINGS)
        with monkeypatch.context() as patched:

            def full(descriptor):
                raise OSError(28, "No space left on device")

            patched.setattr(os, "fsync", full)
            with pytest.raises(UserError, match="No space left"):
                client.generate(prompts("b"), SETTINGS)
        client.generate(prompts("c"), SETTINGS)
    reopened = ReplyStore(tmp_path)
    assert (len(reopened), reopened.torn_lines) == (2, 0)


def test_lines_are_plain_json(tmp_path, echo):
    with ReplyStore(tmp_path) as store:
        CachedClient(echo, store).generate(prompts("ß 🍎\u2028"), SETTINGS)
    (segment,) = (tmp_path / "replies").iterdir()
    (line,) = segment.read_text(encoding="ascii").splitlines()
    assert json.loads(line)["answer"]["text"] == "SS 🍎\u2028"
