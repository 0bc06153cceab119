"""Profiles in the model: the gate, the alignment, and what they change."""

import numpy as np
import pytest
import torch
from small_baselines import N_USERS, Catalogue, histories, windows

from recbole_edt.config import EDTConfig
from recbole_edt.data.windows import ITEMS
from recbole_edt.errors import UserError
from recbole_edt.model.alignment import ProfileAlignment, soft_alignment
from recbole_edt.model.llmedt import DOMAIN, LLMEDT
from recbole_edt.model.protocols import capabilities_of

M, K, D = 6, 3, 8


def profiles(seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(N_USERS, K, M)).astype(np.float16).astype(np.float32)
    present = np.ones((N_USERS, K), dtype=bool)
    present[0] = present[4] = False
    present[2, 1] = present[3, :2] = False
    vectors[~present] = 0
    return vectors, present


class WithProfiles(Catalogue):
    """The made-up catalogue with item vectors and profiles."""

    def __init__(self, seed=0):
        super().__init__(K)
        self.seed = seed

    def item_vectors(self):
        vectors = np.random.default_rng(1).normal(size=(len(self.item_domain), M))
        vectors[0] = 0
        return vectors.astype(np.float32)

    def profile_vectors(self):
        return profiles(self.seed)


def trained(seed=0, **keys):
    """Train the domain phase for a few steps; return the model and its scores."""
    keys = {"hidden_size": D, "inner_size": 16, "MAX_ITEM_LIST_LENGTH": 8, **keys}
    config = EDTConfig("LLMEDT", "none", overrides={"profiles": True, **keys})
    config["device"] = torch.device("cpu")
    torch.manual_seed(0)
    model = LLMEDT(config, WithProfiles(seed))
    model.begin_phase(DOMAIN)
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    batch = windows()
    for _ in range(4):
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()
    model.eval()
    return model, model.full_sort_predict(histories(batch[ITEMS])).detach()


def test_gate_is_a_softmax_over_the_domains_that_are_there():
    vectors, present = profiles()
    torch.manual_seed(0)
    part = ProfileAlignment(vectors, present, D, 1.0)
    users, states = torch.arange(N_USERS), torch.randn(N_USERS, K, D)
    gate = part.gate(users, states).detach().numpy()
    for user in range(N_USERS):
        there = np.flatnonzero(present[user])
        assert (gate[user][~present[user]] == 0.0).all()  # exactly
        if len(there):
            query = part.query.weight @ states[user].mean(0)
            keys = [part.key.weight @ torch.from_numpy(vectors[user, k]) for k in there]
            logits = torch.stack([query @ key for key in keys]) / D**0.5
            expected = torch.softmax(logits, 0).detach().numpy()
            np.testing.assert_allclose(gate[user][there], expected, atol=1e-5)


def test_alignment_is_of_gated_states_and_gated_profiles():
    vectors, present = profiles()
    torch.manual_seed(0)
    part = ProfileAlignment(vectors, present, D, 0.7)
    users = torch.tensor([1, 2, 4, 5])  # user 4 has none
    states = [torch.randn(4, D) for _ in range(K)]
    known = [0, 1, 3]
    gate = part.gate(users, torch.stack(states, 1))
    x = torch.stack([sum(gate[b, k] * states[k][b] for k in range(K)) for b in known])
    y = torch.stack(
        [sum(gate[b, k] * torch.from_numpy(vectors[users[b], k]) for k in range(K)) for b in known]
    )
    expected = soft_alignment(part.of_state(x), part.of_profile(y), 0.7)
    torch.testing.assert_close(part.alignment(users, states), expected, rtol=1e-4, atol=1e-5)


def test_a_batch_without_profiles_costs_nothing():
    part = ProfileAlignment(*profiles(), D, 1.0)
    states = [torch.randn(2, D, requires_grad=True) for _ in range(K)]
    assert float(part.alignment(torch.tensor([4, 4]), states)) == 0.0


