"""The text that ``recbole-edt artefacts`` prints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.embeddings import VectorSource
from recbole_edt.artefacts.make import make_artefacts, probe_augmenter
from recbole_edt.data.split import Split
from recbole_edt.llm import Shard, parse_shard

__all__ = ["PROBED_USERS", "VectorSource", "parse_shard", "run_artefacts"]

PROBED_USERS = 200
"""Users that a probe draws when no other number is given."""


def run_artefacts(
    config: Mapping[str, Any],
    dataset_dir: Path,
    name: str,
    split: Split,
    only: Sequence[str],
    dry_run: bool,
    probe: int | None = None,
    shard: Shard | None = None,
    vectors: VectorSource | None = None,
) -> str:
    """Make artefacts, or measure the augmenter on `probe` users; return the report to print.

    Parameters and errors are those of `make.make_artefacts` and `make.probe_augmenter`.
    """
    if probe is not None:
        return probe_augmenter(config, dataset_dir, name, split, probe)
    reports = make_artefacts(
        config, dataset_dir, name, split, only=only, dry_run=dry_run, shard=shard, vectors=vectors
    )
    return "\n".join(report.text for report in reports)
