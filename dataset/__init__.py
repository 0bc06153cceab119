"""Ready artefacts of the embedded default dataset; installed as ``recbole_edt.embedded``."""
