"""Validation on a sample of users: the same one for all, part of the protocol, test untouched."""

import numpy as np
import pytest

from recbole_edt.errors import UserError
from recbole_edt.evaluation.targets import Targets
from recbole_edt.quick_start import run_recbole_edt


def test_some_users_with_all_their_targets_in_the_same_order(make_dataset, targets_of):
    everyone = targets_of(make_dataset(users=60), part="valid")
    some = Targets(everyone.part, "valid", 25)
    assert len(np.unique(some.users)) == 25
    kept = np.isin(everyone.users, some.users)
    np.testing.assert_array_equal(some.rows, everyone.rows[kept])
    again = Targets(everyone.part, "valid", 25)
    np.testing.assert_array_equal(again.rows, some.rows)
    assert len(Targets(everyone.part, "valid", 10_000)) == len(everyone)


def test_sampled_candidates_are_those_of_the_whole_part(make_dataset, targets_of):
    everyone = targets_of(make_dataset(users=60), part="valid")
    some = Targets(everyone.part, "valid", 25)
    items, draw = some.sampled_candidates(4, "target_domain")
    whole, same_draw = everyone.sampled_candidates(4, "target_domain")
    np.testing.assert_array_equal(items, whole[np.isin(everyone.rows, some.rows)])
    assert draw == same_draw


def test_a_sample_without_a_domain_is_refused(make_dataset, targets_of):
    everyone = targets_of(make_dataset(users=60), part="valid")
    with pytest.raises(UserError, match="valid_users: the 1 users drawn have no target of domain"):
        Targets(everyone.part, "valid", 1)


def test_a_run_validates_on_the_sample_and_tests_on_all(tmp_path, make_dataset):
    make_dataset(users=60)
    keys = {
        "data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out"),
        "show_progress": False, "epochs": 1,
    }  # fmt: skip
    full = run_recbole_edt("Pop", "toy", overrides=keys)
    some = run_recbole_edt("Pop", "toy", overrides={**keys, "valid_users": 25})
    assert some["protocol"] == {**full["protocol"], "valid_users": 25}
    assert some["valid"]["overall"]["users"] == 25 < full["valid"]["overall"]["users"]
    assert some["test"] == full["test"]
    assert some["run_dir"] != full["run_dir"]
    with pytest.raises(UserError, match="valid_users"):
        run_recbole_edt("Pop", "toy", overrides={**keys, "valid_users": 0})
