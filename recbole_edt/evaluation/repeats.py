"""May an item be repeated? One rule for ranking and recommending, from the key ``repeatable``.

| candidates | model | history is ranked | history is recommended |
|---|---|---|---|
| target_domain | any | no | no |
| all | general | with ``repeatable`` | with ``repeatable`` |
| all | sequential | yes, as RecBole does | no |
"""

from recbole_edt.data.dataset import CrossDomainDataset


def ranks_history(part: CrossDomainDataset, scope: str) -> bool:
    """Return whether items of the history are candidates when held-out targets are ranked."""
    return scope == "all" and (part.is_sequential or bool(part.config["repeatable"]))


def recommends_history(part: CrossDomainDataset) -> bool:
    """Return whether items of the history are recommended unless the caller decides."""
    return not part.is_sequential and ranks_history(part, part.config["candidates"])
