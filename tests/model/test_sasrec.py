"""The SASRec rungs: what they share with LLMEDT, and what domains share with each other."""

import pytest
import torch
import yaml
from recbole.data.interaction import Interaction
from small_baselines import MAX, histories, windows
from small_baselines import build as build_any

from recbole_edt.data.windows import ITEMS, LABELS
from recbole_edt.errors import UserError
from recbole_edt.paths import properties_dir
from recbole_edt.quick_start import run_recbole_edt

SMALL = {"hidden_size": 16, "inner_size": 32, "epochs": 2, "show_progress": False}


@pytest.fixture
def run(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset(), size=12)

    def run(model, **keys):
        places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
        return run_recbole_edt(model, "toy", overrides={**SMALL, **places, **keys})

    return run


def test_sasrec_with_vectors_is_the_shared_phase_of_llmedt(run):
    recipe = yaml.safe_load((properties_dir() / "recipe" / "full.yaml").read_text())
    of_phase_2 = ("shared", "domain", "adapter", "align")
    same = {k: v for k, v in recipe.items() if k not in SMALL and not k.startswith(of_phase_2)}
    llmedt = run("LLMEDT", phases=["shared"])
    assert run("SASRecLLM", **same)["test"] == llmedt["test"]


def test_sasrec_of_ids_needs_no_vectors(tmp_path, make_dataset):
    make_dataset()
    places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
    keys = {**SMALL, **places, "item_projection": "none"}
    result = run_recbole_edt("SASRecLLM", "toy", overrides=keys)
    assert result["artefacts"] is None
    with pytest.raises(UserError, match="item_id_embedding"):
        run_recbole_edt("SASRecLLM", "toy", overrides={**keys, "item_id_embedding": False})


def test_a_tower_sees_its_own_domain_only():
    model = build_any("SASRecSingle", n_heads=2, inner_size=16)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids = windows(rows=4)[ITEMS]
    scores = model.full_sort_predict(histories(ids))
    for row in range(4):
        for k in range(3):
            own = [i for i in ids[row].tolist() if i and model.item_domain[i] == k]
            members = model.members(k)
            vectors, bias = model.towers[k].items()
            expected = bias[1:].clone()
            if own:
                at = torch.tensor([[int(model.row_in_domain[i]) + 1 for i in own]])
                state = model.towers[k].backbone(vectors[at], model.towers[k].positions)
                expected += vectors[1:] @ state[0, -1]
            torch.testing.assert_close(scores[row, members], expected, rtol=1e-4, atol=1e-4)


def test_towers_learn_from_labels_of_their_domain_only():
    model = build_any("SASRecSingle", n_heads=2, inner_size=16)
    batch = windows(rows=4)
    in_first = model.item_domain[batch[LABELS]] == 0
    only_first = Interaction({**batch.interaction, LABELS: batch[LABELS] * in_first})
    model.calculate_loss(only_first).backward()
    touched = [any(p.grad.abs().sum() > 0 for p in t.parameters()) for t in model.towers]
    assert touched == [True, False, False]


def test_a_tower_reads_no_later_item():
    model = build_any("SASRecSingle", n_heads=2, inner_size=16)
    ids = torch.randint(1, 20, (3, MAX))
    changed = ids.clone()
    changed[:, -1] = 21
    for k in range(3):
        before, after = model.tower_states(k, ids), model.tower_states(k, changed)
        torch.testing.assert_close(before[:, :-1], after[:, :-1])


def test_one_sasrec_per_domain_has_no_loss_over_all_domains():
    with pytest.raises(UserError, match=r"loss_scope: 'all'; expected one of \['target_domain'\]"):
        build_any("SASRecSingle", 2, loss_scope="all")
