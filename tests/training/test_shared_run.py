"""Reuse of the shared phase of a finished run."""

import csv
from pathlib import Path

import pytest

from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.files import write_json
from recbole_edt.runs import execute
from recbole_edt.training.checkpoint import load_tensors, save_tensors
from recbole_edt.training.shared_run import shared_settings

pytestmark = pytest.mark.slow

SMALL = {"hidden_size": 8, "inner_size": 8, "show_progress": False, "epochs": 2}


@pytest.fixture
def dataset(make_dataset, give_vectors):
    folder = make_dataset()
    give_vectors(folder)
    return folder


@pytest.fixture
def run(dataset, tmp_path):
    def run(model="LLMEDT", shared_from=None, **keys):
        places = {"data_path": str(dataset.parent), "output_dir": str(tmp_path / "out")}
        config = EDTConfig(model, "toy", overrides={**SMALL, **places, **keys})
        folder, record = execute(config, shared_from=shared_from)
        return {**record.to_dict(), "run_dir": str(folder.path)}

    return run


def other_titles(dataset, give_vectors):
    items = dataset / "toy.item"
    items.write_text(items.read_text().replace("title of", "another name of"))
    give_vectors(dataset)


def test_only_the_domain_phase_is_trained_and_starts_where_the_other_did(run):
    first = run()
    second = run(shared_run=first["run_dir"], adapter_size=3)
    assert second["phases"][0] == first["phases"][0]
    assert second["phases"][1]["epochs"] == 2
    log = Path(second["run_dir"], "train.log").read_text()
    assert "shared epoch" not in log
    assert f"shared phase reused from {first['run_dir']}" in log


def test_a_run_of_the_shared_phase_only_is_reused_too(run):
    first = run(phases=["shared"])
    second = run(shared_run=first["run_dir"])
    assert second["phases"][0]["test"] == first["test"]


def test_a_sasrec_with_vectors_is_a_shared_phase_too(run):
    first = run("SASRecLLM")
    second = run(shared_run=first["run_dir"])
    assert second["phases"][0]["test"] == first["test"]
    assert second["phases"][0]["name"] == "shared"


def test_the_domain_phase_is_that_of_an_unbroken_run(run):
    keys = {"hidden_dropout_prob": 0.3, "domain_epochs": 3}
    whole = run(**keys)
    shared = run("SASRecLLM", hidden_dropout_prob=0.3)
    taken = run(shared_run=shared["run_dir"], **keys)
    for part in ("valid", "test"):
        assert taken[part] == whole[part]
    curves = [losses(one) for one in (whole, taken)]
    assert len(curves[0]) == 2 + 1 + 3  # validation of the domain phase begins at "no change"
    assert curves[0] == curves[1]


def losses(metrics):
    with open(Path(metrics["run_dir"], "curves.csv"), newline="") as handle:
        return [(row["phase"], row["epoch"], row["loss"]) for row in csv.DictReader(handle)]


def test_a_run_of_another_model_is_refused(run):
    first = run("SASRec")
    with pytest.raises(UserError, match="model is SASRec, expected LLMEDT or SASRecLLM"):
        run(shared_run=first["run_dir"])


def test_a_run_of_the_shared_phase_only_reuses_nothing(run):
    first = run()
    with pytest.raises(UserError, match=r"phases is \['shared'\]; expected a phase after"):
        run(shared_run=first["run_dir"], phases=["shared"])


def test_settings_that_the_shared_phase_does_not_see_may_differ(run):
    first = run()
    second = run(
        shared_run=first["run_dir"], domain_learning_rate=0.01, adapter_dropout=0.1,
        content_expert=True, beta=0.7, domain_epochs=1,
    )  # fmt: skip
    assert second["phases"][0]["test"] == first["phases"][0]["test"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seed": 7}, "seed is 2026, expected 7"),
        ({"hidden_size": 16}, "hidden_size is 8, expected 16"),
        ({"shared_learning_rate": 0.1}, r"learning_rate is 0\.001, expected 0\.1"),
        ({"hidden_dropout_prob": 0.1}, r"hidden_dropout_prob is 0\.4, expected 0\.1"),
        ({"shared_run": "nowhere"}, "nowhere: found no metrics.json"),
    ],
)
def test_what_does_not_fit_is_refused(run, keys, message):
    first = run()
    with pytest.raises(UserError, match=message):
        run(**{"shared_run": first["run_dir"], **keys})


