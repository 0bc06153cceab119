"""A local server for the tutorials."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "llm"))
from bad_server import BadServer, chat


@pytest.fixture
def server():
    """Start a server without log-likelihoods that answers every chat with two numbers."""

    def answer(request):
        if "messages" in request:
            return chat("1, 3")
        return 404, {"error": {"message": "no such endpoint"}}

    with BadServer([answer]) as running:
        yield running
