"""bf16 against float32: near scores and losses, sums in float32, refusals."""

import pytest
import torch
from small_baselines import build, histories, windows

from recbole_edt.config import EDTConfig
from recbole_edt.config.identity import identity
from recbole_edt.errors import UserError
from recbole_edt.model.losses import sampled_softmax
from recbole_edt.model.precision import autocast, check_precision

OWN = ["LLMEDT", "SASRecLLM", "SASRecSingle", "ABXI", "C2DSR", "LLM4CDSR", "TriCDR"]


@pytest.mark.parametrize("name", OWN)
def test_scores_and_loss_are_near_those_of_float32(name):
    profiles = {"profiles": False} if name in ("LLMEDT", "LLM4CDSR") else {}
    single, mixed = (build(name, precision=p, **profiles) for p in ("float32", "bf16"))
    ids = torch.tensor([[3, 9, 4, 0], [7, 0, 0, 0], [12, 5, 6, 1]])
    with torch.no_grad():
        one, two = (model.full_sort_predict(histories(ids))[:, 1:] for model in (single, mixed))
        assert two.dtype == torch.float32
    assert 0 < (one - two).abs().max() < 0.02 * one.abs().max()
    losses = []
    for model in (single, mixed):
        torch.manual_seed(1)
        with autocast(model.precision, torch.device("cpu")):
            losses.append(model.calculate_loss(windows()))
        losses[-1].backward()
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0)
    for parameter in mixed.parameters():
        assert parameter.grad is None or parameter.grad.dtype == torch.float32


def test_item_vectors_that_score_are_not_rounded():
    single, mixed = (build("SASRecLLM", precision=p) for p in ("float32", "bf16"))
    with autocast("bf16", torch.device("cpu")):
        vectors, bias = mixed.whole_table()
    assert torch.equal(vectors, single.whole_table()[0])
    assert torch.equal(bias, single.whole_table()[1])


def test_log_sum_exp_is_taken_in_float32():
    # the positive has 0, each of 1,000 negatives has 0 too and stands for one item: log(1001)
    scores = torch.zeros(1, 1000, dtype=torch.bfloat16)
    loss = sampled_softmax(torch.zeros(1), scores, scores > 0, num_candidates=1001)
    assert float(loss) == pytest.approx(6.908755, abs=1e-5)  # bfloat16 has 6.90625


def test_float32_is_no_part_of_a_runs_identity():
    assert identity({"precision": "float32"}) == {}
    assert identity({"precision": "bf16"}) == {"precision": "bf16"}


def test_a_gpu_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    check_precision("float32", torch.device("cuda"))
    check_precision("bf16", torch.device("cpu"))
    with pytest.raises(UserError, match=r"^precision: found 'bf16'.*Tesla T4 has no bfloat16$"):
        check_precision("bf16", torch.device("cuda"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"precision": "bf16", "enable_amp": True}, "^enable_amp: found True, expected False"),
        ({"precision": "fp16"}, "precision"),
    ],
)
def test_other_precisions_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        EDTConfig("SASRec", "none", (), keys)
