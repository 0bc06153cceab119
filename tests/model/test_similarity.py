"""Similarity of items to the last ones of a history, against plain loops."""

from pathlib import Path

import pytest
import torch

from recbole_edt.model.similarity import last_items, similarity_scores, unit_vectors
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import RunFolder, load_run


def test_last_items_come_latest_first():
    items = torch.tensor([[4, 5, 6, 0], [7, 0, 0, 0]])
    assert last_items(items, torch.tensor([3, 1]), 2).tolist() == [[6, 5], [7, 0]]


def test_scores_in_pieces_are_the_same(monkeypatch):
    unit = unit_vectors(torch.randn(9, 5, generator=torch.Generator().manual_seed(0)))
    recent = torch.tensor([[3, 1, 8], [2, 0, 0], [0, 0, 0], [4, 4, 1], [7, 0, 0]])
    whole = similarity_scores(unit, recent, "max", 0.1)
    for most in (2 * 3 * 9, 3 * 4):  # two users at a time; four items of one user
        monkeypatch.setattr("recbole_edt.model.similarity._MOST_SIMILARITIES", most)
        torch.testing.assert_close(similarity_scores(unit, recent, "max", 0.1), whole)
    some = similarity_scores(unit, recent, "max", 0.1, unit[[2, 5, 6]])
    torch.testing.assert_close(some, whole[:, [2, 5, 6]])


@pytest.mark.parametrize("how", ["max", "mean", "last"])
def test_scores_are_those_of_the_definition(how):
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(9, 5, generator=generator)
    vectors[0] = 0
    recent = torch.tensor([[3, 1, 8], [2, 0, 0], [0, 0, 0]])
    scores = similarity_scores(unit_vectors(vectors), recent, how, 0.1)
    cosine = torch.nn.functional.cosine_similarity
    for row, items in enumerate([[3, 1, 8], [2], []]):
        for item in range(1, 9):
            each = [float(cosine(vectors[item], vectors[j], dim=0)) for j in items]
            expected = {
                "max": max([c - 0.1 * lag for lag, c in enumerate(each)], default=0.0),
                "mean": None,
                "last": each[0] if each else 0.0,
            }[how]
            if how == "mean":
                unit = vectors[items] / vectors[items].norm(dim=1, keepdim=True)
                direction = unit.mean(0) if items else torch.zeros(5)
                expected = float(direction @ vectors[item] / vectors[item].norm())
            assert float(scores[row, item]) == pytest.approx(expected, abs=1e-5)


def test_the_rung_runs_without_training(tmp_path, make_dataset, give_vectors):
    give_vectors(make_dataset(), size=12)
    places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
    result = run_recbole_edt("Similarity", "toy", overrides={**places, "show_progress": False})
    assert result["phases"][0]["epochs"] == 1
    assert result["artefacts"]["hash"]
    assert 0 < result["test"]["overall"]["ndcg@10"] < 1


def test_popularity_counts_training_rows_whatever_the_seed(tmp_path, make_dataset):
    make_dataset()
    places = {"data_path": str(tmp_path / "dataset"), "output_dir": str(tmp_path / "out")}
    keys = {**places, "show_progress": False}
    runs = [run_recbole_edt("Popularity", "toy", overrides={**keys, "seed": s}) for s in (1, 2)]
    assert runs[0]["test"] == runs[1]["test"]
    run = load_run(RunFolder(Path(runs[0]["run_dir"])), {"data_path": places["data_path"]})
    scores = run.model.full_sort_predict({run.model.ITEM_SEQ_LEN: torch.ones(3)})
    counts = torch.from_numpy(run.dataset.item_counts())
    assert scores.shape == (3, len(counts))
    torch.testing.assert_close(scores[2], torch.log1p(counts.float()))