OF_THE_SHARED_PHASE = (
    ("dataset", "other"), ("seed", 7), ("split", "time"), ("candidates", "all"),
    ("valid_metric", "MRR@10"), ("MAX_ITEM_LIST_LENGTH", 7), ("encoder", "other"),
    ("text_template", "{brand}"), ("hidden_size", 24), ("n_layers", 3), ("hidden_act", "relu"),
    ("attn_dropout_prob", 0.9), ("item_projection", "mlp"), ("item_bias", "none"),
    ("item_id_embedding", False), ("loss_type", "SS"), ("loss_scope", "all"),
    ("num_negatives", 3), ("unseen_negatives", True), ("state_scale", 0.9),
    ("input_scale", 2.0), ("new_item_neighbours", 9), ("train_batch_size", 9),
    ("learner", "sgd"), ("epochs", 3), ("shared_epochs", 3), ("shared_min_epochs", 3),
    ("shared_clip_grad_norm", {"max_norm": 1}), ("shared_average_epochs", 2.0),
    ("shared_weight_decay", 0.5), ("shared_lr_scheduler", "plateau"), ("augment", True),
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "key", "other"),
    [
        (model, key, other)
        for model in ("LLMEDT", "SASRecLLM")
        for key, other in OF_THE_SHARED_PHASE
        if model == "LLMEDT" or not key.startswith("shared_")  # of one phase: the general key
    ],
)
def test_what_the_shared_phase_depends_on(model, key, other):
    settings = EDTConfig(model, "toy").to_dict()
    assert settings.get(key) != other
    assert shared_settings({**settings, key: other}) != shared_settings(settings)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("phases", ["shared"]), ("domain_epochs", 3), ("domain_loss_type", "x"), ("beta", 3.0),
        ("adapter_size", 3), ("profiles", True), ("profile_shuffle", True), ("temperature", 3.0),
        ("content_expert", True), ("expert_items", 3), ("sampled_candidates", 5),
        ("output_dir", "x"), ("show_progress", False), ("augment_rate", 0.9), ("llm", "x"),
    ],
)  # fmt: skip
def test_what_the_shared_phase_does_not_depend_on(key, other):
    settings = EDTConfig("LLMEDT", "toy").to_dict()
    assert shared_settings({**settings, key: other}) == shared_settings(settings)


def test_augmentation_counts_where_it_is_read():
    settings = {**EDTConfig("LLMEDT", "toy").to_dict(), "augment": True}
    for key in ("augment_rate", "augment_mode", "llm"):
        assert shared_settings({**settings, key: "other"}) != shared_settings(settings)


def test_a_shared_phase_of_another_split_is_refused_without_artefacts_too(run, dataset):
    keys = {"item_projection": "none", "augment": False}
    first = run(**keys)
    assert first["artefacts"] is None
    write_json(
        Path(first["run_dir"], "metrics.json"),
        {**first, "protocol": {**first["protocol"], "split_hash": "0" * 64}},
    )
    with pytest.raises(UserError, match="split 000000000000, but as the dataset is now"):
        run(shared_run=first["run_dir"], adapter_size=3, **keys)


def test_a_shared_phase_on_other_item_vectors_is_refused(run, dataset, give_vectors):
    first = run()
    other_titles(dataset, give_vectors)
    with pytest.raises(UserError, match=r"artefacts [0-9a-f]{12}, but as the dataset is now"):
        run(shared_run=first["run_dir"])


def test_a_key_younger_than_the_run_has_its_default(run):
    first = run()
    file = Path(first["run_dir"], "config.yaml")
    lines = [one for one in file.read_text().splitlines() if not one.startswith("average_epochs:")]
    file.write_text("\n".join(lines))
    assert run(shared_run=first["run_dir"])["phases"][0] == first["phases"][0]
    with pytest.raises(UserError, match=r"average_epochs is 0\.0, expected 3"):
        run(shared_run=first["run_dir"], average_epochs=3)


def test_a_configuration_without_a_model_is_refused(run):
    first = run()
    Path(first["run_dir"], "config.yaml").write_text("seed: 2026\n")
    with pytest.raises(UserError, match="model: missing"):
        run(shared_run=first["run_dir"])


def damage_weights(first, dataset, give_vectors):
    (tensors,) = Path(first["run_dir"], "checkpoint").glob("*.safetensors")
    tensors.unlink()


def rename_weights(first, dataset, give_vectors):
    (path,) = Path(first["run_dir"], "checkpoint").glob("*.safetensors")
    renamed = {k.replace("backbone", "spine"): v for k, v in load_tensors(path).items()}
    save_tensors(path, renamed)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage_weights, "no such checkpoint file"),
        (rename_weights, "of another model"),
        (lambda first, *toys: other_titles(*toys), "artefacts"),
    ],
)
def test_what_a_comparison_found_is_trained_where_it_does_not_fit(
    run, dataset, give_vectors, harm, reason
):
    first = run("SASRecLLM")
    harm(first, dataset, give_vectors)
    second = run(shared_from=Path(first["run_dir"]))
    log = Path(second["run_dir"], "train.log").read_text()
    (told,) = (line for line in log.splitlines() if "trained anew" in line)
    assert reason in told
    whole = run()
    assert second["test"] == whole["test"]
    assert losses(second) == losses(whole)
