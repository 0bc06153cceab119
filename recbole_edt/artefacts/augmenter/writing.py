"""Writing the part `augment` of a set, and entering it into the manifest."""

from collections.abc import Mapping

import pandas as pd

from recbole_edt import fields
from recbole_edt.artefacts.augmenter import report
from recbole_edt.artefacts.store import AUGMENT, Entry, save_augmented
from recbole_edt.artefacts.task import ArtefactTask, PartReport


def write_augmented(
    task: ArtefactTask, mode: str, rows: pd.DataFrame, counts: Entry, rejects: Mapping[str, int]
) -> PartReport:
    """Write ``augmented.inter`` and the manifest's entry; return what to print.

    Parameters
    ----------
    task : ArtefactTask
        The set.
    mode : str
        The `augment_mode`.
    rows : pandas.DataFrame
        What `insertion.augmented_rows` returns.
    counts : dict
        What the entry records beside the rows.
    rejects : mapping
        Rejected replies and items by reason.
    """
    domains = rows[fields.DOMAIN].value_counts()
    entry = {
        "mode": mode,
        **counts,
        "accepted": len(rows),
        "accepted_by_domain": {str(name): int(domains[name]) for name in sorted(domains.index)},
        "augmented_users": int(rows[fields.USER].nunique()),
        "rejects": dict(sorted(rejects.items())),
        "sha256": save_augmented(task.folder, rows),
    }
    made = task.record(AUGMENT, entry)
    head = f"{AUGMENT}: made by {mode} in {task.folder}"
    return PartReport(AUGMENT, "made", f"{head}\n{report.describe(made)}")
