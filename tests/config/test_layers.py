"""Layers without torch, what models declare, and configurations that are never to change."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Annotated

import pytest
import yaml
from annotated_types import Gt

from recbole_edt.config import RULES, EDTConfig, KeyRule, identity, resolve
from recbole_edt.config.layers import check_phases, check_value, package_defaults, recipe_layer
from recbole_edt.config.models import OWN, ModelSpec, declared_by
from recbole_edt.config.schema import general_key
from recbole_edt.errors import UserError
from recbole_edt.files import digest
from recbole_edt.paths import properties_dir

RECIPES = ("full", "paper", "release")


def test_resolving_and_checking_load_neither_torch_nor_recbole():
    code = """
import sys
from recbole_edt.config import resolve
from recbole_edt.errors import UserError
for model in ("LLMEDT", "SASRec", "BPR"):
    assert resolve(model, "toy", (), {"epochs": 3}).values["epochs"] == 3
    for wrong in ({"epochs": -1}, {"epoch": 1}):
        try:
            resolve(model, "toy", (), wrong)
        except UserError as error:
            assert str(error).startswith("epoch")
        else:
            raise AssertionError(wrong)
assert not {"torch", "recbole"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "BPR", "ABXI"])
def test_recboles_object_holds_what_was_resolved(model):
    overrides = {"seed": 3, "topk": 5}
    resolved, config = resolve(model, "toy", (), overrides), EDTConfig(model, "toy", (), overrides)
    plain = config.to_dict()
    for key, value in resolved.values.items():
        if key in plain and key not in ("topk", "data_path"):  # a list and a path are made of them
            assert plain[key] == value, key


# The id of a run is a hash of these: a change makes every run that exists unknown to --resume.
# A key that is new in the YAML files gets the value that changes nothing in config/identity.py.
DIGESTS = {
    ("LLMEDT", "full"): "0d54b9283449",
    ("LLMEDT", "paper"): "43c983336a54",
    ("SASRecLLM", ""): "44f1b6fead3c",
    ("ABXI", ""): "366f983c3832",
    ("C2DSR", ""): "3afdb06a2973",
    ("Similarity", ""): "8e8b66236918",
    ("SASRec", ""): "87f73d9de43e",
    ("BERT4Rec", ""): "4fffd2fc3d17",
    ("BPR", ""): "346e7c87b880",
    ("LightGCN", ""): "fadf142ab56f",
    ("Pop", ""): "00e091310953",
}


@pytest.mark.parametrize(("model", "recipe"), DIGESTS)
def test_configurations_are_those_of_earlier_runs(model, recipe):
    config = EDTConfig(model, "toy", (), {"recipe": recipe} if recipe else {})
    assert digest(list(identity(config.to_dict()).items()))[:12] == DIGESTS[model, recipe]


def defaults_of(spec):
    """All defaults of a model, once per recipe."""
    defaults = package_defaults(spec, "")
    if "recipe" not in spec.keys:
        return [defaults]
    return [defaults | recipe_layer(recipe, spec, {}) for recipe in RECIPES]


@pytest.mark.parametrize("name", OWN)
def test_defaults_keep_their_rules(name):
    spec = OWN[name]
    for defaults in defaults_of(spec):
        for key, value in defaults.items():
            general = general_key(key, spec.phases)
            if general in RULES and value is not None:
                RULES[general].check(key, value)
                spec.check_choice(key, value)


@pytest.mark.parametrize("name", OWN)
def test_the_yaml_file_of_a_model_holds_what_it_declares(name):
    spec = OWN[name]
    of_every_model = package_defaults(ModelSpec(""), "").keys()
    for defaults in defaults_of(spec):
        assert defaults.keys() - of_every_model == {*spec.keys, *spec.phase_keys}


def test_every_key_in_our_yaml_files_has_a_rule():
    for part in ("overall.yaml", "model/*.yaml", "recipe/*.yaml"):
        for path in properties_dir().glob(part):
            for key in yaml.safe_load(path.read_text()):
                assert general_key(key, ("shared", "domain")) in RULES, (path, key)


class Theirs:
    """A model of another package."""

    type = SimpleNamespace(name="SEQUENTIAL")
    phases = ("warm", "fine")
    config_keys = {  # noqa: RUF012
        "hidden_size": RULES["hidden_size"].with_default(32),
        "decay": KeyRule(Annotated[float, Gt(0)], "Half-life in days.", 30.0),
    }


class Heir(Theirs):
    config_keys = ("extra",)


def test_a_model_of_another_package_declares_keys_and_phases():
    spec = declared_by(Theirs)
    assert spec.defaults == {"hidden_size": 32, "decay": 30.0}
    assert spec.sequential
    assert package_defaults(spec, "")["fine_epochs"] is None
    assert declared_by(Heir).defaults == {"hidden_size": 32, "decay": 30.0, "extra": None}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("decay", 0, "decay: found 0, expected a value > 0"),
        ("decya", 1, "decya: no such key (did you mean 'decay'?)"),
        ("hidden_size", 2.5, "hidden_size: found 2.5, expected a whole number"),
        ("fine_epochs", -1, "fine_epochs: found -1, expected a value >= 0"),
        ("shared_epochs", 1, "shared_epochs: no such key"),
    ],
)
def test_what_breaks_a_declaration_is_named(key, value, said):
    spec = declared_by(Heir)
    defaults = package_defaults(spec, "")
    check_value("fine_epochs", None, defaults, defaults, spec)
    check_value("extra", object(), defaults, defaults, spec)
    with pytest.raises(UserError) as caught:
        check_value(key, value, defaults, defaults, spec)
    assert str(caught.value).startswith(said)


def test_phases_are_trained_from_the_first_on():
    assert check_phases("warm", Theirs.phases, None) == ["warm"]
    assert check_phases(["warm", "fine"], Theirs.phases, None) == ["warm", "fine"]
    with pytest.raises(UserError, match=r"^phases: found \['fine'\], expected \['warm'\] or "):
        check_phases(["fine"], Theirs.phases, None)


def test_keys_that_only_some_stock_models_read():
    assert resolve("DiffRec", "toy", (), {"norm": True}).values["norm"] is True
    assert resolve("SASRec", "toy", (), {"embedding_size": 8}).values["embedding_size"] == 8
    with pytest.raises(UserError, match=r"^norm: no such key"):
        resolve("SASRec", "toy", (), {"norm": True})
