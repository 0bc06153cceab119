"""Scores of targets in batches that fit into memory: of one domain's items where a model can."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.model.protocols import capabilities_of
from recbole_edt.recbole_bridge import Interaction
from recbole_edt.recbole_bridge.failures import named_failures

_MOST_SCORES = 1 << 27  # 512 MiB in float32


class ScoreBlock(NamedTuple):
    """Scores of some targets.

    Attributes
    ----------
    at : numpy.ndarray
        Which targets, int [b].
    scores : torch.Tensor
        Float [b, n].
    domain : int or None
        The columns are the items of this domain, in rising order of their ids; None: all items,
        column i is item id i.
    """

    at: np.ndarray
    scores: Tensor
    domain: int | None


def score_blocks(model: Any, targets: Targets, by_domain: bool) -> Iterator[ScoreBlock]:
    """Yield the scores of all targets, each target once.

    Parameters
    ----------
    model : RecBole model
        Put into evaluation mode.
    targets : Targets
        What to score.
    by_domain : bool
        Score the items of each target's own domain only, if the model can do that
        (`recbole_edt.model.protocols.ScoresDomains`).

    Raises
    ------
    UserError
        When a score is not a number.
    """
    model.eval()
    part = targets.part
    most = max(_MOST_SCORES // part.item_num, 1)
    by_domain = by_domain and capabilities_of(model).scores_domains
    for at in targets.batches(min(part.config["eval_batch_size"], most)):
        if by_domain:
            yield from _domain_blocks(model, targets, at)
        else:
            with named_failures("ranked", part.config):
                scores = score_targets(model, targets, at)
            _refuse_nan(scores, targets, at)
            yield ScoreBlock(at, scores, None)


def _domain_blocks(model: Any, targets: Targets, at: np.ndarray) -> Iterator[ScoreBlock]:
    batch, domains = histories_of(targets, at), targets.domains[at]
    rows = [np.flatnonzero(domains == k) for k in range(len(targets.part.domains))]
    device = targets.part.config["device"]
    blocks = model.domain_scores(batch, [torch.from_numpy(some).to(device) for some in rows])
    for k, (some, scores) in enumerate(zip(rows, blocks, strict=True)):
        if len(some):
            _refuse_nan(scores, targets, at[some])
            yield ScoreBlock(at[some], scores, k)


def score_targets(model: Any, targets: Targets, at: np.ndarray) -> Tensor:
    """Score all items for some targets, float32 [len(at), item_num].

    Parameters
    ----------
    model : RecBole model
        As in `recbole_edt.evaluation.ranking.rank_targets`; it is given the users and their
        histories.
    targets : Targets
        Of the evaluated part.
    at : numpy.ndarray
        Which of them, int [B].
    """
    batch = histories_of(targets, at)
    try:
        scores = model.full_sort_predict(batch)
    except NotImplementedError:
        scores = _score_by_pairs(model, targets, batch)
    return scores.view(len(at), targets.part.item_num)


def score_domain(model: Any, targets: Targets, at: np.ndarray, domain: int) -> Tensor:
    """Score the items of one domain, in rising order of their ids, for some targets.

    Parameters
    ----------
    model, targets, at
        As for `score_targets`.
    domain : int
        Whose items.

    Returns
    -------
    torch.Tensor
        Float32 [len(at), n].
    """
    part, device = targets.part, targets.part.config["device"]
    if not capabilities_of(model).scores_domains:
        members = (part.item_domain == domain).nonzero().flatten()
        return score_targets(model, targets, at)[:, members.to(device)]
    everyone, nobody = torch.arange(len(at), device=device), torch.arange(0, device=device)
    rows = [everyone if k == domain else nobody for k in range(len(part.domains))]
    scores: Tensor = list(model.domain_scores(histories_of(targets, at), rows))[domain]
    return scores


def histories_of(targets: Targets, at: np.ndarray) -> Interaction:
    """Return what a model reads to score some targets, on its device."""
    part, numbers = targets.part, targets.user_numbers(at)
    batch = Interaction({} if numbers is None else {part.uid_field: torch.from_numpy(numbers)})
    if part.is_sequential:
        batch.update(part.scored_histories(targets.users[at], targets.rows[at]))
    return part.join(batch).to(part.config["device"])


def _score_by_pairs(model: Any, targets: Targets, batch: Interaction) -> Tensor:
    """Score every user-item pair through ``predict``, for models without a full ranking."""
    part = targets.part
    items = part.get_item_feature().to(part.config["device"])
    scores = []
    for row in range(len(batch)):
        pairs = batch[row : row + 1].repeat_interleave(part.item_num)
        pairs.update(items)
        scores.append(model.predict(pairs).reshape(-1))
    return torch.stack(scores)


def _refuse_nan(scores: Tensor, targets: Targets, at: np.ndarray) -> None:
    # One pass without a mask: a sum is a number if all scores are. (The reverse may fail, as with
    # both infinities, so that only then each score is looked at.)
    if not torch.isnan(scores.sum()):
        return
    broken = torch.isnan(scores).any(1)
    if broken.any():
        user = targets.users[at[int(broken.int().argmax())]]
        token = str(targets.part.field2id_token[targets.part.uid_field][user])
        raise UserError(f"model: scores of user {token!r} are not numbers; training has diverged")
