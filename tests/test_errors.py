"""The name that a user may have meant."""

import pytest
import torch

from recbole_edt.cli import entry
from recbole_edt.config.models import OWN
from recbole_edt.errors import nearest
from recbole_edt.recbole_bridge.stock import stock_models


def test_the_nearest_name_is_told():
    assert nearest("learnin_rate", ["seed", "learning_rate"]) == " (did you mean 'learning_rate'?)"
    assert nearest("quite", ["another"]) == ""


def test_among_very_many_names_only_case_is_forgiven():
    users = [f"U{n}" for n in range(100_001)]
    assert nearest("u77", users) == " (did you mean 'U77'?)"
    assert nearest("u7x", users) == ""


@pytest.mark.parametrize("absent", ["EMCDR", "CL4SRec", "PTUPCDR", "CoNet", "DuoRec"])
def test_a_model_that_is_not_here_is_not_called_another(absent):
    assert nearest(absent, [*OWN, *stock_models()]) == ""


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("LightGCNN", "LightGCN"), ("BRP", "BPR"), ("Pip", "Pop"), ("sasrec", "SASRec"),
     ("NueMF", "NeuMF"), ("GRU4Re", "GRU4Rec"), ("TriCRD", "TriCDR")],
)  # fmt: skip
def test_a_misspelt_model_is_recognised(typo, meant):
    assert nearest(typo, [*OWN, *stock_models()]) == f" (did you mean '{meant}'?)"


def test_all_names_that_end_alike_are_named():
    known = ["train_batch_size", "seed", "eval_batch_size"]
    said = " (did you mean 'train_batch_size' or 'eval_batch_size'?)"
    assert nearest("batch_size", known) == said


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            MemoryError("Unable to allocate 8 GiB"),
            2,
            "out of memory (Unable to allocate 8 GiB); sm",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            2,
            "out of memory (CUDA out of memory); sma",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            2,
            "out of memory (DefaultCPU",
        ),
        (RuntimeError("sizes differ"), 1, "RuntimeError: sizes differ (an error of ours"),
    ],
)
def test_too_little_memory_is_no_error_of_ours(monkeypatch, capsys, error, status, said):
    def fail(*args):
        raise error

    monkeypatch.setattr(entry, "_run_command", fail)
    assert entry.dispatch(["run"]) == status
    assert capsys.readouterr().err.startswith(f"recbole-edt: {said}")
