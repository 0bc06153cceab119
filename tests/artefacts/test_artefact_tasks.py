"""``artefacts --jobs`` and ``--cluster``: the files, numbers and resume of one process."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from local_ray import local_ray
from shops import repeat_titles, write_shop

from recbole_edt.files import read_json

# No two users have the same items of a domain: two tasks may ask the same question at once.
ROWS = """
ann: a1 b1 a2 b2 a3 b3 a4  a5 b5
bea: a1 a2 a3 a5 b1  b2 b3
cy:  b4 b3 b2 a1  b1 a2
dee: b1 b2 b3 b5 a1  a2 a3
eve: a2 a5 a1 b1 b3 b2  a4 b4
"""
TITLES = {f"{d}{n}": f"w{n} {d}" for d in "ab" for n in range(1, 6)}


class Server(ThreadingHTTPServer):
    """A language model that picks the first candidate, or repeats the titles of a prompt."""

    def __init__(self):
        self.asked, self.status = [], 200
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        self.server.asked.append(text)
        answer = "1" if "Candidates" in text else repeat_titles(text)
        message = {"role": "assistant", "content": answer}
        usage = {"prompt_tokens": len(text), "completion_tokens": len(answer)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = json.dumps({"choices": choices, "usage": usage}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def make(run_cli, tmp_path, tiny_model, server, monkeypatch):
    """Return a function that calls the command on a shop of its own; gives outcome and set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(root, *flags):
        folder = Path(root, "toy")
        if not folder.exists():
            write_shop(folder, ROWS, TITLES)
        keys = {
            "data_path": root, "llm": server.url, "llm_model": "fake", "encoder": tiny_model,
            "encoder_max_length": 12, "augment_mode": "select", "augment_pool_by": "similarity",
            "augment_imbalance": 0.6, "show_progress": False,
        }  # fmt: skip
        arguments = [f"--{key}={value}" for key, value in keys.items()]
        outcome = run_cli("artefacts", "--dataset=toy", *arguments, *flags)
        sets = [path.parent for path in folder.glob("artefacts/*/manifest.json")]
        return outcome, sets[0] if sets else None

    return call


def content_of(found: Path) -> dict:
    """Return the files of a set, and of its manifest what does not depend on time."""
    files = {path.name: path.read_bytes() for path in found.iterdir() if path.suffix != ".json"}
    manifest = read_json(found / "manifest.json")
    for part in ("augment", "profiles"):
        manifest[part]["spent"].pop("seconds")
    return {**files, "manifest": without_times(manifest)}


def without_times(value):
    if not isinstance(value, dict):
        return value
    return {k: without_times(v) for k, v in value.items() if "seconds" not in k and k != "made"}


def without_names(text: str) -> str:
    return re.sub(r"\d+\.\d+ s|there|here", "", text)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cluster=rey"], "--cluster: found 'rey', expected ray or ray:HOST:PORT (did you"),
        (["--cpus_per_task=2"], "--cpus_per_task: of use with --cluster only"),
        (["--cluster=ray", "--shard=0/2"], "--cluster: shares the work of making; found --shard"),
        (["--jobs=2", "--dry-run"], "--jobs: shares the work of making; found --dry-run beside"),
        (["--jobs=0"], "--jobs: found '0'"),
        (["--jobs=2", "--only=profile"], "'profile' is unknown"),
    ],
)
def test_mistakes_are_one_line(make, flags, said):
    outcome, found = make("there", *flags)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert found is None


@pytest.mark.slow
def test_a_task_that_is_refused_is_one_line_and_the_same_command_goes_on(make, server):
    server.status = 400
    outcome, found = make("there", "--jobs=2", "--only=embeddings,profiles")
    assert outcome.status == 2, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.startswith("recbole-edt: ")
    assert "400" in last
    assert {path.name for path in found.glob(".work-tasks/*")} == {
        "profiles-0-of-2.log",
        "profiles-1-of-2.log",
    }
    server.status = 200
    outcome, _ = make("there", "--jobs=2", "--only=embeddings,profiles")
    assert outcome.status == 0, outcome.err
    assert "profiles: made" in outcome.out
    assert not list(found.glob(".work*"))


@pytest.mark.slow
def test_tasks_of_ray_make_the_files_of_one_process(make, server):
    outcome, here = make("here")
    assert outcome.status == 0, outcome.err
    asked = sorted(server.asked)
    server.asked.clear()
    assert make("there", "--only=embeddings")[0].status == 0
    assert make("there", "--only=augment", "--shard=0/2")[0].status == 0
    done = len(server.asked)
    with local_ray() as address:
        outcome, there = make("there", f"--cluster=ray:{address}")
        assert outcome.status == 0, outcome.err
        assert done < len(asked)
        assert sorted(server.asked) == asked  # each question once, over both commands
        names = [line.partition(": ")[0] for line in outcome.err.splitlines()]
        parts = ("augment, part 0 of 2", "augment, part 1 of 2")
        assert {*parts} < {*names}
        assert content_of(there) == content_of(here)
        assert not list(there.glob(".work*"))
        server.asked.clear()
        again, _ = make("there", f"--cluster=ray:{address}")
        assert again.status == 0
        assert again.out.count("complete already") == 3
        assert again.err == ""
        assert not server.asked
