"""Ranks against a literal count over items, one user at a time."""

import numpy as np
import pandas as pd
import pytest
import torch
from scorers import DomainTable, Pairwise, Table, random_table
from synthetic import write_inter, write_items

from recbole_edt.cli.tables import repeats_line
from recbole_edt.errors import UserError
from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.report import describe_protocol
from recbole_edt.evaluation.scoring import histories_of
from recbole_edt.model.registry import get_model
from recbole_edt.runs import Protocol


def histories(targets):
    """Return each target's user, item and what the user had before, from the file itself."""
    part = targets.part
    frame = pd.read_csv(
        part.config.dataset_dir / f"{part.dataset_name}.inter",
        sep="\t", names=["user", "item", "time"], skiprows=1,
    )  # fmt: skip
    user_ids, item_ids = part.field2token_id["user_id"], part.field2token_id["item_id"]
    for user, target in zip(targets.users, targets.items, strict=True):
        rows = frame[frame["user"].map(user_ids) == user].sort_values("time", kind="stable")
        items = rows["item"].map(item_ids).tolist()
        yield int(user), int(target), items[: items.index(int(target))]


def literal_ranks(targets, scores):
    part, ranks = targets.part, []
    for user, target, history in histories(targets):
        better = 0
        for item in range(1, part.item_num):
            allowed = item != target and item not in history
            if allowed and part.item_domain[item] == part.item_domain[target]:
                better += bool(scores[user, item] >= scores[user, target])
        ranks.append(1 + better)
    return np.array(ranks)


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("levels", [0, 4])
def test_ranks_are_those_of_a_literal_count(make_dataset, targets_of, model, part, levels):
    targets = targets_of(make_dataset(), model, part, eval_batch_size=7)
    table = random_table(targets.part, levels)
    ranks = rank_targets(table, targets, "target_domain")
    np.testing.assert_array_equal(ranks, literal_ranks(targets, table.scores))
    assert len({*ranks}) > 3


@pytest.mark.parametrize("sampled", [None, 4])
@pytest.mark.parametrize("levels", [0, 4])
def test_scores_of_one_domain_at_a_time_give_the_same_ranks(
    make_dataset, targets_of, levels, sampled
):
    targets = targets_of(make_dataset(), eval_batch_size=7)
    table = random_table(targets.part, levels)
    domains = DomainTable(table.scores, targets.part.item_domain)
    ranks = rank_targets(domains, targets, "target_domain", sampled)
    np.testing.assert_array_equal(ranks, rank_targets(table, targets, "target_domain", sampled))
    if sampled is None:
        np.testing.assert_array_equal(ranks, literal_ranks(targets, table.scores))


@pytest.mark.parametrize("model", ["LLMEDT", "SASRecSingle", "C2DSR"])
def test_models_score_a_domain_as_they_score_everything(make_dataset, targets_of, model):
    keys = {"item_projection": "none", "input_scale": 1.0} if model == "LLMEDT" else {}
    targets = targets_of(make_dataset(), model, hidden_size=16, use_gpu=False, **keys)
    part, batch = targets.part, histories_of(targets, np.arange(len(targets)))
    torch.manual_seed(3)
    network = get_model(model)(part.config, part).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        expected = network.full_sort_predict(batch)
        rows = [torch.tensor([4, 1, 3]), torch.tensor([], dtype=torch.int64), torch.tensor([0])]
        found = list(network.domain_scores(batch, rows))
    for k, some in enumerate(rows):
        torch.testing.assert_close(found[k], expected[some][:, part.item_domain == k])
    with_all = Table(torch.empty(0))
    with_all.full_sort_predict = lambda batch: network.full_sort_predict(batch).detach()
    np.testing.assert_array_equal(
        rank_targets(network, targets, "target_domain"),
        rank_targets(with_all, targets, "target_domain"),
    )


def test_later_rows_of_the_user_are_not_masked(make_dataset, targets_of):
    """At validation the test item is a candidate like any other: nothing is known of it."""
    folder = make_dataset()
    valid, test = targets_of(folder, part="valid"), targets_of(folder, part="test")
    table = random_table(valid.part)
    last = dict(zip(test.users, test.items, strict=True))
    for user in valid.users:
        table.scores[user, last[user]] = 9.0
    ranks = rank_targets(table, valid, "target_domain")
    domains = valid.part.item_domain[[last[user] for user in valid.users]].numpy()
    rivals = domains == valid.domains
    assert rivals.sum() > 3
    assert (ranks[rivals] > 1).all()


def test_a_repeated_target_is_not_masked_by_its_own_history(tmp_path, targets_of):
    folder = tmp_path / "again"
    rows = [(f"u{u}", item, 10 * u + t) for u in range(3) for t, item in enumerate("abcda")]
    write_inter(folder / "again.inter", rows)
    write_items(folder / "again.item", [(item, "xy"[item > "c"]) for item in "abcdefg"])
    targets = targets_of(folder)
    table = Table(torch.zeros(targets.part.user_num, targets.part.item_num))
    # of a, b, c only the target a is left; for general models, too
    assert rank_targets(table, targets, "target_domain").tolist() == [1, 1, 1]
    targets = targets_of(folder, "BPR")
    assert rank_targets(table, targets, "target_domain").tolist() == [1, 1, 1]
    table.scores[:, 1:] = torch.arange(targets.part.item_num - 1)
    ranks = rank_targets(table, targets, "all")
    assert ranks.tolist() == [4, 4, 4]  # a..d are masked but a itself; e, f and g score more
    protocol = Protocol.model_validate(describe_protocol(targets))
    assert protocol.repeated == 3
    assert (
        repeats_line(protocol, 3).strip() == "3 of 3 test targets repeat an item of their history"
    )


