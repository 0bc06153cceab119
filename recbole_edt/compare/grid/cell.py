"""One run in a process of its own; `CellProcess` is its parent's end."""

from typing import Any

from recbole_edt.executors import answer_request


def make_run(request: dict[str, Any]) -> dict[str, Any]:
    """Make or resume a run.

    Parameters
    ----------
    request : dict
        The run's ``keys``, with model, dataset and seed, the ``digest`` of the whole
        configuration as the parent read it, and under ``shared_from`` the folder of a finished
        run with the same shared phase, or null.

    Returns
    -------
    dict
        ``run_dir``, the folder of the finished run.

    Raises
    ------
    UserError
        As a bare run raises it, and for a configuration file that was changed meanwhile.
    """
    from pathlib import Path

    from recbole_edt.compare.cell_job import make_job
    from recbole_edt.compare.plan import ComparisonRow
    from recbole_edt.errors import UserError
    from recbole_edt.files import digest
    from recbole_edt.runs import execute

    keys, shared_from = request["keys"], request["shared_from"]
    row = ComparisonRow(keys["model"], keys["model"], {})
    job = make_job(row, keys["dataset"], keys, keys["seed"], row.label)
    if digest(job.settings) != request["digest"]:  # else one row would mix two configurations
        raise UserError("configuration: a file changed since the command began; give it again")
    folder = job.finished
    if folder is None:  # two processes never work on one run
        source = None if shared_from is None else Path(shared_from)
        folder = execute(job.config, resume=True, wait=True, shared_from=source).folder.path
    return {"run_dir": str(folder)}


def preload() -> None:
    """Import what runs need."""
    from importlib import import_module

    from recbole_edt.recbole_bridge.stock import import_model, stock_models

    import_module("recbole_edt.compare.cell_job")
    import_module("recbole_edt.runs.execution")
    import_module("torch._dynamo")  # as the first optimizer does
    import_model(stock_models()["Pop"], "Pop")  # and with it all general models of RecBole


def main() -> None:
    """Answer one request and exit."""
    answer_request(make_run)
