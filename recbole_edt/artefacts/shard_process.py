"""One part of a set, or one shard of its questions, in a process of its own."""

from typing import Any

from recbole_edt.executors import answer_request


def make_part(request: dict[str, Any]) -> dict[str, Any]:
    """Make a part of a set, or ask the questions of a shard.

    Parameters
    ----------
    request : dict
        ``settings``, the complete configuration, and their ``digest``; ``part``; ``shard``, its
        index and count.

    Returns
    -------
    dict
        ``part_status`` and ``text`` of the `PartReport`.

    Raises
    ------
    UserError
        As `make_artefacts`, and for a configuration that is another one on this machine.
    """
    from recbole_edt.artefacts.cluster import task_settings
    from recbole_edt.artefacts.make import make_artefacts
    from recbole_edt.config import EDTConfig
    from recbole_edt.data.split import split_of
    from recbole_edt.errors import UserError
    from recbole_edt.files import digest
    from recbole_edt.llm import Shard

    config = EDTConfig(overrides=request["settings"])
    if digest(task_settings(config)) != request["digest"]:
        raise UserError("configuration: a file changed since the command began; give it again")
    name, folder = config["dataset"], config.dataset_dir
    split = split_of(config)
    (report,) = make_artefacts(
        config, folder, name, split, only=[request["part"]], shard=Shard(*request["shard"])
    )
    return {"part_status": report.status, "text": report.text}


def preload() -> None:
    """Import what parts of a set need."""
    from importlib import import_module

    for name in ("artefacts.make", "data.split", "llm.transformers_client"):
        import_module(f"recbole_edt.{name}")


def main() -> None:
    """Answer one request and exit."""
    answer_request(make_part)
