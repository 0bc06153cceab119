"""LLM4CDSR: item vectors of a language model in one mixed thread and one thread per domain."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.model.alignment import one_of_each, soft_alignment
from recbole_edt.model.backbone import check_heads
from recbole_edt.model.base import PUBLISHED, CrossDomainModel
from recbole_edt.model.baselines.llm4cdsr_encoder import LLM4CDSREncoder
from recbole_edt.model.batch_share import total
from recbole_edt.model.domain_rows import DomainRows, last_seen
from recbole_edt.model.items import two_linear_layers
from recbole_edt.model.protocols import KeyedConfig
from recbole_edt.recbole_bridge import Interaction


class LLM4CDSR(CrossDomainModel):
    """Large language models' item vectors in a mixed thread and a thread per domain.

    Q. Liu et al., "Bridge the Domains: Large Language Models Enhanced Cross-domain Sequential
    Recommendation", SIGIR 2025, arXiv 2504.18383; facts from the copy of its code that the authors
    of LLM-EDT carry, none of its text. g(i) = W2 (W1 z_i + b1) + b2 adapts the frozen vector z_i
    of size m; e(i) is z_i reduced to d by a PCA of i's domain, frozen too. h encodes the mixed
    sequence of sqrt(m) g, h^k that of domain k only, of sqrt(d) e, each with a separate
    encoder. An item i of domain k scores <h, g(i)> + <h^k, e(i)>, h^k being the state after the
    domain's last item.

    Loss: sum_k L_k + alpha R + beta U. L_k is the mean over the labels of domain k of the binary
    cross-entropy with one negative of domain k. R aligns g of one random training item in each of
    two domains over the users of a batch, U the adapted profile with the last mixed state, both by
    `soft_alignment`.

    What differs from the release:

    - any number of domains; R is the mean over pairs of domains, each over the users who have both;
    - attention is causal, since the release's sees the labels (its mask is built and not used);
      ``causal: False`` is the release's;
    - sequences are padded on the right and never see padding; longer ones are cut into windows
      (the release reads the last one), and "user" then means window;
    - a label's negative is one item, of the label's domain, in both terms (the release adds the
      mixed score of one item to the domain score of another), and any other item with a training
      interaction (all of them with ``unseen_negatives``);
    - after a history without an item of domain k, h^k is zero (the release reads a LayerNorm's
      bias); as there, labels after such a history are left out of L_k;
    - U needs ``profiles: True``; the profile is the mean over the domains that have one, users
      without any are left out. The release has U commented out;
    - the best epoch is chosen on ``valid_metric``;
    - ``loss_type`` CE, SS or BCE puts the loss that all models share in place of sum_k L_k, as a
      mean over all labels; only with candidates of the label's domain, since items of other
      domains are scored by other states.

    Parameters
    ----------
    config : EDTConfig
        Keys are explained in docs/keys.md.
    dataset : CrossDomainDataset
        The training part; gives domains, item vectors and, with ``profiles``, profile vectors.

    Raises
    ------
    UserError
        For an unknown loss, sizes that do not fit together, or vectors that are not there.
    """

    vectors: Tensor
    own_vectors: Tensor

    def __init__(self, config: KeyedConfig, dataset: CrossDomainDataset):
        super().__init__(config, dataset)
        width = config["hidden_size"]
        check_heads(width, config["n_heads"])
        self.published = self.loss_type == PUBLISHED
        if self.published:
            self.next_item.kind = "BCE"  # averaged otherwise: see calculate_loss
        self.width: int = width
        self.alpha: float = config["alpha"]
        self.beta: float = config["beta"]
        self.temperature: float = config["temperature"]
        self._take_vectors(dataset, config["freeze_local"])
        self.adapter = two_linear_layers(self.vectors.shape[1], width)
        self.mixed, *threads = (LLM4CDSREncoder(config) for _ in range(1 + self.num_domains))
        self.threads = nn.ModuleList(threads)
        self.profiles = bool(config["profiles"])
        if self.profiles:
            self._take_profiles(*dataset.profile_vectors())
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and name != "own_vectors":
                nn.init.xavier_normal_(parameter)

    def _take_vectors(self, dataset: CrossDomainDataset, frozen: bool) -> None:
        vectors = dataset.item_vectors()
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)
        own = torch.from_numpy(reduce_by_domain(vectors, dataset.item_domain.numpy(), self.width))
        if frozen:
            self.register_buffer("own_vectors", own, persistent=False)
        else:
            self.own_vectors = nn.Parameter(own)
        self.mixed_scale, self.own_scale = math.sqrt(vectors.shape[1]), math.sqrt(self.width)

    def add_items(self, vectors: Tensor, domains: Tensor, seen: Tensor) -> None:
        """Append items, reduced as those of their domain; see `protocols.TakesNewItems`."""
        known, item_domain = self.vectors.cpu().numpy(), self.item_domain.cpu().numpy()
        new, of_domain = vectors.numpy(), domains.numpy()
        reduced = np.zeros((len(new), self.width), dtype=np.float32)
        for domain in set(of_domain.tolist()):
            mean, top = _leading_directions(known[item_domain == domain], self.width)
            here = of_domain == domain
            reduced[here, : top.shape[1]] = (new[here] - mean) @ top
        device = self.vectors.device
        self.vectors = torch.cat([self.vectors, vectors.to(device)])
        own = torch.cat([self.own_vectors.detach(), torch.from_numpy(reduced).to(device)])
        is_trained = isinstance(self.own_vectors, nn.Parameter)
        self.own_vectors = nn.Parameter(own) if is_trained else own
        self.append_items(domains)

    def _take_profiles(self, vectors: np.ndarray, present: np.ndarray) -> None:
        """Keep each user's mean profile over the domains that have one."""
        count = present.sum(1, keepdims=True)
        mean = vectors.sum(1, where=present[:, :, None]) / np.maximum(count, 1)
        self.register_buffer("profile", torch.from_numpy(mean.astype(np.float32)), persistent=False)
        self.register_buffer("has_profile", torch.from_numpy(count[:, 0] > 0), persistent=False)
        self.profile_adapter = two_linear_layers(mean.shape[1], self.width)

    # ------------------------------------------------------------------ the model

    def _vectors_of(self, ids: Tensor | None) -> tuple[Tensor, None]:
        """Return [g; e] of some items, [n, 2 d]; of all when None."""
        vectors, own = self.vectors, self.own_vectors
        if ids is not None:
            vectors, own = vectors[ids], own[ids]
        return torch.cat([self.adapter(vectors), own], dim=1), None

    def states(self, vectors: Tensor, items: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return h [B, L, d] and, for each domain k, h^k after its last item so far, [B, L, d].

        Parameters
        ----------
        vectors : torch.Tensor
            [g; e] of the mixed sequences, [B, L, 2 d].
        items : torch.Tensor
            Their item ids, 0 where padded, [B, L].
        """
        adapted, own = vectors.split(self.width, dim=2)
        mixed = self.mixed(adapted * self.mixed_scale, (items > 0).sum(1))
        domains, states = self.item_domain[items], []
        for k, encoder in enumerate(self.threads):
            rows = DomainRows(domains == k)
            packed = rows.pack(own * self.own_scale)
            if rows.length:  # torch's attention refuses sequences of no item
                packed = encoder(packed, rows.seen[:, -1])
            states.append(rows.unpack(packed))
        return mixed, states

    def last_states(self, interaction: Interaction) -> list[Tensor]:
        """Return [h; h^k] after each history for each domain k, K times [B, 2 d]."""
        items, lengths = self.history(interaction)
        mixed, states = self.states(self.whole_table()[0][items], items)
        last = self.gather_indexes(mixed, lengths - 1)
        return [torch.cat([last, self.gather_indexes(s, lengths - 1)], dim=1) for s in states]

    def score_table(self) -> tuple[Tensor, None]:
        """Return [g; e] of all items, [n_items, 2 d]; there are no biases."""
        return self._vectors_of(None)

    # -------------------------------------------------------------------- losses

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Return the loss of a batch of windows."""
        items, labels = interaction[ITEMS], interaction[LABELS]
        whole, lengths = _whole_rows(items, labels)
        wanted = labels > 0
        if self.published:
            wanted &= self.has_predecessor(items, labels)
        sets = self.next_item.candidate_sets(labels[wanted], self.loss_scope)
        table = self.next_item.project(self._vectors_of, sets, whole)
        vectors, row = table.vectors, table.index_of
        mixed, own = self.states(vectors[row(items)], items)
        here = mixed[wanted]
        states = [torch.cat([here, state[wanted]], dim=1) for state in own]
        if self.published:
            loss = vectors.new_zeros(())
            for state, one in zip(states, sets, strict=True):
                loss = loss + self.next_item([state], [one], table) / max(total(len(one.labels)), 1)
        else:
            loss = self.next_item(states, sets, table) / max(total(len(here)), 1)
        loss = loss + self.alpha * self._domain_alignment(whole, vectors[:, : self.width], row)
        if self.profiles:
            last = self.gather_indexes(mixed, lengths - 1)
            loss = loss + self.beta * self._profile_alignment(interaction[self.USER_ID], last)
        return loss

    def has_predecessor(self, items: Tensor, labels: Tensor) -> Tensor:
        """Return which labels follow an item of their own domain, bool [B, L]."""
        domains, of_label = self.item_domain[items], self.item_domain[labels]
        follows = torch.zeros_like(labels, dtype=torch.bool)
        for k in range(self.num_domains):
            follows |= (of_label == k) & (last_seen(domains == k) >= 0)
        return follows

    def _domain_alignment(
        self, items: Tensor, adapted: Tensor, row: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return R, the mean over pairs of domains that some user has both of."""
        drawn = one_of_each(items, self.item_domain, self.num_domains)
        terms = []
        for a, b in combinations(drawn, 2):
            both = (a > 0) & (b > 0)
            if total(both.sum()):
                x, y = adapted[row(a[both])], adapted[row(b[both])]
                terms.append(soft_alignment(x, y, self.temperature))
        return torch.stack(terms).mean() if terms else adapted.new_zeros(())

    def _profile_alignment(self, users: Tensor, states: Tensor) -> Tensor:
        """Return U over the users of the batch who have a profile."""
        known = self.has_profile[users]
        if not total(known.sum()):
            return states.new_zeros(())
        adapted = self.profile_adapter(self.profile[users[known]])
        return soft_alignment(adapted, states[known], self.temperature)


def reduce_by_domain(vectors: np.ndarray, item_domain: np.ndarray, width: int) -> np.ndarray:
    """Reduce item vectors by a PCA per domain.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32 [n_items, m].
    item_domain : numpy.ndarray
        Domain of each item, -1 for the padding item, [n_items].
    width : int
        Components that are kept.

    Returns
    -------
    numpy.ndarray
        float32 [n_items, width], centred and not scaled; zero for the padding item, and in the
        components that a domain has not enough items or vectors not enough dimensions for.
    """
    reduced = np.zeros((len(vectors), width), dtype=np.float32)
    for domain in range(int(item_domain.max()) + 1):
        members = np.flatnonzero(item_domain == domain)
        mean, top = _leading_directions(vectors[members], width)
        reduced[members, : top.shape[1]] = (vectors[members] - mean) @ top
    return reduced


def _leading_directions(vectors: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of some vectors [m] and their leading directions [m, at most width]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    _, directions = np.linalg.eigh(centred.T @ centred)
    top = directions[:, ::-1][:, : min(width, len(vectors))]
    # eigenvectors are defined up to their sign: make the largest entry positive
    return mean, top * np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])


def _whole_rows(items: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the windows with their last labels, [B, L + 1], and the lengths of `items` [B]."""
    lengths = (items > 0).sum(1)
    whole = torch.cat([items, torch.zeros_like(items[:, :1])], dim=1)
    last = labels.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1))
    return whole.scatter(1, lengths.unsqueeze(1), last), lengths
