"""What makes RecBole run: mended library versions, and what is never imported."""

import subprocess
import sys

from scipy.sparse import dok_matrix

from recbole_edt.recbole_bridge.shims import prepare_recbole


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


def test_scikit_learn_is_imported_only_when_a_metric_calls_it():
    code = (
        "import sys, recbole_edt.quick_start\n"
        "import recbole_edt.model.registry as m; m.get_model('LLMEDT')\n"
        "print([n for n in ('sklearn', 'scipy.stats', 'recbole.model.sequential_recommender')"
        " if n in sys.modules])\n"
        "import numpy as np, recbole.evaluator.metrics as metrics\n"
        "print(metrics.mean_absolute_error([1, 2], [2, 4]), 'sklearn' in sys.modules)\n"
        "from sklearn.metrics import ndcg_score\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "1.5 True"], done.stderr
    assert done.returncode == 0, done.stderr


def test_models_of_recbole_leave_anomaly_detection_off():
    """SINE's module turns it on, and comes with any sequential model."""
    code = (
        "import sys, torch, recbole_edt.model.registry as m; m.get_model('SASRec');"
        "print('recbole.model.sequential_recommender.sine' in sys.modules,"
        " torch.is_anomaly_enabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"


def test_doctor_imports_neither_recbole_nor_data_libraries(tmp_path):
    code = (
        "import sys, recbole_edt.cli as c; status = c.dispatch(['doctor']); print(status,"
        " [n for n in ('recbole', 'pandas', 'scipy', 'sklearn', 'transformers')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_an_error_message_needs_no_heavy_import():
    code = "import sys, recbole_edt.cli as c; print(c.dispatch(['rum']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 False"
    assert "did you mean 'run'" in done.stderr
