"""The frozen draw of candidates that all models share."""

import numpy as np
import pandas as pd
import pytest
from forks import output_of, start_python
from scorers import random_table
from synthetic import hash_tree, write_inter, write_items

from recbole_edt.errors import UserError
from recbole_edt.evaluation.ranking import rank_targets

SECOND_PROCESS = """
import sys
from recbole_edt.config import EDTConfig
from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.evaluation.targets import Targets
config = EDTConfig("BPR", "toy", overrides={"data_path": sys.argv[1], "seed": 5})
targets = Targets(CrossDomainDataset(config).build()[2], "test")
print(targets.sampled_candidates(3, "target_domain")[1])
"""


@pytest.fixture
def targets(make_dataset, targets_of):
    return targets_of(make_dataset(users=120))


@pytest.mark.parametrize("scope", ["target_domain", "all"])
def test_candidates_are_new_to_the_user_and_of_the_scope(targets, scope):
    part = targets.part
    drawn, _ = targets.sampled_candidates(3, scope)
    frame = pd.read_csv(part.config.dataset_dir / "toy.inter", sep="\t")
    own = frame.groupby("user_id:token")["item_id:token"].agg(set)
    users, items = part.field2id_token["user_id"], part.field2id_token["item_id"]
    assert drawn.shape == (len(targets), 3)
    for user, target, row in zip(targets.users, targets.items, drawn, strict=True):
        names = {*items[row]}
        assert len(names) == 3
        assert not names & own[users[user]]
        assert 0 not in row
        if scope == "target_domain":
            assert {*part.item_domain[row].tolist()} == {int(part.item_domain[target])}
    if scope == "all":
        assert len({*part.item_domain[drawn].flatten().tolist()}) == 3


def test_every_item_can_be_drawn_about_equally_often(make_dataset, targets_of):
    """The release can never draw the last item of a domain [code]."""
    targets = targets_of(make_dataset(users=900, domains=2))
    drawn, _ = targets.sampled_candidates(2, "target_domain")
    items = targets.part.field2id_token["item_id"]
    counts = np.bincount(drawn.flatten(), minlength=len(items))
    assert (counts[1:] > 0).all()
    for domain in ("d0", "d1"):  # nearly nobody has had these two
        low, high = sorted(counts[items == f"{domain}-{n}"].item() for n in (12, 13))
        assert low > 0.7 * high


def test_the_draw_is_the_same_for_models_seeds_and_processes(targets, targets_of):
    folder = targets.part.config.dataset_dir
    drawn, first = targets.sampled_candidates(3, "target_domain")
    other = targets_of(folder, "BPR", seed=99)
    again, second = other.sampled_candidates(3, "target_domain")
    assert first == second
    np.testing.assert_array_equal(drawn[np.argsort(targets.rows)], again[np.argsort(other.rows)])
    for path in (folder / "split").glob("*.3.*.npy"):
        path.unlink()  # a fresh draw on another machine
    assert output_of(start_python(SECOND_PROCESS, folder.parent)).strip() == first


def test_another_part_count_or_scope_is_another_draw(targets, targets_of):
    folder = targets.part.config.dataset_dir
    valid = targets_of(folder, part="valid")
    hashes = {
        targets.sampled_candidates(3, "target_domain")[1],
        targets.sampled_candidates(2, "target_domain")[1],
        targets.sampled_candidates(3, "all")[1],
        valid.sampled_candidates(3, "target_domain")[1],
    }
    assert len(hashes) == 4


def test_sampled_ranks_are_those_of_a_literal_count(targets):
    table = random_table(targets.part, levels=5)
    drawn, _ = targets.sampled_candidates(3, "target_domain")
    ranks = rank_targets(table, targets, "target_domain", sampled=3)
    for rank, user, target, row in zip(ranks, targets.users, targets.items, drawn, strict=True):
        score = table.scores[user, target]
        assert rank == 1 + sum(bool(table.scores[user, item] >= score) for item in row)


def test_damaged_draws_are_refused(targets, targets_of):
    folder = targets.part.config.dataset_dir
    targets.sampled_candidates(3, "target_domain")
    (path,) = (folder / "split").glob("*.3.*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UserError, match=path.name):
        targets_of(folder).sampled_candidates(3, "target_domain")


def test_a_draw_of_an_earlier_catalogue_is_not_read(targets, targets_of):
    """Its numbers are those of other items, once an item has moved to another row or domain."""
    folder = targets.part.config.dataset_dir
    targets.sampled_candidates(3, "target_domain")
    items = folder / "toy.item"
    items.write_text(items.read_text().replace("d0-5\td0\t", "d0-5\td1\t"))
    later = targets_of(folder)
    drawn, _ = later.sampled_candidates(3, "target_domain")
    domains = later.part.item_domain[drawn].numpy()
    np.testing.assert_array_equal(domains, np.tile(later.domains[:, None], 3))


def test_drawing_in_pieces_draws_the_same(targets, targets_of, monkeypatch):
    folder = targets.part.config.dataset_dir
    whole = targets.sampled_candidates(3, "target_domain")
    (path,) = (folder / "split").glob("*.3.*.npy")
    path.unlink()
    monkeypatch.setattr("recbole_edt.evaluation.sampled_candidates._MOST_DRAWN", 200)
    pieces = targets_of(folder).sampled_candidates(3, "target_domain")
    np.testing.assert_array_equal(pieces[0], whole[0])
    assert pieces[1] == whole[1]


def test_too_few_candidates_are_refused_and_nothing_is_left(targets):
    folder = targets.part.config.dataset_dir
    before = hash_tree(folder)
    with pytest.raises(UserError, match="sampled_candidates"):
        targets.sampled_candidates(14, "target_domain")
    assert hash_tree(folder) == before


def test_just_enough_candidates_are_all_drawn(tmp_path, targets_of):
    folder = tmp_path / "tight"
    rows = [(f"u{u}", f"a{i}", 100 * u + i) for u in range(3) for i in range(36)]
    write_inter(folder / "tight.inter", rows)
    write_items(
        folder / "tight.item", [(f"a{i}", "a") for i in range(40)] + [("b", "b"), ("c", "b")]
    )
    targets = targets_of(folder)
    drawn, _ = targets.sampled_candidates(4, "target_domain")
    names = targets.part.field2id_token["item_id"][drawn]
    assert [sorted(row) for row in names] == [["a36", "a37", "a38", "a39"]] * 3
