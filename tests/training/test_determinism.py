"""Batches so large that torch works on them with several threads: the sums must not differ."""

import pytest
import torch

from recbole_edt.quick_start import run_recbole_edt

pytestmark = pytest.mark.slow


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_same_seed_same_numbers_on_two_threads(tmp_path, two_threads):
    keys = {
        "data_path": str(tmp_path / "data"),  # prepared by the first run
        "output_dir": str(tmp_path / "out"),
        "epochs": 1,
        # 128 x 20 x 32 numbers per layer are still enough for torch to use both threads
        "hidden_size": 32,
        "inner_size": 64,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 20,
        "phases": ["shared"],
        "show_progress": False,
    }
    curves = []
    for _ in range(2):
        result = run_recbole_edt("LLMEDT", "ml-100k-genres", overrides=keys)
        with open(f"{result['run_dir']}/curves.csv", encoding="utf-8") as file:
            header, row = (line.strip().split(",") for line in file)
        curves.append({k: v for k, v in zip(header, row, strict=True) if k != "seconds"})
    assert curves[0] == curves[1]  # the loss to its last digit
