"""With ``candidates: all`` RecBole's own models end with the numbers of RecBole's own Trainer."""

import functools
import itertools

import pytest
import synthetic
import torch
from stock import stock_config

from recbole_edt.quick_start import run_recbole_edt

from recbole.data import create_dataset, data_preparation  # isort: skip  (shims first)
from recbole.evaluator.collector import Collector, DataStruct  # isort: skip
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
OF_LISTS = ["Hit", "NDCG", "ItemCoverage", "GiniIndex", "ShannonEntropy"]
OF_ITEMS = ["AveragePopularity", "TailPercentage"]  # RecBole counts other rows of sequential models
MODELS = {
    "SASRec": {**SMALL, "train_neg_sample_args": None, "metrics": OF_LISTS},
    "GRU4Rec": {
        "embedding_size": 16,
        "hidden_size": 16,
        "MAX_ITEM_LIST_LENGTH": 10,
        "learning_rate": 0.01,
        "train_neg_sample_args": None,
    },
    "BERT4Rec": {**SMALL, "train_neg_sample_args": None},
    "BPR": {"embedding_size": 16, "learning_rate": 0.01, "metrics": [*OF_LISTS, *OF_ITEMS]},
    "Pop": {"metrics": [*OF_LISTS, *OF_ITEMS]},
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


def collected(collector):
    """Return what RecBole 1.2.1 has collected; its own method calls ``.cpu()`` of numbers too.

    So it stops with an error as soon as ItemCoverage and the like are among the metrics.
    """
    given, result = collector.data_struct, DataStruct()
    for name in list(given._data_dict):
        value = given.get(name)
        result.set(name, value.cpu() if torch.is_tensor(value) else value)
        if name.startswith("rec."):
            del given[name]
    return result


@pytest.fixture(scope="module")
def ml100k_repeated(tmp_path_factory):
    """Return the folder of 60 ml-100k users who come back to every third of their items."""
    folder = synthetic.make_ml100k(tmp_path_factory.mktemp("repeated"), "ml-repeated", users=60)
    path = folder / "ml-repeated.inter"
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    by_user = {user: list(some) for user, some in itertools.groupby(rows, lambda row: row[0])}
    for user, some in by_user.items():
        last = int(some[-1][2])
        some += [[user, item, last + 1 + n] for n, (_, item, _) in enumerate(some[::3])]
    synthetic.write_inter(path, [row for some in by_user.values() for row in some])
    return folder


def assert_same_numbers(model, folder, keys, tmp_path, monkeypatch):
    """Train and test with RecBole and with this package; return our record."""
    monkeypatch.chdir(tmp_path)  # RecBole writes logs into the working directory
    with monkeypatch.context() as patch:  # RecBole reloads its best model with torch's old default
        patch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
        patch.setattr(Collector, "get_data_struct", collected)
        epochs, valid, test = stock_run(model, folder, tmp_path, keys)
    ours = run_recbole_edt(
        model,
        folder.name,
        overrides={
            **keys,
            "data_path": str(folder.parent),
            "output_dir": str(tmp_path / "output"),
            "candidates": "all",
        },
    )
    assert test["ndcg@10"] > 0
    assert [phase["epochs"] for phase in ours["phases"]] == [epochs]
    for part, theirs in (("valid", valid), ("test", test)):
        for metric, value in theirs.items():
            mine = round(ours[part]["overall"][metric], 4)
            assert mine == pytest.approx(value, abs=1e-9), (part, metric)
    return ours


@pytest.mark.parametrize("model", MODELS)
def test_same_numbers_as_recbole(model, ml100k_small, tmp_path, monkeypatch):
    keys = {**COMMON, **MODELS[model]}
    assert_same_numbers(model, ml100k_small, keys, tmp_path, monkeypatch)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("model", ["BPR", "Pop"])
def test_same_numbers_where_users_repeat_items(
    model, repeatable, ml100k_repeated, tmp_path, monkeypatch
):
    keys = {**COMMON, **MODELS[model], "repeatable": repeatable}
    ours = assert_same_numbers(model, ml100k_repeated, keys, tmp_path, monkeypatch)
    # the last item of each user is one of the first ones again
    assert ours["protocol"]["repeated"] == ours["test"]["overall"]["users"] == 60
