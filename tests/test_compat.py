import torch

from recbole_edt.compat import prepare_recbole
from recbole_edt.models import get_model


def test_no_model_turns_anomaly_detection_on():
    """RecBole's SINE does, for the whole process; every model then trains at half its speed."""
    get_model("SINE")
    assert not torch.is_anomaly_enabled()


def test_the_callers_own_anomaly_detection_stays_on():
    with torch.autograd.set_detect_anomaly(True):
        prepare_recbole()
        assert torch.is_anomaly_enabled()
