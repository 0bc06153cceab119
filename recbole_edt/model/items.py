"""Item representation: a projection of LLM vectors, with what the recipe adds to it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.errors import UserError
from recbole_edt.model.similarity import cosine_blocks

_PROJECTED_STD = 0.3  # per dimension, measured in the project's first study [ours]
_ID_STD = 0.02


class ItemEncoder(nn.Module):
    """Map item ids to vectors of the model's width.

    ``pca`` is e_i = W (z_i - mean z) + id_i with a trainable W that starts at the principal
    directions of the item vectors [ours]; ``mlp`` is e_i = W2 (W1 z_i + b1) + b2, two linear
    layers without activation [code]; ``none`` leaves e_i = id_i.

    Parameters
    ----------
    vectors : torch.Tensor or None
        Item vectors z, float [N, m]; row 0 is the padding item. Frozen ones are kept in half
        precision and outside the checkpoint. None with ``none``.
    counts : torch.Tensor
        Training interactions per item, [N].
    hidden_size : int
        Width d of the result.
    projection : str
        ``pca``, ``mlp`` or ``none``.
    id_embedding : bool
        Whether a trainable vector per item is added.
    bias : str
        ``popularity`` (trainable, starts at half the log of one plus the count) or ``none``.
    projected_std : float
        Root mean square per dimension of projected vectors at the start, of ``pca``.
    sparse_gradients : bool
        Whether the gradients of tables hold the rows of `ids` only, where `forward` is given some.
    trainable : bool
        Whether the item vectors are trained, from the LLM's on [figure]; then they are parameters
        and in the checkpoint.

    Raises
    ------
    UserError
        When items would have neither a projection nor an id vector, or item vectors are to be
        trained that are not read.
    """

    half_vectors: Tensor
    mean: Tensor
    unseen: Tensor
    neighbours: Tensor

    def __init__(
        self,
        vectors: Tensor | None,
        counts: Tensor,
        hidden_size: int,
        projection: str,
        id_embedding: bool,
        bias: str,
        projected_std: float = _PROJECTED_STD,
        sparse_gradients: bool = False,
        trainable: bool = False,
    ):
        super().__init__()
        self.sparse_gradients = sparse_gradients
        self.projection: nn.Module | None = None
        self.vectors: nn.Parameter | None = None
        if vectors is None:
            if trainable:
                raise UserError(
                    "item_vectors: found trainable, expected frozen without a projection "
                    "(item_projection: none)"
                )
            if not id_embedding:
                raise UserError(
                    "item_id_embedding: found False, expected True without a projection"
                )
        else:
            self._take_vectors(vectors, hidden_size, projection, projected_std)
            if trainable:
                self.vectors = nn.Parameter(self.half_vectors.float())
        self.ids = nn.Embedding(len(counts), hidden_size, padding_idx=0) if id_embedding else None
        if self.ids is not None:
            nn.init.normal_(self.ids.weight, std=_ID_STD)
            nn.init.zeros_(self.ids.weight[0].detach())
        initial = 0.5 * torch.log1p(counts.float())
        self.bias = nn.Parameter(initial) if bias == "popularity" else None
        none = torch.empty(0, 1, dtype=torch.int64)
        self.set_neighbours(none[:, 0], none)

    def _take_vectors(self, vectors: Tensor, hidden_size: int, projection: str, std: float) -> None:
        width = vectors.shape[1]
        mean = vectors[1:].mean(0) if projection == "pca" else torch.zeros(width)
        self.register_buffer("half_vectors", vectors.half(), persistent=False)
        self.register_buffer("mean", mean, persistent=False)
        if projection == "pca":
            self.projection = nn.Linear(width, hidden_size, bias=False)
            with torch.no_grad():
                self.projection.weight.copy_(
                    principal_directions(vectors[1:] - mean, hidden_size, std)
                )
        else:
            self.projection = two_linear_layers(width, hidden_size)

    def forward(self, ids: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return vectors [n, d] and biases [n] (or None) of some ids [n], of all when None."""
        parts = []
        if self.projection is not None:
            table = self.half_vectors if self.vectors is None else self.vectors
            chosen = table if ids is None else self._rows(table, ids)
            parts.append(self.projection(chosen.float() - self.mean).float())
        if self.ids is not None:
            if ids is None:
                parts.append(self.ids.weight)
            elif self.sparse_gradients:
                parts.append(rows_of(self.ids.weight, ids, padding=0))
            else:
                parts.append(self.ids(ids))
        vectors = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if self.bias is None:
            return vectors, None
        return vectors, self.bias if ids is None else self._rows(self.bias, ids)

    def _rows(self, table: Tensor, ids: Tensor) -> Tensor:
        return rows_of(table, ids) if self.sparse_gradients else table[ids]

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters with one row per item: id vectors, biases, trained item vectors."""
        names = "vectors", "ids.weight", "bias"
        return [parameter for name, parameter in self.named_parameters() if name in names]

    def set_neighbours(self, unseen: Tensor, neighbours: Tensor) -> None:
        """Set the items without training interactions, and the trained items they are scored by.

        Parameters
        ----------
        unseen : torch.Tensor
            Item ids, int64 [n].
        neighbours : torch.Tensor
            Item ids for each of them, int64 [n, k].
        """
        self.register_buffer("unseen", unseen, persistent=False)
        self.register_buffer("neighbours", neighbours, persistent=False)

    @torch.no_grad()
    def append(self, vectors: Tensor) -> None:
        """Append items by their LLM vectors, float [n, m], with id vector and bias zero."""
        count, device = len(vectors), self.half_vectors.device
        vectors = vectors.to(device)
        self.half_vectors = torch.cat([self.half_vectors, vectors.half()])
        if self.vectors is not None:
            self.vectors = nn.Parameter(torch.cat([self.vectors, vectors.half().float()]))
        if self.ids is not None:
            weight = self.ids.weight
            rows = torch.cat([weight, weight.new_zeros(count, weight.shape[1])])
            self.ids = nn.Embedding.from_pretrained(rows, padding_idx=0)
        if self.bias is not None:
            self.bias = nn.Parameter(torch.cat([self.bias, self.bias.new_zeros(count)]))

    def for_scoring(self) -> tuple[Tensor, Tensor | None]:
        """Return vectors and biases of all items, those of unseen ones from their neighbours'.

        An unseen item's id vector is the mean of its neighbours', at their mean length, and its
        bias the mean of theirs [ours]. Left at their initial values, both would rank it behind
        nearly all items that were trained.
        """
        vectors, bias = self()
        if not len(self.unseen):
            return vectors, bias
        if self.ids is not None:
            initial, near = self.ids(self.unseen), self.ids(self.neighbours)
            inferred = F.normalize(near.mean(1), dim=1) * near.norm(dim=2).mean(1, keepdim=True)
            vectors = vectors.index_add(0, self.unseen, inferred - initial)
        if bias is not None:
            bias = bias.index_copy(0, self.unseen, bias[self.neighbours].mean(1))
        return vectors, bias


def two_linear_layers(size: int, width: int) -> nn.Sequential:
    """Return W2 (W1 z + b1) + b2 of half the size in between, without activation [code]."""
    return nn.Sequential(nn.Linear(size, size // 2), nn.Linear(size // 2, width))


def nearest_seen(
    vectors: Tensor, seen: Tensor, groups: Sequence[Tensor], count: int
) -> tuple[Tensor, Tensor]:
    """Return items without training interactions, and the nearest ones of their domain with some.

    Parameters
    ----------
    vectors : torch.Tensor
        LLM vectors of all items, [N, m]. Items whose vector is zero are left out.
    seen : torch.Tensor
        Which items have a training interaction, bool [N].
    groups : sequence of torch.Tensor
        Item ids of each domain, K times int64 [n_k].
    count : int
        Neighbours wanted. A domain with fewer is left out.

    Returns
    -------
    tuple
        Item ids, int64 [n], and their neighbours, int64 [n, count].
    """
    has_vector = vectors.any(1)
    unseen, near = [seen.new_empty(0, dtype=torch.int64)], [seen.new_empty(0, count).long()]
    for group in groups:
        known = group[seen[group] & has_vector[group]]
        unknown = group[~seen[group] & has_vector[group]]
        if len(known) < count or not len(unknown):
            continue
        for some, similar in cosine_blocks(vectors, unknown, known):
            unseen.append(some)
            near.append(known[similar.topk(count, dim=1).indices])
    return torch.cat(unseen), torch.cat(near)


def principal_directions(centred: Tensor, count: int, std: float = _PROJECTED_STD) -> Tensor:
    """Return the leading principal directions of some vectors as rows, [count, m].

    They are scaled together so that the projections have a mean square of std^2 per dimension
    [ours]. When the vectors have fewer than `count` dimensions the remaining rows are zero.
    """
    covariance = centred.T.double() @ centred.double() / max(len(centred), 1)
    values, directions = torch.linalg.eigh(covariance)
    kept = min(count, len(values))
    top = directions[:, -kept:].flip(1).T
    # eigenvectors are defined up to their sign: make the largest entry positive
    top = top * torch.sign(top.gather(1, top.abs().argmax(1, keepdim=True)))
    mean_square = values[-kept:].clamp(min=0).mean().item()
    scale = std / math.sqrt(mean_square) if mean_square > 0 else 0.0
    rows = torch.zeros(count, centred.shape[1])
    rows[:kept] = (top * scale).float()
    return rows


def rows_of(table: Tensor, ids: Tensor, padding: int | None = None) -> Tensor:
    """Return ``table[ids]`` with a sparse gradient of the table.

    As `torch.nn.functional.embedding` with ``sparse=True``, for tables of one number a row too.

    Parameters
    ----------
    table : torch.Tensor
        [N, ...].
    ids : torch.Tensor
        Rows, int64 [n].
    padding : int, optional
        A row that gets no gradient.
    """
    rows: Tensor = _Rows.apply(table, ids, padding)
    return rows


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, padding: int | None) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.padding, ctx.size = padding, table.shape
        return table[ids]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (ids,), (grad,) = ctx.saved_tensors, grads
        if ctx.padding is not None:
            kept = ids != ctx.padding
            ids, grad = ids[kept], grad[kept]
        rows = torch.sparse_coo_tensor(ids.unsqueeze(0), grad, ctx.size, check_invariants=False)
        return rows, None, None
