"""LLM-EDT: one backbone over the mixed sequence, then one light thread per domain on top."""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from recbole_edt.compat import prepare_recbole
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError, nearest
from recbole_edt.model import losses
from recbole_edt.model.backbone import Backbone, BackboneSettings
from recbole_edt.model.domain_thread import DomainThread
from recbole_edt.model.items import ItemEncoder

prepare_recbole()

from recbole.model.abstract_recommender import SequentialRecommender  # noqa: E402
from recbole.utils import InputType  # noqa: E402

SHARED, DOMAIN = "shared", "domain"
PHASES = (SHARED, DOMAIN)
_LOSSES = ("CE", "SS", "BCE")


class LLMEDT(SequentialRecommender):
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

    input_type = InputType.POINTWISE
    trains_on_windows = True
    item_domain: Tensor
    row_in_domain: Tensor
    items: ItemEncoder

    def __init__(self, config: Any, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width, self.max_length = config["hidden_size"], config["MAX_ITEM_LIST_LENGTH"]
        self.loss_type, self.loss_scope = config["loss_type"], config["loss_scope"]
        if self.loss_type not in _LOSSES:
            hint = nearest(str(self.loss_type), _LOSSES)
            raise UserError(f"loss_type: {self.loss_type!r}; expected one of {list(_LOSSES)}{hint}")
        self.phases = check_phases(config["phases"])
        self.num_negatives = config["num_negatives"]
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
            for _ in dataset.domains
        )
        self.thread_dropout = config["domain_dropout"]
        self._set_domains(dataset.item_domain, len(dataset.domains))
        self._table: tuple[Tensor, Tensor | None] | None = None
        self.set_phase(SHARED)

    def _set_domains(self, item_domain: Tensor, count: int) -> None:
        members = [torch.nonzero(item_domain == k).flatten() for k in range(count)]
        row = torch.zeros_like(item_domain)
        for items in members:
            row[items] = torch.arange(len(items))
        self.register_buffer("item_domain", item_domain, persistent=False)
        self.register_buffer("row_in_domain", row, persistent=False)
        for k, items in enumerate(members):
            self.register_buffer(f"domain_items_{k}", items, persistent=False)

    def members(self, domain: int) -> Tensor:
        """Return the item ids of a domain, int64 [n_k]."""
        return self.get_buffer(f"domain_items_{domain}")

    def begin_phase(self, phase: str) -> None:
        """Enter a phase for the first time."""
        if phase == DOMAIN:
            for thread in self.threads:  # starts from what the shared phase learnt [ours]
                cast(DomainThread, thread).positions.data.copy_(self.positions.data)
        self.set_phase(phase)

    def set_phase(self, phase: str) -> None:
        """Choose what scores are made of and which parameters are trained."""
        self.phase = phase
        self.requires_grad_(phase == SHARED)
        self.threads.requires_grad_(phase == DOMAIN)
        self.train(self.training)

    def train(self, mode: bool = True) -> "LLMEDT":
        """Switch dropout; frozen parts only use it where the recipe asks for it."""
        super().train(mode)
        self._table = None
        if mode and self.phase == DOMAIN:
            self.backbone.eval()
        return self

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load weights and forget what was computed from the old ones."""
        self._table = None
        return super().load_state_dict(*args, **kwargs)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Return the mean loss over all labelled positions of a batch of windows."""
        inputs, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        pools = self._pools(labels[labelled])
        vectors, bias, row = self._project(inputs, pools)
        states = [state[labelled] for state in self._states(vectors[row[inputs]], inputs)]
        total = vectors.new_zeros(())
        for state, pool in zip(states, pools, strict=True):
            total = total + self._pool_loss(state[pool.positions], pool, vectors, bias, row)
        return total / labelled.sum().clamp(min=1)

    def _pools(self, targets: Tensor) -> list["Pool"]:
        """Group the labels by the candidates they compete with, and draw negatives."""
        if self.phase == SHARED and self.loss_scope == "all":
            everything = torch.arange(1, self.n_items, device=targets.device)
            every = torch.arange(len(targets), device=targets.device)
            return [self._pool(every, targets, everything, targets - 1)]
        domains = self.item_domain[targets]
        pools = []
        for k in range(len(self.threads)):
            positions = (domains == k).nonzero().flatten()
            ids = targets[positions]
            pools.append(self._pool(positions, ids, self.members(k), self.row_in_domain[ids]))
        return pools

    def _pool(self, positions: Tensor, ids: Tensor, candidates: Tensor, rows: Tensor) -> "Pool":
        drawn = ids[:0]
        if self.loss_type == "SS":
            drawn = candidates[torch.randint(len(candidates), (self.num_negatives,))]
        elif self.loss_type == "BCE":
            drawn = candidates[losses.draw_others(rows, len(candidates))]
        return Pool(positions, ids, candidates, rows, drawn)

    def _project(self, inputs: Tensor, pools: list["Pool"]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Project each item that the batch needs once.

        Returns
        -------
        tuple
            Vectors [n, d], biases [n] or None, and the row of every item id in them [n_items].
        """
        every_row = torch.arange(self.n_items, device=inputs.device)
        if self.phase == DOMAIN:  # items are frozen: one table serves the whole phase
            return (*self._whole_table(), every_row)
        if self.loss_type == "CE":
            return (*self.items(), every_row)
        needed = torch.cat(
            [inputs.flatten(), *(t for p in pools for t in (p.ids, p.drawn))]
        ).unique()
        row = torch.zeros_like(every_row)
        row[needed] = torch.arange(len(needed), device=inputs.device)
        return (*self.items(needed), row)

    def _pool_loss(
        self, states: Tensor, pool: "Pool", vectors: Tensor, bias: Tensor | None, row: Tensor
    ) -> Tensor:
        if not len(states):
            return states.sum()
        if self.loss_type == "CE":
            at = row[pool.candidates]
            some_bias = None if bias is None else bias[at]
            return losses.cross_entropy(states, vectors[at], some_bias, pool.rows)
        positive = _score(states, vectors, bias, row[pool.ids])
        if self.loss_type == "BCE":
            negative = _score(states, vectors, bias, row[pool.drawn])
            return losses.binary_cross_entropy(positive, negative)
        at = row[pool.drawn]
        negatives = states @ vectors[at].T
        if bias is not None:
            negatives = negatives + bias[at]
        is_label = pool.drawn == pool.ids.unsqueeze(1)
        return losses.sampled_softmax(positive, negatives, is_label, len(pool.candidates))

    def _states(self, items: Tensor, ids: Tensor) -> list[Tensor]:
        """Return what scores the items of each domain, K times [B, L, d] (once if all share it).

        Parameters
        ----------
        items : torch.Tensor
            Vectors of the sequences, [B, L, d].
        ids : torch.Tensor
            Their item ids, 0 where padded, [B, L].
        """
        scaled = items * self.input_scale
        if self.phase == SHARED:
            state = self.backbone(scaled, self.positions)
            return [state] * (
                1 if self.loss_scope == "all" and self.training else len(self.threads)
            )
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

    def _last_states(self, interaction: Any, vectors: Tensor) -> list[Tensor]:
        lengths = interaction[self.ITEM_SEQ_LEN]
        ids = interaction[self.ITEM_SEQ][:, : int(lengths.max())]
        states = self._states(vectors[ids], ids)
        return [self.gather_indexes(state, lengths - 1) for state in states]

    def _whole_table(self) -> tuple[Tensor, Tensor | None]:
        if self._table is None:
            with torch.no_grad():
                self._table = self.items()
        return self._table

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Return the scores of all items after each history, [B, n_items]."""
        vectors, bias = self._whole_table()
        states = self._last_states(interaction, vectors)
        scores = vectors.new_empty(len(states[0]), self.n_items)
        scores[:, 0] = -torch.inf
        for k, state in enumerate(states):
            members = self.members(k)
            block = state @ vectors[members].T
            scores[:, members] = block if bias is None else block + bias[members]
        return scores

    def predict(self, interaction: Any) -> Tensor:
        """Return the score of one item after each history, [B]."""
        vectors, bias = self._whole_table()
        states = torch.stack(self._last_states(interaction, vectors), dim=1)
        item = interaction[self.ITEM_ID]
        state = states[torch.arange(len(item), device=item.device), self.item_domain[item]]
        score = (state * vectors[item]).sum(1)
        return score if bias is None else score + bias[item]


class Pool(NamedTuple):
    """Labels that compete with the same candidates.

    Attributes
    ----------
    positions : torch.Tensor
        Which labelled positions these are, int64 [P].
    ids : torch.Tensor
        Their labels as item ids, [P].
    candidates : torch.Tensor
        Item ids of all candidates, [n].
    rows : torch.Tensor
        The labels as rows of `candidates`, [P].
    drawn : torch.Tensor
        Item ids of sampled negatives: shared [num_negatives] for SS, one each [P] for BCE.
    """

    positions: Tensor
    ids: Tensor
    candidates: Tensor
    rows: Tensor
    drawn: Tensor


def check_phases(phases: Any) -> tuple[str, ...]:
    """Return the phases as a tuple; the shared one comes first, each at most once."""
    found = tuple(phases) if isinstance(phases, (list, tuple)) else (phases,)
    if found not in (PHASES[:1], PHASES):
        raise UserError(f"phases: found {list(found)}, expected {[SHARED]} or {list(PHASES)}")
    return found


def _score(states: Tensor, vectors: Tensor, bias: Tensor | None, rows: Tensor) -> Tensor:
    score = (states * vectors[rows]).sum(1)
    return score if bias is None else score + bias[rows]


def _input_scale(value: Any, vector_size: int) -> float:
    """Return the factor on item vectors; the release uses the root of their size m [code]."""
    if value == "sqrt_vector_size":
        return math.sqrt(vector_size)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise UserError(f"input_scale: found {value!r}, expected a number > 0 or sqrt_vector_size")
    return float(value)
