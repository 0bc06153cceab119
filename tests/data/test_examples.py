"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "data.batching",
        "data.indexing",
        "data.split",
        "evaluation.ranking",
        "export.numbering",
        "export.sequences",
        "export.untrained",
        "evaluation.top_lists",
        "evaluation.list_metrics",
    ],
)
def test_docstring_examples(module):
    result = doctest.testmod(import_module(f"recbole_edt.{module}"))
    assert result.attempted
    assert not result.failed
