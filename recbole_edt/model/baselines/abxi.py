"""ABXI: one shared encoder over mixed and task-guided domain sequences, low-rank per domain."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.backbone import check_heads
from recbole_edt.model.base import PUBLISHED, CrossDomainModel
from recbole_edt.model.baselines.abxi_layers import LowRank, RowAttention, SwiGLU
from recbole_edt.model.baselines.sampled_scores import draw_sets, scores_of_own_sets
from recbole_edt.model.batch_share import total
from recbole_edt.model.domain_rows import DomainRows, last_seen
from recbole_edt.model.items import ItemEncoder
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction

_MAP_STD = 1 / 50  # of a low-rank map's outer matrix [code]
_PROJECTED_STD = 0.05  # of projected LLM vectors: at LLMEDT's 0.3 scores start too far apart


class PackedThread(NamedTuple):
    """Sequences of one thread (mixed, or one domain's), packed to the left.

    Attributes
    ----------
    items : torch.Tensor
        Item ids, 0 beyond the end, int64 [B, n].
    empty : torch.Tensor
        How many slots in front of each are empty in the release's row of T slots, [B, n].
    wanted : torch.Tensor
        Slots whose state is used, bool [B, n].
    """

    items: Tensor
    empty: Tensor
    wanted: Tensor


class ABXI(CrossDomainModel):
    """ABXI, "Invariant Interest Adaptation for Task-Guided Cross-Domain Sequential Recommendation".

    WWW 2025, arXiv 2501.15118; facts from the authors' release (github.com/DiMarzioBian/ABXI,
    v2.1, 72e52c9), none of its text. K + 1 threads, the mixed sequence and one per domain, go
    through one post-norm attention layer and one SwiGLU, each thread with a low-rank map D and a
    LayerNorm of its own: h, h^k. Domain k's query is

        z_k = LN(h + P h + I_k h) + LN'(h^k + P_k h^k)

    with P shared, P and P_k SwiGLU, I_k low-rank. An item of domain k scores <z_k, e_i>. In
    training the thread of domain k is task-guided: where the label is of domain k, it holds the
    last item of domain k. Positions count from the end of a row, the last item being 1.

    Loss: per label a softmax over it and 128 negatives of every domain, scores divided by .75;
    mean over a user's labels of each domain, summed over domains, mean over users.

    What differs from the release (v2.1):

    - any number of domains; at two, all of the above is the release's;
    - rows are packed to the left. With ``attend_padding`` the release's padding and empty slots
      take the same attention as there (through one key for all of them; `RowAttention`), so that
      states are the release's; without it nothing but items is attended;
    - a sequence longer than MAX_ITEM_LIST_LENGTH + 1 is cut into windows (the release reads the
      last one), "user" then means window, and negatives leave out the window's items;
    - the candidates of the second domain do not contain the last item of the first [flaw of v2.1];
    - a user without an item in a domain is allowed: h^k is zero then, in training and scoring;
      the release's evaluation would read an empty slot;
    - a negative set is a stretch of one random order per batch, not an independent draw, and may be
      shared by a user's labels or by the batch (``negatives_per``);
    - epochs are chosen on ``valid_metric``, not on the sum of the domains' MRR, and validated
      during the warm-up too;
    - ``item_projection: pca`` adds a trainable projection of the LLM vectors to e_i [ours], so that
      the model can be compared with what `LLMEDT` reads;
    - ``loss_type`` CE, SS or BCE puts the loss that all models share in position of this one, as a
      mean over labels, scores divided by the temperature.

    Positions from the end reveal to a training slot how many items (of its domain) follow; no state
    depends on which they are.

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in docs/keys.md.
    dataset : CrossDomainDataset
        The training part; gives domains.

    Raises
    ------
    UserError
        For sizes that do not fit together.
    """

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width, inner, heads = config["hidden_size"], config["inner_size"], config["n_heads"]
        check_heads(width, heads)
        self.temperature: float = config["temperature"]
        self.attend_padding: bool = config["attend_padding"]
        self.negatives_per: str = config["negatives_per"]
        domains = range(self.num_domains)
        threads = range(1 + self.num_domains)  # the mixed one first

        def norms(which: range) -> nn.ModuleList:
            return nn.ModuleList(nn.LayerNorm(width) for _ in which)

        self.items = nn.Embedding(self.n_items, width)
        self.positions = nn.Embedding(self.max_length + 1, width)
        self.attention = RowAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.shared = SwiGLU(width, inner)
        self.thread_maps = nn.ModuleList(LowRank(width, config["thread_rank"]) for _ in threads)
        self.thread_norms = norms(threads)
        self.project_shared = SwiGLU(width, inner)
        self.invariant_maps = nn.ModuleList(
            LowRank(width, config["invariant_rank"]) for _ in domains
        )
        self.invariant_norms = norms(domains)
        self.project_own = nn.ModuleList(SwiGLU(width, inner) for _ in domains)
        self.own_norms = norms(domains)
        self.dropout = nn.Dropout(config["dropout_prob"])
        self._initialise(config["initializer_range"])
        self.text: ItemEncoder | None = None
        if config["item_projection"] == "pca":
            vectors = torch.from_numpy(dataset.item_vectors())
            counts = torch.from_numpy(dataset.item_counts())
            self.text = ItemEncoder(vectors, counts, width, "pca", False, "none", _PROJECTED_STD)

    def _initialise(self, std: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.attention.query_key_value.weight)  # as torch's attention does
        for part in (*self.thread_maps, *self.invariant_maps):
            part = cast(LowRank, part)
            nn.init.normal_(part.up.weight, std=_MAP_STD)
            nn.init.zeros_(part.down.weight)

    # ------------------------------------------------------------------ the model

    def _states(self, threads: Sequence[PackedThread], table: Tensor) -> list[Tensor]:
        """Return the states of the wanted slots of each thread, [its wanted slots, d], row by row.

        `table` [n_items, d] holds the items' vectors. All threads go through the shared layers
        as one batch.
        """
        longest = max(rows.items.shape[1] for rows in threads)

        def stack(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts])

        items, wanted = stack([r.items for r in threads]), stack([r.wanted for r in threads])
        empty = stack([r.empty for r in threads]) if self.attend_padding else None
        real = items > 0
        to_end = real.flip(1).cumsum(1).flip(1)
        tokens = self.dropout(F.embedding(items[real], table) + self.positions(to_end[real]))
        mixed = self.attention(tokens, real, empty, wanted)
        u = self.attention_norm(tokens[wanted[real]] + self.dropout(mixed))
        common = u + self.dropout(self.shared(u))
        sizes = [int(rows.wanted.sum()) for rows in threads]
        return [
            norm(mine + self.dropout(low_rank(mine_before)))
            for norm, low_rank, mine, mine_before in zip(
                self.thread_norms, self.thread_maps, common.split(sizes), u.split(sizes),
                strict=True,
            )
        ]  # fmt: skip

    def query(self, domain: int, mixed: Tensor, projected: Tensor, own: Tensor) -> Tensor:
        """Return z_k [n, d] of the mixed states, their shared projection and the domain's own."""
        invariant = mixed + projected + self.dropout(self.invariant_maps[domain](mixed))
        own = own + self.dropout(self.project_own[domain](own))
        return self.invariant_norms[domain](invariant) + self.own_norms[domain](own)

    def _dense_rows(self, items: Tensor, wanted: Tensor) -> PackedThread:
        """Return rows whose only empty slots are the release's padding in front."""
        padding = self.max_length - (items > 0).sum(1, keepdim=True)
        return PackedThread(items, padding.expand_as(items), wanted)

    def training_states(self, items: Tensor, labels: Tensor, table: Tensor) -> Tensor:
        """Return z_k of every label, k being its domain, [labels, d], row by row.

        Parameters
        ----------
        items, labels : torch.Tensor
            Windows, int64 [B, L], 0 where padded or not labelled.
        table : torch.Tensor
            Vectors of all items, [n_items, d].
        """
        labelled = labels > 0
        dense = self._dense_rows(items, labelled)
        padding = dense.empty
        position = torch.arange(items.shape[1], device=items.device).expand_as(items)
        threads, guided = [dense], []
        for k in range(self.num_domains):
            row = task_guided_row(items, labels, self.item_domain, k)
            packed = DomainRows(row > 0)
            empty = packed.pack(padding + position - (packed.seen - 1))
            ids = packed.pack(row)
            threads.append(PackedThread(ids, empty, ids > 0))
            guided.append((row > 0)[labelled])
        mixed, *own = self._states(threads, table)
        projected = self.dropout(self.project_shared(mixed))
        domains = self.item_domain[labels[labelled]]
        z = torch.zeros_like(mixed)
        for k, (states, has_own) in enumerate(zip(own, guided, strict=True)):
            here = (domains == k).nonzero().flatten()
            of_domain = mixed.new_zeros(len(here), mixed.shape[1])
            of_domain[has_own[here]] = states
            z = z.index_copy(0, here, self.query(k, mixed[here], projected[here], of_domain))
        return z

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return z_k after each history for each domain k, K times [B, d]."""
        items, lengths = self.history(interaction)
        step = torch.arange(items.shape[1], device=items.device)
        domains = self.item_domain[items]
        threads = [self._dense_rows(items, step == lengths.unsqueeze(1) - 1)]
        for k in range(self.num_domains):
            packed = DomainRows(domains == k)
            ids = packed.pack(items)
            last = step[: packed.length] == packed.seen[:, -1:] - 1
            threads.append(self._dense_rows(ids, last))
        mixed, *own = self._states(threads, self.whole_table()[0])
        projected = self.dropout(self.project_shared(mixed))
        queries = []
        for k, (states, rows) in enumerate(zip(own, threads[1:], strict=True)):
            of_domain = torch.zeros_like(mixed)
            of_domain[rows.wanted.any(1)] = states
            queries.append(self.query(k, mixed, projected, of_domain))
        return queries

    def score_table(self) -> tuple[Tensor, None]:
        """Return the item vectors, [n_items, d]; there are no biases."""
        if self.text is None:
            return self.items.weight, None
        return self.items.weight + self.text()[0], None

    # -------------------------------------------------------------------- losses

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the loss of a batch of windows."""
        items, labels = interaction[ITEMS], interaction[LABELS]
        labelled = labels > 0
        targets = labels[labelled]
        table, _ = self.score_table()
        states = self.training_states(items, labels, table) / self.temperature
        if self.loss_type != PUBLISHED:

            def vectors(ids: Tensor | None) -> tuple[Tensor, None]:
                return (table if ids is None else F.embedding(ids, table)), None

            loss = self.next_item_loss([states], targets, vectors)
            return loss / max(total(len(targets)), 1)
        owner = labelled.nonzero()[:, 0]
        negatives = self._negative_scores(states, items, labels, owner, table)
        positive = (states * F.embedding(targets, table)).sum(1, keepdim=True)
        loss = torch.cat([positive, negatives], dim=1).logsumexp(1) - positive.squeeze(1)
        group = owner * self.num_domains + self.item_domain[targets]
        return (loss / group.bincount()[group]).sum() / total(len(items))

    def _negative_scores(
        self, states: Tensor, items: Tensor, labels: Tensor, owner: Tensor, table: Tensor
    ) -> Tensor:
        """Return scores of negatives of all domains [M, n]; -inf where there are not enough."""
        seen = torch.zeros(len(items), self.n_items, dtype=torch.bool, device=items.device)
        seen.scatter_(1, items, True).scatter_(1, labels, True)
        one_each = torch.arange(len(items), device=items.device)
        of = {"slot": owner, "user": one_each, "batch": one_each[:1]}[self.negatives_per]
        shared = self.negatives_per == "batch"
        refused = torch.zeros_like(seen[:1]) if shared else seen
        drawn = [
            draw_sets(self.members(k), refused, of, self.num_negatives, shared)
            for k in range(self.num_domains)
        ]
        ids, is_seen = (torch.cat(parts, dim=1) for parts in zip(*drawn, strict=True))
        if self.negatives_per == "slot":
            scores = scores_of_own_sets(states, table, ids)
        elif self.negatives_per == "user":
            scores = self._scores_by_user(states, F.embedding(ids, table), owner)
            is_seen = is_seen[owner]
        else:
            scores = states @ F.embedding(ids[0], table).T
            is_seen = seen[owner][:, ids[0]]
        return scores.masked_fill(is_seen, -torch.inf)

    def _scores_by_user(self, states: Tensor, vectors: Tensor, owner: Tensor) -> Tensor:
        """Multiply each user's states with the vectors of the user's own set, [M, n]."""
        count = owner.bincount(minlength=len(vectors))
        inside = torch.arange(int(count.max()), device=owner.device) < count.unsqueeze(1)
        padded = states.new_zeros(*inside.shape, states.shape[1])
        padded[inside] = states
        return torch.bmm(padded, vectors.transpose(1, 2))[inside]


def task_guided_row(items: Tensor, labels: Tensor, item_domain: Tensor, domain: int) -> Tensor:
    """Return the training row of a domain's thread, int64 [B, L].

    Where the label is of the domain, the domain's last item so far; 0 elsewhere, and where there
    is none yet.
    """
    last = last_seen(item_domain[items] == domain)
    guided = (item_domain[labels] == domain) & (last >= 0)
    return items.gather(1, last.clamp(min=0)) * guided
