"""A local server for the tutorials."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "llm"))
from bad_server import BadServer, chat


@pytest.fixture
def method_server():
    """Start a server that names films, describes groups, and merges."""

    def answer(request):
        if "messages" not in request:
            return 404, {"error": {"message": "no such endpoint"}}
        text = request["messages"][-1]["content"]
        if text.endswith("overall preference:"):
            return chat(f"somebody whose preferences are known in {len(text)} characters")
        if "preference in the domain" in text[-80:]:
            return chat(f"things like {text.splitlines()[-2]}")
        return chat("Toy Story\nStar Wars\nThe Godfather\nCasablanca\nAlien")

    with BadServer([answer]) as running:
        yield running


@pytest.fixture
def server():
    """Start a server without log-likelihoods that answers every chat with two numbers."""

    def answer(request):
        if "messages" in request:
            return chat("1, 3")
        return 404, {"error": {"message": "no such endpoint"}}

    with BadServer([answer]) as running:
        yield running
