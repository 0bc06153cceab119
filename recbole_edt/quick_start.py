"""The Python face of ``recbole-edt run``."""

from collections.abc import Mapping, Sequence
from typing import Any

from recbole_edt import distributed
from recbole_edt.config import EDTConfig
from recbole_edt.runs.execution import execute


def run_recbole_edt(
    model: str | None = None,
    dataset: str | None = None,
    config_files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train and evaluate one model.

    Parameters
    ----------
    model, dataset : str, optional
        Names, unless a file or key gives them.
    config_files : sequence of str
        YAML files, the last one wins.
    overrides : mapping, optional
        Keys above all files.
    resume : bool
        Go on with the newest run of exactly this configuration, if there is one; a finished
        run is returned as it is.

    Returns
    -------
    dict
        The content of ``metrics.json``, and under ``run_dir`` where it was written.

    Raises
    ------
    UserError
        Bad configuration, data, artefacts or checkpoint.
    """
    distributed.start()
    folder, record = execute(EDTConfig(model, dataset, config_files, overrides), resume)
    return {**record.to_dict(), "run_dir": str(folder.path)}
