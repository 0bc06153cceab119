import sys

import pytest
import yaml

from recbole_edt.cli.arguments import configuration
from recbole_edt.compare.inputs import merge_keys
from recbole_edt.config import EDTConfig, load_yaml, parse_flag, parse_value
from recbole_edt.config.layers import FLAGS_OF_PREPARE
from recbole_edt.errors import UserError
from recbole_edt.prepare.pipeline import DEFAULTS
from recbole_edt.prepare.reader import get_reader
from recbole_edt.runs import choose_folder


def complaint(*args, **kwargs):
    with pytest.raises(UserError) as caught:
        EDTConfig(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


def written(path, **keys):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(keys))
    return str(path)


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "BPR"])
@pytest.mark.parametrize("source", ["flag", "file", "dataset"])
def test_unknown_keys_are_named_with_the_nearest(tmp_path, model, source):
    keys = {"learnin_rate": 5}
    overrides = {"data_path": str(tmp_path)}
    files = []
    if source == "flag":
        overrides |= keys
    elif source == "file":
        files = [written(tmp_path / "own.yaml", **keys)]
    else:
        written(tmp_path / "toy" / "toy.yaml", **keys)
    said = complaint(model, "toy", files, overrides)
    where = {"flag": "", "file": "own.yaml: ", "dataset": "toy/toy.yaml: "}[source]
    assert said.endswith(f"{where}learnin_rate: no such key (did you mean 'learning_rate'?)")
    assert said.startswith(str(tmp_path)) == (source != "flag")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("learning_rate", "fast", "'fast'"),
        ("learning_rate", -1, "> 0"),
        ("learning_rate", True, "True"),
        ("learning_rate", None, "None"),
        ("epochs", 2.5, "2.5"),
        ("epochs", -1, ">= 0"),
        ("shared_epochs", -1, ">= 0"),
        ("shared_learning_rate", "x", "'x'"),
        ("seed", "x", "'x'"),
        ("hidden_dropout_prob", 1.5, "1.5"),
        ("adapter_dropout", -0.1, "-0.1"),
        ("candidates", "al", "(did you mean 'all'?)"),
        ("split", "leave_one_ot", "(did you mean 'leave_one_out'?)"),
        ("sampled_candidates", 0, "> 0"),
        ("sampled_candidates", "many", "'many'"),
        ("item_id_embedding", "yes please", "'yes please'"),
        ("recipe", "papr", "(did you mean 'paper'?)"),
        ("hidden_size", [64], "[64]"),
        ("train_batch_size", 0, "> 0"),
        ("load_col", "all", "'all'"),
        ("learner", "adma", "(did you mean 'adam'?)"),
        ("show_progress", 3, "3"),
        ("metrics", "NDGC", "NDGC"),
        ("metrics", [], "metrics"),
        ("topk", 0, "topk"),
        ("topk", [5, -1], "topk"),
        ("topk", "ten", "ten"),
        ("valid_metric", "NDGC@10", "NDGC"),
        ("valid_metric", "NDCG", "NDCG"),
        ("group_edges", {"history": [3]}, "group_edges"),
        ("seed", -1, ">= 0"),
        ("sampled_candidates", 9.5, "a whole number"),
        ("sampled_candidates", [5], "a whole number"),
        ("shared_epochs", [3], "a whole number"),
        ("domain_lr_patience", 2.5, "a whole number"),
        ("domain_lr_scheduler", ["none"], "text"),
        ("train_neg_sample_args", 5, "a mapping"),
        ("train_neg_sample_args", {"distrbution": "popularity"}, "did you mean 'distribution'"),
    ],
)
def test_wrong_values_are_named(key, value, said):
    text = complaint("LLMEDT", "toy", overrides={key: value})
    assert key in text
    assert said in text


@pytest.mark.parametrize("key", ["eval_args", "benchmark_filename", "checkpoint_dir",
                                 "user_inter_num_interval", "save_dataset"])  # fmt: skip
def test_recbole_keys_with_a_successor_say_so(key):
    assert f"{key}: not used here" in complaint("SASRec", "toy", overrides={key: "x"})


def test_unknown_models_are_named_with_the_nearest():
    assert "did you mean 'SASRec'" in complaint("SASRek", "toy")
    assert "did you mean 'LLMEDT'" in complaint("LLMETD", "toy")
    assert "DeepFM needs context features" in complaint("DeepFM", "toy")
    assert "FEARec reads padded histories of all rows" in complaint("FEARec", "toy")
    assert "DIEN needs a DIENDataset" in complaint("DIEN", "toy")
    assert "model: missing" in complaint(None, "toy")
    assert "dataset: missing" in complaint("SASRec")
    assert "dataset: found 2018, expected a name" in complaint(
        "SASRec", overrides={"dataset": 2018}
    )
    assert "plain name" in complaint("SASRec", "../toy")


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "BPR"])
def test_a_written_configuration_can_be_fed_back(tmp_path, model):
    first = EDTConfig(model, "toy", overrides={"seed": 3, "output_dir": str(tmp_path)}).to_dict()
    file = written(tmp_path / "config.yaml", **first)
    again = EDTConfig(config_files=[file]).to_dict()
    assert again == first
    assert choose_folder(again, False) == choose_folder(first, False)
    other = EDTConfig(config_files=[file], overrides={"seed": 4}).to_dict()
    assert choose_folder(other, False) != choose_folder(first, False)
    elsewhere = EDTConfig(config_files=[file], overrides={"data_path": str(tmp_path)}).to_dict()
    assert choose_folder(elsewhere, False) == choose_folder(first, False)


