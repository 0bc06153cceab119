"""What makes RecBole run: refused and mended library versions, and what is never imported."""

import subprocess
import sys

import pandas as pd
import pytest
from scipy.sparse import dok_matrix

from recbole_edt.errors import UserError
from recbole_edt.recbole_bridge.shims import prepare_recbole


def test_pandas_three_is_refused(monkeypatch):
    monkeypatch.setattr(pd, "__version__", "3.0.1")
    with pytest.raises(UserError, match=r"pandas 3\.0\.1 found, expected pandas<3"):
        prepare_recbole()


def test_sparse_updates_that_graph_models_need():
    prepare_recbole()
    matrix = dok_matrix((2, 3))
    matrix._update({(1, 2): 5.0})
    assert matrix.toarray().tolist() == [[0, 0, 0], [0, 0, 5]]


def test_neither_ray_nor_the_quick_start_of_recbole_is_imported():
    code = (
        "import sys, recbole_edt.quick_start; import recbole_edt.model.registry as m;"
        "m.get_model('SASRec');"
        "print([n for n in ('ray', 'recbole.quick_start', 'hyperopt') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_error_message_needs_no_heavy_import():
    code = "import sys, recbole_edt.cli as c; print(c.dispatch(['rum']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 False"
    assert "did you mean 'run'" in done.stderr
