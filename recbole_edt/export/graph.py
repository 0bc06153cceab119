"""The exported module: histories in, the best next items with their scores out."""

import torch
from torch import Tensor, nn

from recbole_edt.config.schema import SHARED
from recbole_edt.errors import UserError, one_line
from recbole_edt.export.baselines import ABXIScorer, C2DSRScorer, LLM4CDSRScorer, TriCDRScorer
from recbole_edt.export.dual_phase import SharedScorer, ThreadScorer, TowersScorer
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.scorers import HistoryScorer, MaskTokenScorer, Scorer
from recbole_edt.export.sequences import latest
from recbole_edt.export.untrained import ExpertScorer, PopularityScorer, SimilarityScorer
from recbole_edt.model.base import CrossDomainModel
from recbole_edt.model.baselines.untrained import Untrained
from recbole_edt.model.llmedt import LLMEDT
from recbole_edt.model.precision import FLOAT32
from recbole_edt.model.registry import get_model
from recbole_edt.runs import LoadedRun

_SCORERS: dict[str, type[Scorer]] = {
    "LLMEDT": ThreadScorer,
    "SASRecLLM": SharedScorer,
    "SASRecSingle": TowersScorer,
    "ABXI": ABXIScorer,
    "C2DSR": C2DSRScorer,
    "LLM4CDSR": LLM4CDSRScorer,
    "TriCDR": TriCDRScorer,
    "Popularity": PopularityScorer,
    "Similarity": SimilarityScorer,
    "BERT4Rec": MaskTokenScorer,
}
EXPORTABLE = (
    f"{', '.join(_SCORERS)}, or a sequential model of RecBole's that reads the history of items "
    "only, such as SASRec or GRU4Rec"
)
"""What can be exported, for messages."""


class NextItems(nn.Module):
    """The best items after some histories, as ``recommend`` lists them.

    Parameters
    ----------
    scorer : Scorer
        Scores the candidates after the last items of a history.
    expert : ExpertScorer or None
        What the run adds to the model's scores.
    numbering : Numbering
        Item numbers and candidates.
    max_length : int
        Items of a history that the model reads.
    k : int
        Items in a list.
    repeats : bool
        Whether items of the history may be recommended; otherwise all are excluded.
    """

    candidate_domain: Tensor

    def __init__(
        self,
        scorer: Scorer,
        expert: ExpertScorer | None,
        numbering: Numbering,
        max_length: int,
        k: int,
        repeats: bool,
    ):
        super().__init__()
        self.repeats = repeats
        self.scorer, self.expert = scorer, expert
        self.max_length, self.candidates = max_length, numbering.candidates
        of_candidates = numbering.domains[numbering.candidates]
        self.k = min(k, len(of_candidates))
        self.takes_domain = numbering.domain is None
        self.register_buffer("candidate_domain", of_candidates)

    def forward(self, history: Tensor, domain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Recommend.

        Parameters
        ----------
        history : torch.Tensor
            Item numbers, oldest first, padded on the right with 0, int64 [B, L].
        domain : torch.Tensor, optional
            The domain of the recommended items, int64 [B]; -1 for any. Not of a graph for one
            domain.

        Returns
        -------
        tuple
            Item numbers, int64 [B, k], and scores, float32 [B, k], best first; 0 and -inf where
            no item is left.
        """
        items, lengths = latest(history, self.max_length)
        scores = self.scorer(items, lengths)
        if self.expert is not None:
            scores = scores + self.expert(history)
        if domain is not None:
            wanted = domain.unsqueeze(1)
            allowed = (wanted < 0) | (self.candidate_domain == wanted)
            scores = scores.masked_fill(~allowed, -torch.inf)
        # Column 0 takes what is no candidate: padding, and items of other domains.
        scores = torch.nn.functional.pad(scores, (1, 0), value=-torch.inf)
        first, end = self.candidates.start, self.candidates.stop
        if not self.repeats:
            is_candidate = (history >= first) & (history < end)
            column = torch.where(is_candidate, history - first + 1, 0)
            scores = scores.scatter(1, column, -torch.inf)
        top = scores.topk(self.k, dim=1)
        number = torch.where(top.values > -torch.inf, top.indices + first - 1, 0)
        return number, top.values


def next_items(run: LoadedRun, domain: int | None, k: int, repeats: bool = False) -> NextItems:
    """Return the module of a run, in evaluation mode.

    Parameters
    ----------
    run : LoadedRun
        On the CPU.
    domain : int or None
        The only domain to recommend from, by number; None: all.
    k : int
        Items in a list.
    repeats : bool
        Whether items of the history may be recommended.

    Raises
    ------
    UserError
        When the run's model cannot be exported; names those that can.
    """
    numbering = Numbering.of(run.dataset.item_domain, domain)
    with torch.no_grad():
        scorer = _scorer(run, numbering)
        expert = None if run.expert is None else ExpertScorer(run.expert, numbering)
        length = run.config["MAX_ITEM_LIST_LENGTH"]
        module = NextItems(scorer, expert, numbering, length, k, repeats).eval()
        try:
            module(torch.tensor([[1, 2], [1, 0]]), None)
        except UserError as error:
            raise cannot_export(run, str(error)) from None
        except Exception as error:
            if isinstance(scorer, HistoryScorer):
                raise cannot_export(run, f"it cannot score a history alone: {error}") from error
            raise
    return module


def cannot_export(run: LoadedRun, reason: str) -> UserError:
    """Return the error for a run that cannot be exported."""
    return UserError(
        f"export: {run.record.model} cannot be exported: {one_line(reason, 200)}; "
        f"expected {EXPORTABLE}"
    )


def refuse_others(run: LoadedRun) -> None:
    """Refuse runs whose scores depend on more than the history of items.

    Raises
    ------
    UserError
        Says on what, and which models can be exported.
    """
    config, model = run.config, run.model
    if not run.dataset.is_sequential:
        raise cannot_export(run, "it scores users by their number, not by their history")
    if config["augment"] and config["augment_inference"]:
        raise cannot_export(
            run, "augment_inference adds a user's augmented interactions to the history"
        )
    if config["precision"] != FLOAT32 and isinstance(model, CrossDomainModel):
        raise cannot_export(run, "a graph computes in float32; load it with precision: float32")
    if type(model) is get_model(run.record.model) and run.record.model in _SCORERS:
        return
    if isinstance(model, CrossDomainModel | Untrained):
        raise cannot_export(run, "a model of another package has no export")


def _scorer(run: LoadedRun, numbering: Numbering) -> Scorer:
    model = run.model
    if isinstance(model, LLMEDT) and model.phase == SHARED:
        return SharedScorer(model, numbering)
    return _SCORERS.get(run.record.model, HistoryScorer)(model, numbering)
