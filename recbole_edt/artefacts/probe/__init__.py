"""The probe: whether the augmenter finds behaviour that really happened."""

from recbole_edt.artefacts.probe.make import run_probe

__all__ = ["run_probe"]
