"""The command line as a user meets it: exit status, one line per mistake, what is left behind."""

import csv
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from synthetic import hash_tree

from recbole_edt.cli.entry import COMMANDS
from recbole_edt.runs import assembly

QUICK = (
    "--epochs=1", "--shared_min_epochs=0", "--hidden_size=8", "--inner_size=8", "--adapter_size=4",
)  # fmt: skip
PAPER = (
    "--recipe=paper",
    "--shared_epochs=1",
    "--domain_epochs=1",
    "--train_batch_size=64",
    "--augment=False",
    "--profiles=False",
)
STOCK = ("--epochs=1", "--hidden_size=8", "--inner_size=8")


@pytest.fixture
def dataset(make_dataset, give_vectors):
    """Return the folder of a ready dataset of three domains called toy."""
    folder = make_dataset()
    give_vectors(folder)
    return folder


def test_a_gpu_that_is_not_there(run_cli, make_dataset, tmp_path, monkeypatch):
    make_dataset()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # RecBole writes it; put back after the test
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for value in ("97", "0,1"):
        outcome = run_cli("run", "--model=Pop", "--dataset=toy", f"--gpu_id={value}")
        assert outcome.status == 2
        assert outcome.err.startswith(f"recbole-edt: gpu_id: found '{value}', but torch finds no")
    for value in ("0", "", "97"):
        keys = (f"--gpu_id={value}", f"--use_gpu={value != '97'}")
        assert run_cli("run", "--model=Pop", "--dataset=toy", *keys).status == 0
    elsewhere = next((tmp_path / "output/toy/Pop").iterdir())
    settings = (elsewhere / "config.yaml").read_text().replace("gpu_id: '0'", "gpu_id: '97'")
    (elsewhere / "config.yaml").write_text(settings)
    asked = ("recommend", f"--run={elsewhere}", "--user=one", "--use_gpu=True")
    assert run_cli(*asked).status == 0  # of a machine with more GPUs
    assert "gpu_id: found '98'" in run_cli(*asked, "--gpu_id=98").err


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ratio", "; 'recbole-edt run --split=ratio' makes this one"),
        ("files", "; --train, --valid and --test make this one"),
        ("tim", " (did you mean 'time'?)"),
    ],
)
def test_splits_that_prepare_does_not_make(run_cli, kind, said):
    outcome = run_cli("prepare", "csv", "--dataset=toy", f"--split={kind}")
    assert outcome.status == 2
    assert outcome.err.endswith(f"found '{kind}', expected one of leave_one_out, time{said}\n")


def test_a_path_below_home(run_cli, make_dataset, tmp_path, monkeypatch):
    make_dataset()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run_cli("run", "--model=Pop", "--dataset=toy", "--output_dir=~/runs")
    (folder,) = (tmp_path / "home/runs/toy/Pop").iterdir()
    outcome = run_cli("recommend", f"--run=~/runs/toy/Pop/{folder.name}", "--all", "--out=~/a.csv")
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "home/a.csv").is_file()
    assert not (tmp_path / "~").exists()


@pytest.fixture
def run(run_cli, tmp_path, monkeypatch):
    """Return a function that calls ``recbole-edt run`` on toy, writing to ``tmp_path/output``."""
    monkeypatch.chdir(tmp_path)
    where = (f"--data_path={tmp_path}/dataset", f"--output_dir={tmp_path}/output")

    def call(*argv, dataset="toy"):
        return run_cli("run", f"--dataset={dataset}", *where, *argv)

    return call


def metrics_of(outcome):
    assert outcome.status == 0, outcome.err
    folder = outcome.out.strip().splitlines()[-1].removeprefix("written to ")
    with open(f"{folder}/metrics.json", encoding="utf-8") as handle:
        return json.load(handle)


