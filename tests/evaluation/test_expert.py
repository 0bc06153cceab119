"""The content expert: added to any model, its weight chosen per domain on validation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scorers import DomainTable, Table

from recbole_edt.artefacts.inputs import attach_artefacts
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError
from recbole_edt.evaluation.expert import ContentExpert
from recbole_edt.evaluation.ranking import choose_weights, rank_targets
from recbole_edt.evaluation.report import metric_values
from recbole_edt.evaluation.targets import Targets
from recbole_edt.quick_start import run_recbole_edt


@pytest.fixture
def data(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset())
    return {
        "data_path": str(tmp_path / "dataset"),
        "output_dir": str(tmp_path / "out"),
        "show_progress": False,
        "epochs": 1,
    }


@pytest.mark.parametrize("model", ["Pop", "SASRec", "BPR"])
def test_any_model_may_use_it_and_both_results_are_kept(data, model):
    result = run_recbole_edt(model, "toy", overrides={**data, "content_expert": True})
    plain = run_recbole_edt(model, "toy", overrides=data)
    assert result["without_expert"] == {part: plain[part] for part in ("valid", "test")}
    assert set(result["expert_weights"]) == {"d0", "d1", "d2"}
    # weight 0 is among the choices, so that validation cannot fall
    for domain, metrics in result["valid"]["domains"].items():
        assert metrics["ndcg@10"] >= plain["valid"]["domains"][domain]["ndcg@10"]
    assert result["artefacts"]["hash"]
    assert plain["artefacts"] is None


class Constant:
    """Scores that are drawn once."""

    def __init__(self, items):
        self.items = items

    def eval(self):
        pass

    def full_sort_predict(self, batch):
        return torch.rand(len(batch), self.items, generator=torch.Generator().manual_seed(0))


def targets_of_part(config, number):
    dataset = CrossDomainDataset(config)
    attach_artefacts(dataset)
    return Targets(dataset.build()[number], ("train", "valid", "test")[number])


@pytest.fixture
def valid(data):
    config = EDTConfig("Similarity", "toy", overrides=data)
    config["device"] = "cpu"
    return targets_of_part(config, 1)


@pytest.mark.parametrize("scope", ["target_domain", "all"])
def test_weights_are_the_best_of_the_grid_per_domain_or_for_all(valid, scope):
    model, expert = Constant(valid.part.item_num), ContentExpert(valid.part)
    grid, values = [0, 0.5, 2, 50], []
    chosen = choose_weights(model, valid, scope, expert, grid, "ndcg@10")
    assert expert.weights.tolist() == chosen
    for weight in grid:
        expert.weights[:] = weight
        ranks = rank_targets(model, valid, scope, None, expert)
        values.append(metric_values(ranks, "ndcg@10"))
    values = np.array(values)
    if scope == "all":
        assert chosen == [grid[int(values.mean(1).argmax())]] * 3
    for k in range(3) if scope == "target_domain" else ():
        assert chosen[k] == grid[int(values[:, valid.domains == k].mean(1).argmax())]


def test_a_model_that_scores_by_domain_gets_the_same_ranks_and_weights(valid):
    scores = torch.rand(valid.part.user_num, valid.part.item_num)
    ranks, weights = [], []
    for model in (Table(scores), DomainTable(scores, valid.part.item_domain)):
        expert = ContentExpert(valid.part)
        grid = [0, 0.5, 2]
        weights.append(choose_weights(model, valid, "target_domain", expert, grid, "mrr@10"))
        expert.weights[:] = torch.tensor([0.5, 1.0, 2.0])
        ranks.append(rank_targets(model, valid, "target_domain", None, expert))
    assert weights[0] == weights[1]
    np.testing.assert_array_equal(*ranks)


@pytest.mark.parametrize("grid", [[0, 1e-9], [1e-9, 0]])
def test_of_equally_good_weights_the_first_is_taken(valid, grid):
    expert = ContentExpert(valid.part)
    model = Constant(valid.part.item_num)
    chosen = choose_weights(model, valid, "target_domain", expert, grid, "ndcg@10")
    assert chosen == pytest.approx([grid[0]] * 3)


def test_weights_have_to_be_numbers(data):
    with pytest.raises(UserError, match="expert_weights"):
        EDTConfig("Pop", "toy", overrides={**data, "expert_weights": [1, "a"]})


@pytest.mark.parametrize("with_expert", [False, True])
def test_ranks_of_a_run_give_its_metrics(data, with_expert):
    keys = {**data, "content_expert": with_expert, "expert_weights": [9]}
    result = run_recbole_edt("Pop", "toy", overrides=keys)
    ranks = pd.read_csv(f"{result['run_dir']}/test_ranks.csv")
    assert len(ranks) == result["test"]["overall"]["users"]
    for domain, metrics in result["test"]["domains"].items():
        own = ranks[ranks["domain"] == domain]["rank"].to_numpy()
        assert metric_values(own, "ndcg@10").mean() == pytest.approx(metrics["ndcg@10"])
    inter = pd.read_csv(Path(data["data_path"], "toy", "toy.inter"), sep="\t")
    in_order = inter["user_id:token"].drop_duplicates()
    assert list(ranks["user_id"]) == list(in_order[in_order.isin(ranks["user_id"])])


@pytest.mark.parametrize("number", [1, 2])
def test_it_reads_neither_the_target_nor_what_follows(data, number):
    config = EDTConfig("Similarity", "toy", overrides=data)
    config["device"] = "cpu"
    targets = targets_of_part(config, number)
    expert, at = ContentExpert(targets.part), np.arange(len(targets))
    before = expert.scores(targets, at)
    items = targets.part.flat[targets.part.iid_field].tensor()
    targets.part.flat.fields[targets.part.iid_field] = items  # one that can be changed
    ends = targets.part.user_starts[targets.users + 1]
    for row, end in zip(targets.rows, ends, strict=True):
        items[row:end] = items[row] % (targets.part.item_num - 1) + 1
    assert (expert.scores(targets, at) == before).all()
    items[targets.rows - 1] = items[targets.rows - 1] % (targets.part.item_num - 1) + 1
    assert (expert.scores(targets, at) != before).any(1).all()
