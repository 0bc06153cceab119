"""LLM-EDT: one backbone over the mixed sequence, then one light thread per domain on top."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from recbole_edt.config.schema import DOMAIN, SHARED
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.model.alignment import ProfileAlignment
from recbole_edt.model.batch_share import total
from recbole_edt.model.domain_thread import DomainThread
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.model.shared import SharedModel
from recbole_edt.recbole_bridge import Interaction

_LATER = ("threads.", "profiles.")  # what the domain phase trains


class LLMEDT(SharedModel):
    """Dual-phase cross-domain sequential recommender.

    Phase ``shared`` trains items and backbone on mixed sequences; the score of item i after
    state h_t is <h_t, e_i> + b_i. Phase ``domain`` freezes them and trains one `DomainThread`
    per domain k; items of domain k then score <h_t + h'^k_t, e_i> + b_i, the sum of both
    threads' scores [code]. Any number of domains.

    ``align_phase`` says where states are aligned with profiles: in the shared phase, where the
    gradient reaches the backbone [figure], in the domain phase [code], or in both. With
    ``item_vectors: trainable`` the LLM's item vectors are trained in both phases [figure].

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in docs/keys.md.
    dataset : CrossDomainDataset
        The training part; gives item vectors, domains and training counts.

    Raises
    ------
    UserError
        Sizes that do not fit together.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        self.phases = tuple(config["phases"])
        self.thread_dropout = config["domain_dropout"]
        self.beta: float = config["beta"]
        phase = config["align_phase"]
        self.aligned_phases = (SHARED, DOMAIN) if phase == "both" else (phase,)
        self.profiles: ProfileAlignment | None = None
        # The random draws that initialise these parts are taken back, so that the shared phase is
        # the same to the last digit whatever comes after it.
        with torch.random.fork_rng(devices=[]):
            self.threads = nn.ModuleList(DomainThread(config) for _ in range(self.num_domains))
            if config["profiles"]:
                self.profiles = self._profile_alignment(config, dataset)
        self.set_phase(SHARED)

    def _profile_alignment(
        self, config: KeyedConfig, dataset: CrossDomainDataset
    ) -> ProfileAlignment:
        vectors, present = dataset.profile_vectors()
        if config["profile_shuffle"]:
            others = np.random.default_rng(config["seed"]).permutation(len(vectors) - 1) + 1
            vectors[1:], present[1:] = vectors[others], present[others]
        return ProfileAlignment(vectors, present, config["hidden_size"], config["temperature"])

    def begin_phase(self, phase: str) -> None:
        """Enter a phase for the first time."""
        if phase == DOMAIN:
            for thread in self.threads:  # starts from what the shared phase learnt [ours]
                cast(DomainThread, thread).positions.data.copy_(self.positions.data)
        self.set_phase(phase)

    def separate_parts(self, phase: str) -> list[str] | None:
        """Return the threads in the domain phase: they do not touch each other's domain.

        Item vectors that are trained then do: every mixed sequence reads them.
        """
        if phase != DOMAIN or self.items.vectors is not None:
            return None
        return [f"threads.{k}." for k in range(self.num_domains)]

    def may_stay_unchanged(self, phase: str) -> bool:
        """Return whether epoch 0 may be the best: a domain may do without its thread [ours]."""
        return phase == DOMAIN

    def keeps_phase(self, phase: str) -> bool:
        """Return whether a phase can be evaluated after later ones: the shared one is frozen.

        Unless the domain phase goes on training the item vectors.
        """
        return phase == SHARED and self.items.vectors is None

    def reuse_phase(self, weights: Mapping[str, Tensor]) -> None:
        """Load what the shared phase trains from the weights of another model; see `shared_run`.

        Raises
        ------
        UserError
            When names or sizes differ; nothing has been loaded then.
        """
        later = _LATER[:1] if self._aligns(SHARED) else _LATER
        shared = {name: w for name, w in weights.items() if not name.startswith(later)}
        expected = {n: w.shape for n, w in self.state_dict().items() if not n.startswith(later)}
        for name in sorted(expected.keys() | shared.keys()):
            size = list(shared[name].shape) if name in shared else None
            wanted = list(expected[name]) if name in expected else None
            if size != wanted:
                raise UserError(
                    f"shared_run: of another model: {name} has the size {size}, expected {wanted}"
                )
        self.load_state_dict(shared, strict=False)

    def set_phase(self, phase: str) -> None:
        """Choose what scores are made of and which parameters are trained."""
        self.phase = phase
        self.requires_grad_(phase == SHARED)
        self.threads.requires_grad_(phase == DOMAIN)
        if self.profiles is not None:
            self.profiles.requires_grad_(phase in self.aligned_phases)
        if self.items.vectors is not None:
            self.items.vectors.requires_grad_(True)
        self.train(self.training)

    def _aligns(self, phase: str) -> bool:
        return self.profiles is not None and bool(self.beta) and phase in self.aligned_phases

    def train(self, mode: bool = True) -> "LLMEDT":
        """Switch dropout; frozen parts only use it where the recipe asks for it."""
        super().train(mode)
        if mode and self.phase == DOMAIN:
            self.backbone.eval()
        return self

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the mean loss over all labelled positions of a batch of windows."""
        inputs, labels = interaction[ITEMS], interaction[LABELS]
        if self.phase == SHARED:
            loss, mixed = self.loss_and_states(interaction)
            if self.profiles is None or not self._aligns(SHARED):
                return loss
            (last,) = self._last_of([mixed], (inputs > 0).sum(1))
            aligned = self.profiles.direct_alignment(interaction[self.USER_ID], last)
            return loss + self.beta * aligned
        labelled = labels > 0
        sets = self.next_item.candidate_sets(labels[labelled], "target_domain")
        # Frozen items have one table for the whole phase.
        frozen = self.items.vectors is None
        items = self.table_of_all() if frozen else self.next_item.project(self.items, sets, inputs)
        states = self.domain_states(items.vectors[items.index_of(inputs)], inputs)
        loss = self.next_item([state[labelled] for state in states], sets, items)
        loss = loss / total(labelled.sum()).clamp(min=1)
        if self.profiles is None or not self._aligns(DOMAIN):
            return loss
        last_states = self._last_of(states, (inputs > 0).sum(1))
        return loss + self.beta * self.profiles.alignment(interaction[self.USER_ID], last_states)

    def domain_states(self, items: Tensor, ids: Tensor) -> list[Tensor]:
        """Return what scores the items of each domain in the domain phase, K times [B, L, d].

        Parameters
        ----------
        items : torch.Tensor
            Vectors of the sequences, [B, L, d].
        ids : torch.Tensor
            Their item ids, 0 where padded, [B, L].
        """
        # The backbone is frozen; what it reads may be trained.
        with torch.set_grad_enabled(torch.is_grad_enabled() and items.requires_grad):
            state = self.shared_state(items)
        self.backbone.train(self.training and self.thread_dropout)
        scaled, domains = items * self.input_scale, self.item_domain[ids]
        states = [
            state + thread(scaled, domains == k, self.backbone)
            for k, thread in enumerate(self.threads)
        ]
        self.backbone.eval()
        return states

    @property
    def splits_scores(self) -> bool:
        """Whether scores have a part of the domain's thread: in the domain phase."""
        return self.phase == DOMAIN

    @torch.no_grad()
    def domain_parts(self, interaction: Interaction, rows: Tensor, items: Tensor) -> Tensor:
        """Return <h_T, e_i> and <h'^k_T, e_i> of some scores, [n, 2]; see `SplitsScores`."""
        table = self.whole_table()[0]
        ids, lengths = self.history(interaction)
        (shared,) = self._last_of([self.shared_state(table[ids])], lengths)
        states = torch.stack(self.last_states(interaction), 1)  # [B, K, d]
        both = states[rows, self.item_domain[items]]
        vectors, shared = table[items], shared[rows]
        parts = (shared * vectors).sum(1), ((both - shared) * vectors).sum(1)
        return torch.stack(parts, 1)

    def _last_of(self, states: Sequence[Tensor], lengths: Tensor) -> list[Tensor]:
        return [self.gather_indexes(state, lengths - 1) for state in states]

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return h_T (+ h'^k_T in the domain phase) for each domain k, K times [B, d]."""
        if self.phase == SHARED:
            return super().last_states(interaction)
        ids, lengths = self.history(interaction)
        return self._last_of(self.domain_states(self.whole_table()[0][ids], ids), lengths)