def assert_refused(outcome, tmp_path, *said):
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("recbole-edt: ")
    for part in said:
        assert part in outcome.err
    assert not (tmp_path / "output").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"dataset"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--model=SASRek"], "did you mean 'SASRec'"),
        (["--model=LLMEDT", "--learnin_rate=5"], "did you mean 'learning_rate'"),
        (["--model=LLMEDT", "--learning_rate", "0.5"], "--learning_rate=0.5"),
        (["--model=LLMEDT", "--seed=1", "--seed=2"], "--seed: given twice"),
        (["--model=LLMEDT", "--epochs=many"], "epochs: found 'many'"),
        (["--model=LLMEDT", "--metrics=[NDGC]"], "did you mean 'NDCG'"),
        (["--model=LLMEDT", "--sampled_candidates=100"], "sampled_candidates"),
        (["--model=LLMEDT", "--phases=[shared,domian]"], "domian"),
        (["--model=LLMEDT", "--loss_type=CEE"], "did you mean 'CE'"),
        (["--model=LLMEDT", "--config_files=none.yaml"], "none.yaml"),
        (["--model=LLMEDT", "--encoder=another"], "--only embeddings"),
        (["--model=LLMEDT", "--split=tme"], "did you mean 'time'"),
        (["--model=LLMEDT", "--DOMAIN_FIELD=domian"], "did you mean 'domain'"),
        (["--model=LLMEDT", "--hidden_act=gleu"], "did you mean 'gelu'"),
        (["--model=LLMEDT", "--group_edges={history_length: [3, 2]}"], "group_edges"),
        (["--model=LLMEDT", "--clip_grad_norm={max_nrom: 1}"], "max_nrom"),
        (["--model=LLMEDT", "--valid_metric=AUC"], "AUC"),
        (["--model=SASRec", "--loss_type=CEE"], "CEE"),
        (["--model=SASRec", "--hidden_act=gleu"], "did you mean 'gelu'"),
        (["--model=SASRec", "--n_heads=3"], "attention heads (3)"),
        (["--model=LLMEDT", "--clip_grad_norm={norm_type: 2}"], "max_norm"),
        (["--model=LLMEDT", "--shared_clip_grad_norm=5"], "shared_clip_grad_norm"),
        (["--model=LightGBM"], "LightGBM"),
        (["--model=S3Rec"], "S3Rec"),
        ([], "model: missing"),
        (["model=LLMEDT"], "expected --key=value"),
        (["--resume"], "model: missing"),
        (["--resumee", "--model=LLMEDT"], "did you mean"),
    ],
)
def test_usage_mistakes(dataset, run, tmp_path, argv, said):
    before = hash_tree(dataset)
    assert_refused(run(*argv), tmp_path, said)
    assert hash_tree(dataset) == before


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "Pop"])
def test_a_dataset_of_one_domain(make_dataset, run, tmp_path, model):
    make_dataset(domains=1)
    assert_refused(run(f"--model={model}"), tmp_path, "one domain only (d0)")


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec"])
def test_an_item_without_a_domain(dataset, run, tmp_path, model):
    rewrite(dataset / "toy.item", "d1-3\td1\t", "d1-3\t\t")
    assert_refused(run(f"--model={model}"), tmp_path, "toy.item", "'d1-3' has no domain")


def test_a_missing_dataset(dataset, run, tmp_path):
    outcome = run("--model=LLMEDT", dataset="tyo")
    assert_refused(outcome, tmp_path, "tyo.inter", "did you mean 'toy'", "prepare")
    (dataset / "toy.item").unlink()
    assert_refused(run("--model=SASRec"), tmp_path, "toy.item", "no such file")


def test_a_malformed_inter_file(make_dataset, run, tmp_path):
    path = make_dataset() / "toy.inter"
    whole = path.read_text()
    for change in (("timestamp:float", "time:float"), ("\t15", "\tsoon"), ("\td", "\t\td")):
        path.write_text(whole)
        rewrite(path, *change)
        assert_refused(run("--model=SASRec"), tmp_path, "toy.inter")
    path.write_bytes(whole.encode("utf-16"))
    assert_refused(run("--model=SASRec"), tmp_path, "toy.inter")


