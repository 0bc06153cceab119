"""Alignment of two sets of vectors with soft targets, and of states with profiles by it.

LLM4CDSR uses the former twice, LLM-EDT the latter: domain-aware profiles and their gate.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recbole_edt.errors import UserError
from recbole_edt.model.batch_share import draw_rows, gather_rows, shares, total
from recbole_edt.model.items import two_linear_layers
from recbole_edt.model.precision import full_precision


def soft_alignment(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return how badly the pairs of rows of `x` and `y`, both [n, d], match.

    S = X Y^T / tau, T = softmax over rows of tau (X X^T + Y Y^T) / 2; the mean over rows of the
    mean of two cross-entropies, of S with T and of S^T with T^T, whose rows do not sum to one.
    Vectors are not normalised and T carries a gradient [code]. Of a share of a batch the pairs of
    all shares are compared, and the result is the share's part.
    """
    x, y = gather_rows(x.float(), y.float())
    with full_precision(x.device):
        similar = x @ y.T / temperature
        targets = ((x @ x.T + y @ y.T) * (temperature / 2)).softmax(dim=1)
        forth = (targets * similar.log_softmax(dim=1)).sum(1)
        back = (targets.T * similar.T.log_softmax(dim=1)).sum(1)
    return -(forth + back).mean() / (2 * shares())


def one_of_each(items: Tensor, item_domain: Tensor, num_domains: int) -> Tensor:
    """Draw one item of every domain from each row.

    Parameters
    ----------
    items : torch.Tensor
        Item ids, 0 where padded, int64 [B, L].
    item_domain : torch.Tensor
        Domain of each item id, -1 for 0, [n_items].
    num_domains : int
        K.

    Returns
    -------
    torch.Tensor
        int64 [K, B]; 0 where the row has no item of the domain.
    """
    domains, drawn = item_domain[items], []
    for k in range(num_domains):
        order = draw_rows(items.shape, items.device).masked_fill(domains != k, -1.0)
        first, position = order.max(dim=1, keepdim=True)
        drawn.append((items.gather(1, position) * (first >= 0)).squeeze(1))
    return torch.stack(drawn)


class ProfileAlignment(nn.Module):
    """Pull the states that score a user's items towards the user's profiles.

    *One overall profile* per user (P = 1) goes through a trainable adapter, two linear layers, to
    p~ [figure]; the state is the mean of the s^k below.

    *A profile per domain* (P = K): with the user's states s^k = h_T + h'^k_T and profile vectors
    p^k, the gate is a_k = softmax over the domains that have a profile of <Q s, P p^k> / sqrt(d),
    where s is the mean of the s^k; it is exactly zero elsewhere [ours, after "adaptively
    aggregate" in [paper]]. Profile and state are aggregated by the same gate, sum_k a_k p^k and
    sum_k a_k s^k, and the projections of both are aligned over the users of a batch by
    `soft_alignment` [code]. The release aligns the frozen mixed state, so that no prediction ever
    changes; here the gradient reaches the domain threads [ours].

    In the shared phase the mixed state u~ itself is aligned, without a projection, so that the
    gradient reaches the backbone [figure].

    A profile is aligned with and never read for scoring: it summarises all training items, so as
    an input it would reveal the training labels to the model.

    Parameters
    ----------
    vectors : numpy.ndarray
        Encoded profiles, float [user_num, P, m]; kept in half precision, outside the checkpoint.
    present : numpy.ndarray
        Where there is a profile, bool [user_num, P].
    hidden_size : int
        Width d of the states.
    temperature : float
        Of the alignment.

    Raises
    ------
    UserError
        When a profile is not finite.
    """

    vectors: Tensor
    present: Tensor

    def __init__(
        self, vectors: np.ndarray, present: np.ndarray, hidden_size: int, temperature: float
    ):
        super().__init__()
        broken = ~np.isfinite(vectors).all(axis=(1, 2))
        if broken.any():
            raise UserError(f"profiles: the vectors of user {broken.argmax()} are not finite")
        self.register_buffer("vectors", torch.from_numpy(vectors).half(), persistent=False)
        self.register_buffer("present", torch.from_numpy(present), persistent=False)
        width = vectors.shape[2]
        self.is_overall = vectors.shape[1] == 1
        if not self.is_overall:
            self.query = nn.Linear(hidden_size, hidden_size, bias=False)
            self.key = nn.Linear(width, hidden_size, bias=False)
        self.of_state = nn.Linear(hidden_size, hidden_size)
        self.of_profile: nn.Module = nn.Linear(width, hidden_size)
        if self.is_overall:
            self.of_profile = two_linear_layers(width, hidden_size)
        self.temperature = temperature

    def gate(self, users: Tensor, states: Tensor) -> Tensor:
        """Return the weight of each domain's profile, [B, K]; zero where there is none.

        Parameters
        ----------
        users : torch.Tensor
            Int64 [B]; a user without any profile gets zeros.
        states : torch.Tensor
            The states of each domain, [B, K, d].
        """
        present = self.present[users]
        keys = self.key(self.vectors[users].float())
        logits = (self.query(states.mean(1)).unsqueeze(1) * keys).sum(2) / keys.shape[2] ** 0.5
        logits = logits.masked_fill(~present, -torch.inf)
        some = present.any(1, keepdim=True)
        return torch.softmax(logits.where(some, torch.zeros_like(logits)), 1) * present

    def alignment(self, users: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Return the alignment loss of a batch; zero when fewer than two users have a profile.

        Parameters
        ----------
        users : torch.Tensor
            Int64 [B].
        states : sequence of torch.Tensor
            What scores the items of each domain, K times [B, d].
        """
        users, stacked = self._with_profile(users, torch.stack(list(states), 1))
        if total(len(users)) < 2:
            return stacked.new_zeros(())
        profile, state = self._aggregated(users, stacked)
        return soft_alignment(self.of_state(state), self.of_profile(profile), self.temperature)

    def direct_alignment(self, users: Tensor, state: Tensor) -> Tensor:
        """Return the alignment of mixed states u~ [B, d] themselves with p~ [figure].

        Zero when fewer than two of the users, int64 [B], have a profile.
        """
        users, stacked = self._with_profile(users, state.unsqueeze(1))
        if total(len(users)) < 2:
            return state.new_zeros(())
        profile, _ = self._aggregated(users, stacked)
        return soft_alignment(stacked[:, 0], self.of_profile(profile), self.temperature)

    def _with_profile(self, users: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        known = self.present[users].any(1)
        return users[known], states[known]

    def _aggregated(self, users: Tensor, stacked: Tensor) -> tuple[Tensor, Tensor]:
        """Return one profile vector [B, m] and one state [B, d] per user."""
        vectors = self.vectors[users].float()
        if self.is_overall:
            return vectors[:, 0], stacked.mean(1)
        gate = self.gate(users, stacked).unsqueeze(2)
        return (gate * vectors).sum(1), (gate * stacked).sum(1)