def test_later_layers_win(tmp_path):
    """Package, recipe, the dataset's own file, the caller's files in order, the caller's keys."""

    def seen(files=(), **overrides):
        overrides["data_path"] = str(tmp_path)
        return EDTConfig("LLMEDT", "toy", files, overrides)["hidden_dropout_prob"]

    recipe = EDTConfig("LLMEDT", "toy")["hidden_dropout_prob"]
    assert seen() == recipe
    assert seen(recipe="paper") != recipe
    written(tmp_path / "toy" / "toy.yaml", hidden_dropout_prob=0.2)
    assert seen() == seen(recipe="paper") == 0.2
    files = [written(tmp_path / f"{n}.yaml", hidden_dropout_prob=n / 10) for n in (3, 4)]
    assert seen(files[:1]) == 0.3
    assert seen(files) == 0.4
    assert seen(files[::-1]) == 0.3
    assert seen(files, hidden_dropout_prob=0.5) == 0.5


def test_the_datasets_own_file_may_choose_the_recipe(tmp_path):
    written(tmp_path / "toy" / "toy.yaml", recipe="paper", n_heads=4)
    config = EDTConfig("LLMEDT", "toy", overrides={"data_path": str(tmp_path)})
    assert (config["recipe"], config["item_projection"], config["n_heads"]) == ("paper", "mlp", 4)
    assert (
        EDTConfig("LLMEDT", "toy", overrides={"data_path": str(tmp_path), "recipe": "full"})[
            "item_projection"
        ]
        == EDTConfig("LLMEDT", "none")["item_projection"]
    )


def test_replaced_keys_are_refused_in_the_datasets_own_file(tmp_path):
    written(tmp_path / "toy" / "toy.yaml", eval_args={"order": "RO"})
    assert "eval_args" in complaint("SASRec", "toy", overrides={"data_path": str(tmp_path)})


def test_a_file_may_name_model_dataset_and_recipe(tmp_path):
    file = written(tmp_path / "own.yaml", model="LLMEDT", dataset="toy", recipe="paper")
    config = EDTConfig(config_files=[file])
    assert (config["model"], config["dataset"], config["item_projection"]) == (
        "LLMEDT", "toy", "mlp",
    )  # fmt: skip
    assert EDTConfig("SASRec", "toy", overrides={})["model"] == "SASRec"


def test_one_configuration_leaves_no_trace_in_the_next():
    first = EDTConfig("LLMEDT", "toy")
    plain, keys = first.to_dict(), list(first.parameters["Dataset"])
    EDTConfig("LLMEDT", "ml-100k-genres", overrides={"epochs": 1, "recipe": "paper"})
    EDTConfig("SASRec", "toy")
    again = EDTConfig("LLMEDT", "toy")
    assert again.to_dict() == plain
    assert again.parameters["Dataset"] == keys  # RecBole lets this list grow with every dataset


def test_the_programs_own_arguments_are_left_alone(monkeypatch):
    argv = ["pytest", "--epochs=77", "--nonsense", "-x"]
    monkeypatch.setattr(sys, "argv", argv)
    assert EDTConfig("SASRec", "toy")["epochs"] != 77
    complaint("SASRec", "toy", overrides={"epochs": -1})
    assert sys.argv is argv


def test_texts_are_never_evaluated():
    config = EDTConfig("LLMEDT", "toy", overrides={"text_template": "__import__('os').getcwd()"})
    assert config["text_template"] == "__import__('os').getcwd()"
    assert parse_value("__import__('os').getcwd()") == "__import__('os').getcwd()"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E-3", 0.001),
        ("2", 2),
        ("-.5", -0.5),
        ("0.5", 0.5),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("{title}", "{title}"),
        ("NDCG@10", "NDCG@10"),
        ("@10", "@10"),
        ("a: b: c", "a: b: c"),
        ("no", False),
        ("'7'", "7"),
    ],
)
def test_values_of_flags(text, value):
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("content", "said"),
    [("- a\n- b\n", "expected lines"), ("a: [1\n", "not valid YAML"), ("just text", "expected")],
)
def test_malformed_files_are_named(tmp_path, content, said):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such configuration file"):
        load_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text", ["2016", "2024_11_28", "007", "1e3", "yes", "12:30:00", "0x10", "1.0"]
)
def test_keys_that_are_text_stay_as_written(tmp_path, text):
    file = tmp_path / "a.yaml"
    file.write_text(f"dataset: {text}\noutput_dir: {text}\nmodels: [{text}, 'b']\nepochs: 1_0\n")
    expected = {"dataset": text, "output_dir": text, "models": [text, "b"], "epochs": 10}
    assert load_yaml(file) == expected
    for key in ("dataset", "output_dir", "data_path", "llm_revision", "shared_run"):
        assert parse_flag(key, text) == text
    assert parse_flag("output_dir", f"'{text}'") == text
    file.write_text(f"dataset: {text}\noutput_dir: {text}\n")
    assert EDTConfig("SASRec", config_files=[file]).to_dict()["output_dir"] == text