def test_item_vectors_of_another_catalogue(dataset, run, tmp_path):
    rewrite(dataset / "toy.item", "title of d1-3\n", "title of d1-3\nnew\td2\tnew item\n")
    assert_refused(run("--model=LLMEDT"), tmp_path, "no item vectors", "--only embeddings")


def test_changed_item_vectors(dataset, run, tmp_path):
    (path,) = dataset.glob("artefacts/*/items.txt")
    rewrite(path, "d1-3\n", "d9-3\n")
    assert_refused(run("--model=LLMEDT"), tmp_path, "items.txt")
    (path,) = dataset.glob("artefacts/*/item_vectors.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    assert_refused(run("--model=LLMEDT"), tmp_path, path.name)


def test_a_split_of_another_file(dataset, run, tmp_path):
    path = dataset / "toy.inter"
    rewrite(path, "user_id:token", "user_id:token")
    path.write_text(path.read_text() + "zz\td1-3\t1900000000\n")
    assert_refused(run("--model=SASRec"), tmp_path, "another toy.inter")


@pytest.mark.parametrize("what", ["tensors", "json", "empty", "gone"])
def test_a_truncated_checkpoint(dataset, run, tmp_path, what):
    done = metrics_of(run("--model=LLMEDT", *QUICK))
    assert done["phases"][0]["epochs"] == 1
    (metrics,) = (tmp_path / "output").rglob("metrics.json")
    metrics.unlink()  # as if killed
    (tensors,) = (tmp_path / "output").rglob("*.safetensors")
    path = tensors if what in ("tensors", "gone") else tensors.with_name("state.json")
    if what == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if what == "empty" else path.read_bytes()[: path.stat().st_size // 2])
    before = {k: v for k, v in hash_tree(tmp_path / "output").items() if not k.endswith(".log")}
    outcome = run("--model=LLMEDT", *QUICK, "--resume")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert path.name in outcome.err
    after = {k: v for k, v in hash_tree(tmp_path / "output").items() if not k.endswith(".log")}
    assert after == before


def test_debug_shows_where(dataset, run):
    outcome = run("--model=SASRek", "--debug")
    assert outcome.status == 2
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("recbole-edt: model: 'SASRek'")


def test_errors_of_ours_have_their_own_status(dataset, run, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("recbole_edt.runs.execution.execute", broken)
    outcome = run("--model=SASRec")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "ZeroDivisionError: two lines" in outcome.err


def test_an_interrupted_command_says_so(dataset, run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_edt.runs.execution.execute", interrupted)
    outcome = run("--model=SASRec")
    assert (outcome.status, outcome.err) == (130, "recbole-edt: interrupted; --resume goes on\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "recbole_edt", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_a_logger_that_is_not_installed_is_named(dataset, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    outcome = run("--model=Popularity", "--log_wandb=True")
    said = "recbole-edt: log_wandb: wandb is not installed; pip install wandb\n"
    assert (outcome.status, outcome.err) == (2, said)


def test_commands(run_cli):
    assert run_cli("rnu").status == 2
    assert "did you mean 'run'" in run_cli("rnu").err
    assert run_cli().status == 2
    assert run_cli("--help").status == 0
    assert "recbole-edt run" in run_cli("--help").out.replace("run --", "recbole-edt run --")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_lists_its_flags_only(run_cli, command):
    shown = run_cli(command, "--help")
    assert (shown.status, shown.err) == (0, "")
    assert f"  {command} " in shown.out
    others = [name for name in COMMANDS if f"\n  {name} " in shown.out.split("options:")[0]]
    assert others == [command]
    assert ("--resume" in shown.out) == (command == "run")
    assert ("--key=value" in shown.out) == (command not in ("prepare", "doctor"))
    assert shown.out.partition("\n\n")[0].removeprefix("usage: ") in run_cli("--help").out


def test_a_run_prints_its_tables_and_leaves_its_files(dataset, run, tmp_path):
    outcome = run("--model=LLMEDT", *QUICK)
    metrics = metrics_of(outcome)
    lines = outcome.out.splitlines()
    tables = [n for n, line in enumerate(lines) if line.split()[:1] == ["users"]]
    assert len(tables) == 2  # after the shared phase, and in the end
    for start, result in zip(tables, (metrics["phases"][0]["test"], metrics["test"]), strict=True):
        names = lines[start].split()[1:]
        assert "ndcg@10" in names
        rows = {"all": result["overall"], **result["domains"]}
        for line, (label, row) in zip(lines[start + 1 :], rows.items(), strict=False):
            assert line.split() == [label, str(row["users"]), *(f"{row[n]:.4f}" for n in names)]
    (folder,) = (tmp_path / "output" / "toy" / "LLMEDT").iterdir()
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    fixed = {
        "config.yaml", "metrics.json", "train.log", "curves.csv", "test_ranks.csv",
        "checkpoint/state.json",
    }  # fmt: skip
    assert fixed < left
    (tensors,) = left - fixed
    assert tensors.endswith(".safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"dataset", "output"}


def assert_report(result, domains):
    assert set(result) == {"overall", "domains", "groups"}
    assert list(result["domains"]) == domains
    names = {f"{metric}@{k}" for metric in ("hit", "ndcg", "mrr") for k in (5, 10, 20)}
    groups = [group for kind in result["groups"].values() for group in kind.values()]
    for part in (result["overall"], *result["domains"].values(), *groups):
        assert set(part) == {"users", *names}
        assert all(0 <= part[name] <= 1 for name in names)
    assert sum(d["users"] for d in result["domains"].values()) == result["overall"]["users"] > 0


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec"])
def test_metrics_file_has_the_documented_shape(dataset, run, model):
    metrics = metrics_of(run(f"--model={model}", *(QUICK if model == "LLMEDT" else STOCK)))
    assert set(metrics) == {
        "schema", "model", "dataset", "seed", "protocol", "valid", "test", "phases", "artefacts",
        "cost", "device", "versions", "git",
    }  # fmt: skip
    assert metrics["device"] == "cpu"
    head = {key: metrics[key] for key in ("schema", "model", "dataset", "seed")}
    assert head == {"schema": 1, "model": model, "dataset": "toy", "seed": 2026}
    for name in ("split_hash", "items_hash"):
        assert len(metrics["protocol"].pop(name)) == 64
    assert metrics["protocol"] == {
        "split": "leave_one_out", "candidates": "target_domain", "sampled": None,
        "topk": [5, 10, 20],
    }  # fmt: skip
    for part in ("valid", "test"):
        assert_report(metrics[part], ["d0", "d1", "d2"])
    names = ["shared", "domain"] if model == "LLMEDT" else ["train"]
    assert [phase["name"] for phase in metrics["phases"]] == names
    for phase in metrics["phases"]:
        assert phase["epochs"] == 1
        assert phase["seconds"] > 0
    assert metrics["phases"][0]["best_epoch"] == 1
    if model == "LLMEDT":
        assert set(metrics["phases"][1]["best_epoch"]) == {"d0", "d1", "d2"}
        assert set(metrics["artefacts"]) == {"hash", "llm", "encoder"}
        assert (dataset / "artefacts" / metrics["artefacts"]["hash"]).is_dir()
    else:
        assert metrics["artefacts"] is None
    assert set(metrics["cost"]) == {
        "train_seconds", "peak_rss_mb", "parameters", "llm_tokens", "llm_seconds",
    }  # fmt: skip
    assert metrics["cost"]["peak_rss_mb"] > 50
    assert metrics["cost"]["train_seconds"] >= sum(p["seconds"] for p in metrics["phases"])
    assert {"python", "torch", "recbole", "pandas"} <= set(metrics["versions"])
    assert not any(isinstance(v, float) and math.isnan(v) for v in metrics["cost"].values())


def test_training_costs_what_building_the_model_does(dataset, run, monkeypatch):
    """RecBole's EASE inverts its matrix there, and has an empty epoch afterwards."""
    original = assembly.build_model

    def build(*args):
        time.sleep(1)
        return original(*args)

    monkeypatch.setattr(assembly, "build_model", build)
    metrics = metrics_of(run("--model=EASE"))
    assert metrics["cost"]["train_seconds"] - metrics["phases"][0]["seconds"] >= 1


def test_sampled_candidates_are_named_in_the_protocol(dataset, run):
    full = metrics_of(run("--model=SASRec", *STOCK))
    outcome = run("--model=SASRec", *STOCK, "--sampled_candidates=3")
    metrics = metrics_of(outcome)
    assert "3 sampled items of" in outcome.out
    assert metrics["protocol"]["sampled"] == 3
    assert len(metrics["protocol"]["sampled_hash"]) == 64
    assert metrics["test"]["overall"]["hit@5"] == 1.0  # of four candidates
    assert metrics["test"]["overall"]["ndcg@5"] > full["test"]["overall"]["ndcg@5"]


def without_cost(value):
    if isinstance(value, dict):
        costs = ("cost", "seconds")
        return {key: without_cost(entry) for key, entry in value.items() if key not in costs}
    return [without_cost(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("model", "keys"), [("LLMEDT", QUICK), ("SASRec", STOCK)])
def test_the_same_seed_gives_the_same_numbers(dataset, run, tmp_path, model, keys):
    first = metrics_of(run(f"--model={model}", *keys))
    second = metrics_of(run(f"--model={model}", *keys))
    assert len(list((tmp_path / "output").rglob("metrics.json"))) == 2
    assert without_cost(first) == without_cost(second)
    other = metrics_of(run(f"--model={model}", *keys, "--seed=1"))
    assert without_cost(other["test"]) != without_cost(first["test"])


def test_a_finished_run_is_not_done_again(dataset, run, tmp_path):
    first = run("--model=LLMEDT", *QUICK)
    before = hash_tree(tmp_path / "output")
    again = run("--model=LLMEDT", *QUICK, "--resume")
    assert again.out == first.out
    assert hash_tree(tmp_path / "output") == before


def test_the_written_configuration_repeats_the_run(dataset, run, run_cli, tmp_path):
    first = metrics_of(run("--model=LLMEDT", *QUICK, *PAPER))
    (config,) = (tmp_path / "output").rglob("config.yaml")
    again = metrics_of(run_cli("run", f"--config_files={config}"))
    assert without_cost(again) == without_cost(first)
    assert len(list((tmp_path / "output").rglob("seed2026-*-2"))) == 1  # the same run id


@pytest.mark.parametrize("entry", [("-m", "recbole_edt", "run"), ("run_recbole_edt.py",)])
def test_a_process_of_its_own_says_one_line_too(entry):
    """No warning of a library stands beside it, and both entries are the same."""
    root = Path(__file__).parent.parent
    command = [sys.executable, *entry, "--model=SASRek", "--dataset=toy"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "recbole-edt: model: 'SASRek' is unknown (did you mean 'SASRec'?)\n"


def test_a_time_split_runs_to_the_end(make_dataset, give_vectors, run):
    give_vectors(make_dataset(users=120, domains=4), split="time")
    metrics = metrics_of(run("--model=LLMEDT", "--split=time", *QUICK))
    assert metrics["protocol"]["split"] == "time"
    assert_report(metrics["test"], ["d0", "d1", "d2", "d3"])


def test_domain_names_may_hold_commas_and_slashes(dataset, run, tmp_path):
    path = dataset / "toy.item"
    path.write_text(path.read_text().replace("\td0\t", "\tFood, Tea/Coffee\t"))
    metrics = metrics_of(run("--model=SASRec", *STOCK))
    assert list(metrics["test"]["domains"]) == ["Food, Tea/Coffee", "d1", "d2"]
    (curves,) = (tmp_path / "output").rglob("curves.csv")
    with open(curves, newline="", encoding="utf-8") as handle:
        (row,) = csv.DictReader(handle)
    assert None not in row
    found = float(row["ndcg@10/Food, Tea/Coffee"])
    assert found == metrics["valid"]["domains"]["Food, Tea/Coffee"]["ndcg@10"]