def test_targets_that_repeat_nothing_are_not_mentioned(make_dataset, targets_of):
    protocol = Protocol.model_validate(describe_protocol(targets_of(make_dataset())))
    assert "repeated" not in protocol.to_dict()
    assert repeats_line(protocol, 3) == ""


def test_a_constant_scorer_comes_last(make_dataset, targets_of):
    targets = targets_of(make_dataset())
    table = Table(torch.zeros(targets.part.user_num, targets.part.item_num))
    ranks = rank_targets(table, targets, "target_domain")
    for rank, (_, target, history) in zip(ranks, histories(targets), strict=True):
        domains = targets.part.item_domain
        taken = {item for item in history if domains[item] == domains[target]} - {target}
        assert rank == int((domains == domains[target]).sum()) - len(taken)
    assert (rank_targets(table, targets, "target_domain", sampled=3) == 4).all()


@pytest.mark.parametrize("scope", ["target_domain", "all"])
def test_a_random_scorer_has_chance_level(make_dataset, targets_of, scope):
    targets = targets_of(make_dataset(users=600))
    hits = rank_targets(random_table(targets.part), targets, scope) <= 10
    domains, chances = targets.part.item_domain, []
    for _, target, history in histories(targets):
        pool = (domains == domains[target]) if scope == "target_domain" else domains >= 0
        masked = sum(bool(pool[item]) for item in history) if scope == "target_domain" else 0
        chances.append(min(10 / (int(pool.sum()) - masked), 1))
    chances = np.array(chances)
    deviation = np.sqrt((chances * (1 - chances)).sum()) / len(hits)
    assert abs(hits.mean() - chances.mean()) < 4 * deviation
    assert deviation < 0.03


@pytest.mark.parametrize("model", ["SASRec", "BPR"])
def test_all_ranks_as_torch_topk(make_dataset, targets_of, model):
    targets = targets_of(make_dataset(), model, topk=[5, 10])
    table = random_table(targets.part, levels=6)
    ranks = rank_targets(table, targets, "all")
    for rank, (user, target, history) in zip(ranks, histories(targets), strict=True):
        scores = table.scores[user].clone()
        scores[0] = -torch.inf
        if model == "BPR":  # RecBole masks the history of general models only
            scores[[item for item in history if item != target]] = -torch.inf
        top = scores.topk(10).indices.tolist()
        expected = top.index(target) + 1 if target in top else targets.part.item_num
        assert rank == expected


def test_not_a_number_is_an_error(make_dataset, targets_of):
    targets = targets_of(make_dataset())
    table = random_table(targets.part)
    table.scores[targets.users[3], 5] = torch.nan
    token = targets.part.field2id_token["user_id"][targets.users[3]]
    with pytest.raises(UserError, match=f"'{token}'"):
        rank_targets(table, targets, "target_domain")
    table.scores[targets.users[3]] = torch.nan
    by_domain = DomainTable(table.scores, targets.part.item_domain)
    with pytest.raises(UserError, match=f"'{token}' are not numbers"):
        rank_targets(by_domain, targets, "target_domain")


def test_infinite_scores_are_numbers(make_dataset, targets_of):
    targets = targets_of(make_dataset())
    table = random_table(targets.part)
    table.scores[:, 1], table.scores[:, 2] = torch.inf, -torch.inf
    ranks = rank_targets(table, targets, "target_domain")
    np.testing.assert_array_equal(ranks, literal_ranks(targets, table.scores))


@pytest.mark.parametrize("scope", ["target_domain", "all"])
def test_a_model_without_full_ranking_gets_the_same_ranks(make_dataset, targets_of, scope):
    targets = targets_of(make_dataset())
    table = random_table(targets.part)
    expected = rank_targets(table, targets, scope)
    found = rank_targets(Pairwise(table.scores), targets, scope)
    np.testing.assert_array_equal(found, expected)


def test_the_model_never_sees_its_target(make_dataset, targets_of):
    targets = targets_of(make_dataset())
    batches = []

    class Spy(Table):
        def full_sort_predict(self, batch):
            batches.append(batch)
            return super().full_sort_predict(batch)

    rank_targets(Spy(random_table(targets.part).scores), targets, "target_domain")
    assert not {"item_id", "timestamp", "domain"} & {
        name for b in batches for name in b.interaction
    }
    seen = torch.cat([batch["item_id_list"] for batch in batches])
    assert len(seen) == len(targets)
    assert not (seen == torch.from_numpy(targets.items)[:, None]).any()


def test_the_metric_that_chooses_epochs_may_reach_deeper_than_the_table(make_dataset, targets_of):
    keys = {"topk": [2], "valid_metric": "NDCG@12", "candidates": "all"}
    targets = targets_of(make_dataset(), "SASRec", "valid", **keys)
    ranks = rank_targets(random_table(targets.part, 0), targets, "all")
    assert ((ranks > 2) & (ranks <= 12)).any()