@pytest.mark.parametrize("key", ["output_dir", "data_path"])
def test_a_folder_has_a_name_and_may_be_below_home(tmp_path, monkeypatch, key):
    monkeypatch.setenv("HOME", str(tmp_path))
    for nothing in ("", None, " "):
        said = complaint("SASRec", "toy", overrides={key: nothing})
        assert said == f"{key}: found nothing, expected a folder; '.' is the present one"
    file = tmp_path / "a.yaml"
    file.write_text(f"{key}:\n")
    assert complaint("SASRec", "toy", [file]).startswith(f"{file}: {key}: found nothing")
    for text, expected in [("'~'", tmp_path), ("~/a b", tmp_path / "a b"), ("a~", "a~")]:
        file.write_text(f"{key}: {text}\n")
        assert EDTConfig("SASRec", "toy", [file]).to_dict()[key] == str(expected)


def test_keys_that_are_no_text_are_read_as_yaml():
    assert parse_flag("epochs", "3") == 3
    assert parse_flag("lr_scheduler", "none") == "none"
    assert parse_flag("shared_run", "None") is None
    assert parse_flag("output_dir", "") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preload_weight", {"item_id": "x"}),
        ("additional_feat_suffix", ["ent"]),
        ("device", "cuda"),
        ("gpu_id", "cuda:0"),
        ("gpu_id", [0]),
    ],
)
def test_keys_without_effect_are_refused(key, value):
    assert complaint("SASRec", "toy", overrides={key: value}).startswith(f"{key}: ")
    EDTConfig("SASRec", "toy", overrides={"preload_weight": None, "gpu_id": "0,1"})


@pytest.mark.parametrize(
    ("key", "said"),
    [("val_interval", "--min_rating"), ("user_inter_num_interval", "--max_user_inter"),
     ("rm_dup_inter", "--duplicates"),
     ("benchmark_filename", "prepare csv --train=FILE")],
)  # fmt: skip
def test_refusals_point_to_what_exists(key, said):
    assert said in complaint("SASRec", "toy", overrides={key: "x"})


def test_repeats_are_ranked_among_all_only():
    assert "candidates: all" in complaint("BPR", "toy", overrides={"repeatable": True})
    EDTConfig("BPR", "toy", overrides={"repeatable": True, "candidates": "all"})


@pytest.mark.parametrize("text", ["{max_norm:1.0", "{a:[1]}", "[1, 2", "{a: 1}}"])
def test_a_flag_that_is_no_yaml_is_no_text(text):
    for key in ("clip_grad_norm", "topk", "load_col"):
        with pytest.raises(UserError, match=f"^{key}: .* is no YAML; expected brackets in pairs"):
            parse_flag(key, text)
    assert parse_flag("text_template", "{title}: [") == "{title}: ["


def test_paths_of_configuration_files_may_have_blanks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my own.yaml", "b.yaml"):
        (tmp_path / name).write_text("epochs: 3\n")
    base = {"model": "SASRec", "dataset": "toy"}
    for files in ("my own.yaml", "'my own.yaml' b.yaml", "b.yaml", "b.yaml my own.yaml  b.yaml"):
        assert configuration(base | {"config_files": files})["epochs"] == 3
        assert merge_keys({"config_files": files}) == {"epochs": 3}  # of compare and tune
    for files, missing in (("my own.yml", "my"), ("b.yaml c.yaml", "c.yaml"), ("b.yaml c d", "c")):
        with pytest.raises(UserError, match=f"config_files: no file '{missing}'; .* quotes"):
            configuration(base | {"config_files": files})
    with pytest.raises(UserError, match=r"^c\.yaml: no such configuration file$"):
        configuration(base | {"config_files": "c.yaml"})
    with pytest.raises(UserError, match="config_files: No closing quotation"):
        configuration(base | {"config_files": "'my own.yaml"})


def test_a_flag_of_prepare_is_no_key():
    flags = {flag for reader in ("csv", "amazon") for flag in every_flag(reader)}
    assert {*FLAGS_OF_PREPARE} <= flags
    said = complaint("SASRec", "toy", overrides={"min_rating": 3})
    assert said == "min_rating: no such key; it is a flag of 'recbole-edt prepare'"


def every_flag(reader):
    return {*DEFAULTS, *get_reader(reader).defaults}


def test_dates_stay_text_and_folders_may_look_like_numbers():
    assert parse_value("2024-05-13") == "2024-05-13"
    config = EDTConfig("SASRec", "toy", overrides={"output_dir": 20240601})
    assert choose_folder(config.to_dict(), False)[0].path.parts[0] == "20240601"


def test_keys_of_files_are_names(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("on: 3\n")
    with pytest.raises(UserError, match=r"a\.yaml: found the key True, expected a name"):
        load_yaml(file)
