"""With ``candidates: all`` RecBole's own models end with the numbers of RecBole's own Trainer."""

import functools

import pytest
import torch
from stock import stock_config

from recbole_edt.quick_start import run_recbole_edt

from recbole.data import create_dataset, data_preparation  # isort: skip  (shims first)
from recbole.utils import get_model, get_trainer, init_seed  # isort: skip

COMMON = {
    "epochs": 4,
    "stopping_step": 0,
    "train_batch_size": 256,
    "metrics": ["Hit", "NDCG"],
    "topk": [10],
    "valid_metric": "NDCG@10",
    "seed": 7,
    "show_progress": False,
    "use_gpu": False,
}
SMALL = {
    "n_layers": 1,
    "hidden_size": 16,
    "inner_size": 16,
    "MAX_ITEM_LIST_LENGTH": 10,
    "learning_rate": 0.01,
}
MODELS = {
    "SASRec": {**SMALL, "train_neg_sample_args": None},
    "GRU4Rec": {
        "embedding_size": 16,
        "hidden_size": 16,
        "MAX_ITEM_LIST_LENGTH": 10,
        "learning_rate": 0.01,
        "train_neg_sample_args": None,
    },
    "BERT4Rec": {**SMALL, "train_neg_sample_args": None},
    "BPR": {"embedding_size": 16, "learning_rate": 0.01},
    "Pop": {},
    # both keep what they computed from their weights at the last validation
    "LightGCN": {"embedding_size": 16, "learning_rate": 0.05},
    "DMF": {"learning_rate": 0.05},
}


def stock_run(model, folder, tmp_path, keys):
    """Train and test with plain RecBole; return epochs, validation and test metrics."""
    config = stock_config(model, folder, checkpoint_dir=str(tmp_path / "saved"), **keys)
    init_seed(config["seed"], config["reproducibility"])
    train, valid, test = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    network = get_model(model)(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    scores = []
    _, best = trainer.fit(
        train, valid, verbose=False, callback_fn=lambda epoch, score: scores.append(score)
    )
    return len(scores), best, trainer.evaluate(test, load_best_model=True)


@pytest.mark.parametrize("model", MODELS)
def test_same_numbers_as_recbole(model, ml100k_small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # RecBole writes logs into the working directory
    keys = {**COMMON, **MODELS[model]}
    with monkeypatch.context() as patch:  # RecBole reloads its best model with torch's old default
        patch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
        epochs, valid, test = stock_run(model, ml100k_small, tmp_path, keys)
    ours = run_recbole_edt(
        model,
        ml100k_small.name,
        overrides={
            **keys,
            "data_path": str(ml100k_small.parent),
            "output_dir": str(tmp_path / "output"),
            "candidates": "all",
        },
    )
    assert test["ndcg@10"] > 0
    assert [phase["epochs"] for phase in ours["phases"]] == [epochs]
    for part, theirs in (("valid", valid), ("test", test)):
        for metric in ("hit@10", "ndcg@10"):
            mine = round(ours[part]["overall"][metric], 4)
            assert mine == pytest.approx(theirs[metric], abs=1e-9), (part, metric)
