"""May an item be repeated? The one rule of ranking and of recommending, from the key ``repeatable``.

| | general model | sequential model |
|---|---|---|
| ``candidates: target_domain`` | neither ranked nor recommended | neither |
| ``candidates: all`` | both with ``repeatable``, else neither | ranked, as RecBole does; not recommended |
"""

from recbole_edt.data.dataset import CrossDomainDataset


def ranks_history(part: CrossDomainDataset, scope: str) -> bool:
    """Return whether items of the history are candidates when held-out targets are ranked."""
    return scope == "all" and (part.is_sequential or bool(part.config["repeatable"]))


def recommends_history(part: CrossDomainDataset) -> bool:
    """Return whether items of the history are recommended unless the caller decides."""
    return not part.is_sequential and ranks_history(part, part.config["candidates"])
