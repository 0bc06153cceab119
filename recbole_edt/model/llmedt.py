"""LLM-EDT: one backbone over the mixed sequence, then one light thread per domain on top."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.base import CrossDomainModel
from recbole_edt.model.backbone import Backbone, BackboneSettings
from recbole_edt.model.domain_thread import DomainThread
from recbole_edt.model.items import ItemEncoder

SHARED, DOMAIN = "shared", "domain"
PHASES = (SHARED, DOMAIN)


class LLMEDT(CrossDomainModel):
    """Dual-phase cross-domain sequential recommender.

    Phase ``shared`` trains items and backbone on mixed sequences; the score of item i after
    state h_t is <h_t, e_i> + b_i. Phase ``domain`` freezes them and trains one `DomainThread`
    per domain k; items of domain k then score <h_t + h'^k_t, e_i> + b_i, the sum of both
    threads' scores [code]. Any number of domains.

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in ``properties/model/LLMEDT.yaml`` and ``properties/recipe/``.
    dataset : CrossDomainDataset
        The training part; gives item vectors, domains and training counts.

    Raises
    ------
    UserError
        An unknown phase or loss, or sizes that do not fit together.
    """

    items: ItemEncoder

    def __init__(self, config: Any, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width = config["hidden_size"]
        self.phases = check_phases(config["phases"])
        vectors = torch.from_numpy(dataset.item_vectors())
        self.input_scale = _input_scale(config["input_scale"], vectors.shape[1])
        self.items = ItemEncoder(
            vectors,
            torch.from_numpy(dataset.item_counts()),
            width,
            config["item_projection"],
            config["item_id_embedding"],
            config["item_bias"],
        )
        self.backbone = Backbone(BackboneSettings.from_config(config))
        self.positions = nn.Parameter(torch.empty(self.max_length, width))
        nn.init.normal_(self.positions, std=config["initializer_range"])
        self.threads = nn.ModuleList(
            DomainThread(
                width,
                config["adapter_size"],
                self.max_length,
                config["adapter_dropout"],
                config["adapter_residual"],
            )
            for _ in range(self.num_domains)
        )
        self.thread_dropout = config["domain_dropout"]
        self.set_phase(SHARED)

    def begin_phase(self, phase: str) -> None:
        """Enter a phase for the first time."""
        if phase == DOMAIN:
            for thread in self.threads:  # starts from what the shared phase learnt [ours]
                cast(DomainThread, thread).positions.data.copy_(self.positions.data)
        self.set_phase(phase)

    def separate_parts(self, phase: str) -> list[str] | None:
        """Return the threads in the domain phase: they do not touch each other's domain."""
        if phase != DOMAIN:
            return None
        return [f"threads.{k}." for k in range(self.num_domains)]

    def set_phase(self, phase: str) -> None:
        """Choose what scores are made of and which parameters are trained."""
        self.phase = phase
        self.requires_grad_(phase == SHARED)
        self.threads.requires_grad_(phase == DOMAIN)
        self.train(self.training)

    def train(self, mode: bool = True) -> "LLMEDT":
        """Switch dropout; frozen parts only use it where the recipe asks for it."""
        super().train(mode)
        if mode and self.phase == DOMAIN:
            self.backbone.eval()
        return self

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Return the mean loss over all labelled positions of a batch of windows."""
        inputs, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        scope = self.loss_scope if self.phase == SHARED else "target_domain"
        pools = self.pools(labels[labelled], scope)
        if self.phase == SHARED:
            vectors, bias, row = self.project(self.items, pools, inputs)
        else:  # items are frozen: one table serves the whole phase
            row = torch.arange(self.n_items, device=inputs.device)
            vectors, bias = self.whole_table()
        states = [state[labelled] for state in self._states(vectors[row[inputs]], inputs)]
        loss = self.pool_losses(states, pools, vectors, bias, row)
        return loss / labelled.sum().clamp(min=1)

    def _states(self, items: Tensor, ids: Tensor) -> list[Tensor]:
        """Return what scores the items of each domain, K times [B, L, d]; once if all share it.

        Parameters
        ----------
        items : torch.Tensor
            Vectors of the sequences, [B, L, d].
        ids : torch.Tensor
            Their item ids, 0 where padded, [B, L].
        """
        scaled = items * self.input_scale
        if self.phase == SHARED:
            return [self.backbone(scaled, self.positions)]
        with torch.no_grad():
            state = self.backbone(scaled, self.positions)
        self.backbone.train(self.training and self.thread_dropout)
        domains = self.item_domain[ids]
        states = [
            state + thread(scaled, domains == k, self.backbone)
            for k, thread in enumerate(self.threads)
        ]
        self.backbone.eval()
        return states

    def last_states(self, interaction: Any) -> list[Tensor]:
        """Return h_T (+ h'^k_T in the domain phase) for each domain k, K times [B, d]."""
        ids, lengths = self.history(interaction)
        states = self._states(self.whole_table()[0][ids], ids)
        if len(states) == 1:
            return [self.gather_indexes(states[0], lengths - 1)] * self.num_domains
        return [self.gather_indexes(state, lengths - 1) for state in states]

    def score_table(self) -> tuple[Tensor, Tensor | None]:
        """Return the vectors of all items [n_items, d] and their biases [n_items] or None."""
        return self.items()


def check_phases(phases: Any) -> tuple[str, ...]:
    """Return the phases as a tuple; the shared one comes first, each at most once."""
    found = tuple(phases) if isinstance(phases, (list, tuple)) else (phases,)
    if found not in (PHASES[:1], PHASES):
        raise UserError(f"phases: found {list(found)}, expected {[SHARED]} or {list(PHASES)}")
    return found


def _input_scale(value: Any, vector_size: int) -> float:
    """Return the factor on item vectors; the release uses the root of their size m [code]."""
    if value == "sqrt_vector_size":
        return math.sqrt(vector_size)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UserError(f"input_scale: found {value!r}, expected a number > 0 or sqrt_vector_size")
    return float(value)