def test_other_profiles_change_the_trained_recommendations():
    first, shuffled = trained(seed=0)[1], trained(seed=7)[1]
    assert (first[:, 1:].argsort(1) != shuffled[:, 1:].argsort(1)).any()


def test_shuffling_by_key_gives_users_the_whole_profiles_of_others():
    model, scores = trained(profile_shuffle=True)
    vectors, _ = profiles()
    shuffled, there = model.profiles.vectors.float().numpy(), model.profiles.present.numpy()
    assert (there == shuffled.any(2)).all()  # a profile and that it is there move together
    assert not there[0].any()
    rows = [row.tobytes() for row in vectors[1:]]
    assert [row.tobytes() for row in shuffled[1:]] != rows
    assert sorted(row.tobytes() for row in shuffled[1:]) == sorted(rows)
    assert not torch.equal(trained()[1], scores)


def test_without_weight_profiles_are_irrelevant_to_the_bit():
    without = trained(profiles=False)[1]
    for seed in (0, 7):
        assert torch.equal(trained(seed, beta=0.0)[1], without)


def test_the_alignment_of_the_last_states_enters_the_loss_with_its_weight():
    model, _ = trained()  # in evaluation mode: no dropout
    batch = windows()
    lengths = (batch[ITEMS] > 0).sum(1)
    with torch.no_grad():
        model.beta = 0.0
        without = model.calculate_loss(batch)
        model.beta = 0.4
        states = model.domain_states(model.whole_table()[0][batch[ITEMS]], batch[ITEMS])
        last = [state[torch.arange(len(lengths)), lengths - 1] for state in states]
        alignment = model.profiles.alignment(batch["user_id"], last)
        assert alignment.item() != 0
        torch.testing.assert_close(model.calculate_loss(batch), without + 0.4 * alignment)


def test_the_gradient_reaches_the_threads_and_not_the_frozen_part():
    model, _ = trained()
    model.train()
    model.zero_grad()
    states = model.domain_states(model.whole_table()[0][windows()[ITEMS]], windows()[ITEMS])
    ends = (windows()[ITEMS] > 0).sum(1) - 1
    last = [model.gather_indexes(state, ends) for state in states]
    model.profiles.alignment(windows()["user_id"], last).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.threads.parameters())
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is None for p in model.items.parameters())


def test_profiles_that_are_not_finite_are_refused():
    vectors, present = profiles()
    vectors[3, 2, 0] = np.nan
    with pytest.raises(UserError, match="user 3"):
        ProfileAlignment(vectors, present, D, 1.0)


def test_a_negative_weight_is_refused():
    with pytest.raises(UserError, match=r"beta: found -1, expected a value >= 0"):
        EDTConfig("LLMEDT", "none", overrides={"beta": -1})


class WithOverallProfiles(WithProfiles):
    """One profile per user, of all domains."""

    def profile_vectors(self):
        vectors, present = profiles(self.seed)
        return vectors[:, :1].copy(), present.any(1, keepdims=True)


def trained_shared(seed=0, catalogue=WithOverallProfiles, steps=4, **keys):
    """Train the shared phase for a few steps; return the model and its scores."""
    keys = {"hidden_size": D, "inner_size": 16, "MAX_ITEM_LIST_LENGTH": 8, **keys}
    config = EDTConfig("LLMEDT", "none", overrides={"profiles": True, **keys})
    config["device"] = torch.device("cpu")
    torch.manual_seed(0)
    model = LLMEDT(config, catalogue(seed))
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    batch = windows()
    for _ in range(steps):
        optimizer.zero_grad()
        model.calculate_loss(batch).backward()
        optimizer.step()
    model.eval()
    return model, model.full_sort_predict(histories(batch[ITEMS])).detach()


