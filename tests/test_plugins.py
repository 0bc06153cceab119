"""Models and readers of a package that is somewhere on the path, without a checkout of ours."""

import sys
from pathlib import Path

import pytest

from recbole_edt.config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.files import read_json
from recbole_edt.model.registry import get_model
from recbole_edt.prepare.reader import get_reader, reader_names
from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.training import checkpoint


@pytest.fixture(autouse=True)
def external_package(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "external_package"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "outside"]:
        del sys.modules[name]


class KilledError(Exception):
    pass


def test_its_reader_prepares_what_its_model_is_trained_on(run_cli, tmp_path):
    items = [f"i{n} {'red' if n % 2 else 'blue'}" for n in range(12)]
    lines = [f"u{u} {items[(u + 5 * step) % 12]}" for step in range(6) for u in range(20)]
    (tmp_path / "raw.txt").write_text("\n".join(lines) + "\n")
    data = f"--data_path={tmp_path}/data"
    done = run_cli("prepare", "lines", f"--file={tmp_path}/raw.txt", "--dataset=mine", data)
    assert done.status == 0, done.err
    assert "red" in done.out
    done = run_cli(
        "run", "--model=LastItem", "--dataset=mine", data, f"--output_dir={tmp_path}/out",
        "--epochs=2", "--sharpness=2.0", "--width=4",
    )  # fmt: skip
    assert done.status == 0, done.err
    (path,) = (tmp_path / "out").rglob("metrics.json")
    metrics = read_json(path)
    assert metrics["phases"][0]["name"] == "train"
    assert metrics["test"]["overall"]["users"] == 20


def test_any_phases_each_with_its_own_keys(make_dataset, tmp_path, monkeypatch):
    overrides = {
        "data_path": str(make_dataset().parent), "show_progress": False, "items_epochs": 4,
        "offsets_learning_rate": 0.1, "context_average_epochs": 1.0,
    }  # fmt: skip

    def run(output, **keys):
        places = {**overrides, "output_dir": str(tmp_path / output)}
        return run_recbole_edt("ThreePhases", "toy", overrides=places, **keys)

    whole = run("whole")
    phases = whole["phases"]
    assert [phase["name"] for phase in phases] == ["items", "context", "offsets"]
    assert [phase["epochs"] for phase in phases] == [4, 3, 3]
    assert set(phases[2]["best_epoch"]) == {"d0", "d1", "d2"}
    # each phase starts where the one before ended, and the last keeps what is not better
    before, after = phases[1]["valid"]["domains"], whole["valid"]["domains"]
    for domain, scores in before.items():
        assert after[domain]["ndcg@10"] >= scores["ndcg@10"] - 1e-6
    assert phases[0]["valid"] != phases[1]["valid"]

    save, saves = checkpoint.save_state, []

    def dies(folder, name, *content):
        save(folder, name, *content)
        saves.append(name)
        if name == "context-2":
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_state", dies)
        with pytest.raises(KilledError):
            run("killed")
    assert saves[-3:] == ["items-4-end", "context-1", "context-2"]
    resumed = run("killed", resume=True)
    assert resumed["test"] == whole["test"]
    assert [p["best_epoch"] for p in resumed["phases"]] == [p["best_epoch"] for p in phases]


def test_its_keys_are_known_and_others_are_not():
    config = EDTConfig("LastItem", "toy", overrides={"sharpness": 3})
    assert (config["sharpness"], config["width"]) == (3, 8)
    with pytest.raises(UserError, match=r"sharpnes: no such key \(did you mean 'sharpness'\?\)"):
        EDTConfig("LastItem", "toy", overrides={"sharpnes": 3})
    with pytest.raises(UserError, match="width: found 'wide', expected a whole number"):
        EDTConfig("LastItem", "toy", overrides={"width": "wide"})


def test_our_own_names_keep_their_meaning(caplog):
    assert get_model("SASRecLLM").__module__ == "recbole_edt.model.baselines.sasrec"
    get_model("SASRec")
    assert "SASRecLLM is a model of recbole_edt" in caplog.text
    assert get_reader("csv").read.__module__ == "recbole_edt.prepare.csv_reader"
    assert reader_names()[:3] == ("movielens", "csv", "amazon")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", r"Missing = outside\.missing:Missing of outside-recommenders cannot be import"),
        ("Misnamed", "found class LastItem, expected class Misnamed"),
        ("ThreePhase", r"'ThreePhase' is unknown \(did you mean 'ThreePhases'\?\)"),
    ],
)
def test_a_broken_model_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as error:
        get_model(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", r"missing = outside\.missing of outside-recommenders cannot be imported"),
        ("empty", r"found <module .*, expected a recbole_edt\.prepare\.reader\.Reader"),
        ("line", r"reader: 'line' is unknown; .*\(did you mean 'lines'\?\)"),
    ],
)
def test_a_broken_reader_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as error:
        get_reader(name)
    assert "\n" not in str(error.value)


def test_nothing_is_imported_before_it_is_asked_for(run_cli):
    assert run_cli("prepare", "csv", "--help").status == 0
    assert "lines" in reader_names()
    assert not any(name.split(".")[0] == "outside" for name in sys.modules)