def test_overall_profiles_are_aligned_with_the_mixed_state():
    vectors, present = WithOverallProfiles().profile_vectors()
    torch.manual_seed(0)
    part = ProfileAlignment(vectors, present, D, 0.7)
    users, state = torch.tensor([1, 2, 4, 5]), torch.randn(4, D)
    known = torch.from_numpy(present[[1, 2, 4, 5], 0])
    adapted = part.of_profile(torch.from_numpy(vectors[[1, 2, 4, 5], 0]))[known]
    expected = soft_alignment(state[known], adapted, 0.7)
    torch.testing.assert_close(part.direct_alignment(users, state), expected)
    states = [state, -state]
    of_mean = soft_alignment(part.of_state(0 * state)[known], adapted, 0.7)
    torch.testing.assert_close(part.alignment(users, states), of_mean)


@pytest.mark.parametrize("catalogue", [WithProfiles, WithOverallProfiles])
def test_alignment_in_the_shared_phase_reaches_the_backbone(catalogue):
    plain = trained_shared(catalogue=catalogue, profiles=False)[1]
    assert torch.equal(trained_shared(catalogue=catalogue)[1], plain)  # align_phase: domain
    aligned = trained_shared(catalogue=catalogue, align_phase="shared")[1]
    assert not torch.equal(aligned, plain)
    other = trained_shared(7, catalogue, align_phase="shared")[1]
    assert not torch.equal(other, aligned)
    assert torch.equal(trained_shared(7, catalogue, align_phase="shared", beta=0.0)[1], plain)
    assert torch.equal(trained_shared(catalogue=catalogue, align_phase="both")[1], aligned)


@pytest.mark.parametrize(
    ("phase", "aligned"), [("shared", False), ("domain", True), ("both", True)]
)
def test_phase_in_which_the_domain_phase_aligns(phase, aligned):
    without = trained(profiles=False)[1]
    assert torch.equal(trained(align_phase=phase)[1], without) != aligned


def test_item_vectors_are_trained_in_both_phases_at_their_own_rate():
    keys = {"item_vectors": "trainable", "item_vectors_learning_rate": 1e-4}
    frozen, _ = trained_shared(steps=0)
    model, scores = trained_shared(steps=0, **keys)
    start = model.items.vectors.detach().clone()
    torch.testing.assert_close(scores, trained_shared(steps=0)[1], rtol=0, atol=0)
    assert model.items.half_vectors.float().equal(start)
    assert frozen.items.vectors is None
    assert not trained_shared(**keys)[0].items.vectors.detach().equal(start)
    model, _ = trained(**keys)
    assert not model.items.vectors.detach().equal(start)
    groups = capabilities_of(model).trained_parameters()
    assert [group.get("lr") for group in groups] == [None, 1e-4]
    assert groups[1]["params"] == [model.items.vectors]
    # the backbone stays frozen, and domains share what is trained: one best epoch for all
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert model.separate_parts(DOMAIN) is None
    assert not model.keeps_phase("shared")
    assert "items.vectors" in model.state_dict()


def test_item_vectors_of_another_table_are_refused():
    model, _ = trained_shared(steps=0, item_vectors="trainable")
    weights = {**model.state_dict(), "items.vectors": torch.zeros(4, M)}
    with pytest.raises(
        UserError, match=r"items\.vectors has the size \[4, 6\], expected \[23, 6\]"
    ):
        model.reuse_phase(weights)


def test_recipes_paper_and_release():
    paper = EDTConfig("LLMEDT", "none", overrides={"recipe": "paper"})
    release = EDTConfig("LLMEDT", "none", overrides={"recipe": "release"})
    differing = {k for k, v in paper.to_dict().items() if release.to_dict()[k] != v}
    assert differing == {"recipe", "item_vectors", "align_phase"}
    assert (paper["align_phase"], paper["item_vectors"]) == ("shared", "trainable")
    assert (paper["augment_mode"], paper["profile_mode"]) == ("representatives", "grouped")
