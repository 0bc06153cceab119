"""``recbole-edt compare`` as a user meets it, with real runs on a toy dataset."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import filelock
import pytest
import torch
from forks import COMMAND_LINE, output_of, start_python
from synthetic import give_vectors

from recbole_edt.compare.cell_job import make_job
from recbole_edt.compare.grid.child_process import log_path
from recbole_edt.compare.inputs import read_compare_file
from recbole_edt.compare.plan import ComparisonRow
from recbole_edt.compare.results import load_results
from recbole_edt.compare.tuning.row_tuning import RowTuning, find_space
from recbole_edt.errors import UserError
from recbole_edt.executors.fork_server import ForkedProcess
from recbole_edt.files import read_json, write_json
from recbole_edt.paths import properties_dir
from recbole_edt.quick_start import run_recbole_edt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_pdf")]

SMALL = {"hidden_size": 8, "inner_size": 8, "epochs": 1}


@pytest.fixture
def compare(run_cli, tmp_path, monkeypatch):
    """Return a function that calls ``recbole-edt compare`` on toy."""
    monkeypatch.chdir(tmp_path)

    def call(*argv, dataset="toy"):
        where = () if any("--runs" in a for a in argv) else (f"--dataset={dataset}",)
        return run_cli("compare", *where, *argv)

    return call


def write_rows(path: Path, *lines: str, head: str = "seeds: [1, 2]") -> Path:
    path.write_text("\n".join([head, "rows:", *(f"  {line}" for line in lines)]))
    return path


def cells_of(folder: Path) -> dict:
    rows = read_json(next(folder.glob("*/compare.json")))["rows"]
    return {(row["label"], c["seed"]): c for row in rows for c in row["cells"]}


def stamps(output: Path) -> dict:
    return {p: p.stat().st_mtime_ns for p in output.rglob("metrics.json")}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--models=Pop,SASRek", "--seeds=1"], "did you mean 'SASRec'"),
        (["--models=Pop,SASRec", "--seeds=1", "--learnin_rate=1"], "did you mean 'learning_rate'"),
        (["--models=Pop,SASRec", "--seeds=1", "--hidden_size=8"], "Pop: hidden_size: no such key"),
        (["--models=Pop,Pop", "--seeds=1"], "Pop is given twice"),
        (["--models=", "--seeds=1"], "models: found ''"),
        (["--models=Pop,", "--seeds=1"], "models: found 'Pop,'"),
        (["--models=Pop", "--seeds="], "seeds: found none"),
        (["--models=Pop"], "seeds: missing"),
        (["--models=Pop", "--seeds=1,1"], "seeds: 1 is given twice"),
        (["--models=Pop", "--seeds=1", "--seeds=2"], "--seeds: given twice"),
        (["--models=Pop", "--seeds=1,x"], "seeds: found 'x'"),
        (["--models=Pop", "--seeds=-1"], "seeds: found '-1'"),
        (["--seeds=1"], "expected one of --models, --file, --runs"),
        (["--models=Pop", "--file=ladder", "--seeds=1"], "--models and --file"),
        (["--file=laddr"], "did you mean 'ladder'"),
        (["--models=Pop", "--seeds=1", "--seed=1"], "seed: not used here; give it with --seeds"),
        (["--models=Pop", "--seeds=1", "--jobs=0"], "--jobs: found '0'"),
        (["--models=Pop", "--seeds=1", "--tune=some"], "tune: found 'some'"),
        (["--models=Pop", "--seeds=1", "--strategy=rnd"], "did you mean 'random'"),
        (["--models=Pop", "--seeds=1", "--name=../x"], "name: found '../x'"),
        (["--models=SASRec", "--seeds=1", "--tune=2", "--learning_rate=1"], "is fixed to 1"),
        (["--runs="], "runs: found none"),
        (["--runs=nowhere"], "nowhere does not exist"),
        (["--runs=dataset"], "dataset is not finished"),
        (["--runs=dataset", "--epochs=1"], "--epochs: of no use with --runs"),
    ],
)
def test_mistakes_stop_before_anything_runs(make_dataset, compare, tmp_path, argv, said):
    make_dataset()
    outcome = compare(*argv)
    assert outcome.status == 2, outcome
    assert said in outcome.err
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"dataset"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["A: {model: Pop}", "A: {model: BPR}"], "rows.yaml:4: 'A' is given twice"),
        (["A: {modle: Pop}"], "expected {model: NAME, key: value}"),
        (["A: {model: Pop, seed: 3}"], "A: seed: not used here"),
        (["A: {model: Pop, tune: many}"], "A: tune: found 'many'"),
        (["A: {model: Pop, 5: 3}"], "A: 5: expected the name of a key"),
        (["A: {model: SASRec, search: nowhere}", "B: {model: Pop, tune: 0}"], "nowhere"),
        (["A: {model: Pop}", "B: {model: Pop, candidates: all}"], "candidates: A has"),
    ],
)
def test_mistakes_in_a_compare_file(make_dataset, compare, tmp_path, lines, said):
    make_dataset()
    file = write_rows(tmp_path / "rows.yaml", *lines)
    outcome = compare(f"--file={file}", "--tune=1")
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "output").exists()


@pytest.fixture
def one_thread(monkeypatch):
    """Keep this process and its children to one thread: the same sums, and no spinning."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.kills
@pytest.mark.usefixtures("one_thread")
def test_killed_in_the_middle_and_started_again(make_dataset, compare, tmp_path):
    dataset = make_dataset(users=60)
    file = write_rows(
        tmp_path / "rows.yaml", "Pop: {model: Pop}",
        "SASRec: {model: SASRec, hidden_size: 8, inner_size: 8, n_layers: 1, epochs: 15, "
        "stopping_step: 15, MAX_ITEM_LIST_LENGTH: 10}",
        head="seeds: [1]",
    )  # fmt: skip
    output = tmp_path / "output" / "toy"

    said = tmp_path / "stderr.txt"

    def start_until(pattern: str) -> ForkedProcess | subprocess.Popen:
        flags = "--dataset=toy", f"--file={file}"
        process = start_python(COMMAND_LINE, "compare", *flags, folder=tmp_path, messages=said)
        deadline = time.monotonic() + 600
        while not list(output.glob(pattern)):
            assert time.monotonic() < deadline
            assert process.poll() is None, said.read_text()
            time.sleep(0.01)
        return process

    interrupted = start_until("compare/*/logs/*")  # a cell has begun
    os.kill(interrupted.pid, signal.SIGINT)
    assert interrupted.wait(60) == 130, said.read_text()
    assert said.read_text().rstrip().endswith("the same command goes on where it stopped")
    assert {cell["status"] for cell in cells_of(output / "compare").values()} == {"waiting"}

    killed = start_until("SASRec/seed1-*/curves.csv")  # and its first epoch is done
    killed.kill()
    output_of(killed)
    for lock in (output / ".locks").glob("*.lock"):  # the cell's own process ends with it
        with filelock.FileLock(lock, timeout=60):
            pass
    done = stamps(output)
    assert len(done) == 1  # Pop, seed 1
    log = next(output.glob("SASRec/seed1-*/train.log")).read_text()
    assert "epoch   1" in log

    outcome = compare(f"--file={file}", "--jobs=2")
    assert outcome.status == 0, outcome.err
    assert "SASRec, seed 1: started, goes on" in outcome.err
    assert len(stamps(output)) == 2
    assert stamps(output).items() >= done.items()
    sasrec = {"n_layers": 1, "epochs": 15, "stopping_step": 15, "MAX_ITEM_LIST_LENGTH": 10}
    for model, keys in {"Pop": {}, "SASRec": SMALL | sasrec}.items():
        overrides = {**keys, "seed": 1, "output_dir": "bare", "data_path": "dataset"}
        bare = run_recbole_edt(model, dataset.name, overrides=overrides)
        cell = cells_of(output / "compare")[model, 1]
        assert cell["status"] == "done"
        assert Path(bare["run_dir"]).name == Path(cell["run_dir"]).name  # a cell is a bare run
        found = read_json(output / model / Path(cell["run_dir"]).name / "metrics.json")
        assert found["test"] == bare["test"]
        assert found["valid"] == bare["valid"]

    complete, again = stamps(output), compare(f"--file={file}")
    assert again.status == 0
    assert again.out == outcome.out
    assert stamps(output) == complete
    everything = ",".join(str(path.parent) for path in complete)
    from_runs = compare(f"--runs={everything}", "--name=runs")
    assert from_runs.status == 0
    by_label = {
        row.label: row.values("ndcg@10") for row in load_results(output / "compare" / "runs").rows
    }
    first = next(p for p in (output / "compare").iterdir() if p.name != "runs")
    assert by_label == {row.label: row.values("ndcg@10") for row in load_results(first).rows}


def test_a_model_that_cannot_take_the_data(make_dataset, compare, tmp_path):
    make_dataset()  # without item vectors, which LLMEDT needs
    file = write_rows(tmp_path / "rows.yaml", "LLMEDT: {model: LLMEDT}", "Pop: {model: Pop}")
    outcome = compare(f"--file={file}")
    assert outcome.status == 2
    assert outcome.err.count("no item vectors") == 1  # one line, not one per seed
    cells = cells_of(tmp_path / "output" / "toy" / "compare")
    assert [c["status"] for c in cells.values()] == ["failed", "failed", "done", "done"]
    assert all("no item vectors" in cells["LLMEDT", seed]["reason"] for seed in (1, 2))
    assert "Pop" in outcome.out
    assert "2 of 4 cells failed" in outcome.out


def finished_run(tmp_path: Path, seed: int, **keys: object) -> Path:
    overrides = {"seed": seed, "data_path": "dataset", **keys}
    return Path(run_recbole_edt("Pop", "toy", overrides=overrides)["run_dir"])


def test_runs_of_different_splits_are_refused(make_dataset, compare, tmp_path):
    make_dataset()
    first, second = finished_run(tmp_path, 1), finished_run(tmp_path, 2)
    metrics = read_json(second / "metrics.json")
    metrics["protocol"]["split_hash"] = "another"
    write_json(second / "metrics.json", metrics)
    for argv in ([f"--runs={first},{second}"], ["--models=Pop", "--seeds=1,2"]):
        outcome = compare(*argv)
        assert outcome.status == 2
        assert outcome.err.splitlines()[-1].startswith("recbole-edt: split_hash: ")
        assert str(second) in outcome.err
        assert "'another'" in outcome.err
        assert outcome.out == ""
    everything = finished_run(tmp_path, 1, candidates="all")
    outcome = compare(f"--runs={first},{everything}")
    assert outcome.status == 2
    assert all(name in outcome.err for name in ("candidates: ", str(first), str(everything)))


def test_runs_of_several_versions_are_one_row(make_dataset, compare, tmp_path):
    make_dataset()
    old, new = finished_run(tmp_path, 1), finished_run(tmp_path, 2)
    other = finished_run(tmp_path, 1, tail_ratio=0.2)
    younger = ("tail_ratio", "final_fit", "precision", "split_order", "target_smoothing")
    lines = (old / "config.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(younger)]
    assert len(kept) < len(lines) - 3
    (old / "config.yaml").write_text("".join(kept))
    assert compare(f"--runs={old},{new}", "--name=same").status == 0
    folder = tmp_path / "output/toy/compare"
    (row,) = read_json(folder / "same/compare.json")["rows"]
    assert (row["label"], [cell["seed"] for cell in row["cells"]]) == ("Pop", [1, 2])
    assert compare(f"--runs={old},{other}", "--name=other").status == 0
    rows = read_json(folder / "other/compare.json")["rows"]
    assert [row["label"] for row in rows] == ["Pop tail_ratio=0.1", "Pop tail_ratio=0.2"]


def test_a_final_fit_is_of_all_rows_or_of_none(make_dataset, compare, tmp_path):
    make_dataset()
    plain, final = finished_run(tmp_path, 1), finished_run(tmp_path, 1, final_fit=True)
    outcome = compare(f"--runs={plain},{final}")
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == (
        f"recbole-edt: final_fit: {plain} has False, {final} has True; "
        "expected one and the same in a comparison"
    )
    (tmp_path / "rows.yaml").write_text(
        "rows: {once: {model: Pop}, again: {model: Pop, final_fit: True}}"
    )
    outcome = compare(f"--file={tmp_path / 'rows.yaml'}", "--seeds=1")
    assert outcome.status == 2
    assert "final_fit: once has False, again has True" in outcome.err
    outcome = compare(f"--runs={final}")
    assert outcome.status == 0
    assert "final fit on training and validation rows" in outcome.out
    page = next(tmp_path.rglob("report.html")).read_text()
    assert "on training and validation rows" in page


def test_runs_of_other_items_are_refused(make_dataset, compare, tmp_path):
    make_dataset()
    first, second, old = (finished_run(tmp_path, seed) for seed in (1, 2, 3))
    for path, items in ((second, "another"), (old, None)):
        metrics = read_json(path / "metrics.json")
        metrics["protocol"]["items_hash"] = items
        if items is None:
            del metrics["protocol"]["items_hash"]  # as in runs of earlier versions
        write_json(path / "metrics.json", metrics)
    outcome = compare(f"--runs={first},{second}")
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1].startswith("recbole-edt: items_hash: ")
    assert compare(f"--runs={first},{old}").status == 0


def test_a_finished_cell_of_other_titles_is_refused(make_dataset, compare):
    folder = make_dataset()
    give_vectors(folder)
    assert compare("--models=Similarity", "--seeds=1").status == 0
    path = folder / "toy.item"
    path.write_text(path.read_text().replace("title of d0-1\n", "another title\n"))
    outcome = compare("--models=Similarity", "--seeds=1")
    assert outcome.status == 2
    assert "was made for another catalogue" in outcome.err.splitlines()[-1]


def test_rows_of_finished_runs_are_named_by_what_differs(make_dataset, compare, tmp_path):
    make_dataset()
    runs = [finished_run(tmp_path, seed, topk=[10, 20]) for seed in (1, 2)]
    runs.append(finished_run(tmp_path, 1, topk=[10]))
    outcome = compare(f"--runs={','.join(map(str, runs))}")
    assert outcome.status == 0, outcome.err
    cells = cells_of(tmp_path / "output" / "toy" / "compare")
    assert {*cells} == {("Pop topk=[10, 20]", 1), ("Pop topk=[10, 20]", 2), ("Pop topk=[10]", 1)}
    outcome = compare(f"--runs={runs[0]},{runs[0]}")
    assert "the same configuration and seed" in outcome.err


def test_rows_of_finished_runs_are_named_as_asked(make_dataset, compare, tmp_path):
    make_dataset()
    ten, both = (finished_run(tmp_path, 1, topk=topk) for topk in ([10], [10, 20]))
    other = finished_run(tmp_path, 2, topk=[10])
    outcome = compare(f"--runs=ten={ten},{other},ten and twenty={both}")
    assert outcome.status == 0, outcome.err
    cells = cells_of(tmp_path / "output" / "toy" / "compare")
    assert {*cells} == {("ten", 1), ("ten", 2), ("ten and twenty", 1)}
    for runs, message in (
        (f"a={ten},b={other}", "label 'b', but 'a' for its row"),
        (f"a={ten},a={both}", "'a' would be the label of two rows"),
        (f"={ten}", "found no label before '='"),
        ("a=nowhere", "nowhere does not exist"),
    ):
        outcome = compare(f"--runs={runs}")
        assert outcome.status == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1


def test_which_shared_run_was_reused_makes_no_row(make_dataset, give_vectors, compare, tmp_path):
    dataset = make_dataset()
    give_vectors(dataset)
    keys = {"hidden_size": 8, "inner_size": 8, "shared_epochs": 1, "shared_min_epochs": 0,
            "data_path": "dataset"}  # fmt: skip
    runs = []
    for seed in (1, 2):
        own = {**keys, "seed": seed}
        shared = run_recbole_edt("LLMEDT", "toy", overrides={**own, "phases": ["shared"]})
        reusing = {**own, "domain_epochs": 1, "shared_run": shared["run_dir"]}
        runs.append(run_recbole_edt("LLMEDT", "toy", overrides=reusing)["run_dir"])
    assert compare(f"--runs={','.join(runs)}").status == 0
    cells = cells_of(tmp_path / "output" / "toy" / "compare")
    assert {*cells} == {("LLMEDT", 1), ("LLMEDT", 2)}


def test_a_shared_phase_that_rows_have_in_common_is_trained_once(
    make_dataset, give_vectors, compare, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the cells, as of the bare run below
    give_vectors(make_dataset())
    file = write_rows(
        tmp_path / "rows.yaml",
        "LLM-EDT: {model: LLMEDT, domain_epochs: 2}",
        "small adapter: {model: LLMEDT, domain_epochs: 2, adapter_size: 3}",
        "other phase: {model: LLMEDT, domain_epochs: 2, hidden_dropout_prob: 0.1}",
        "without phase 2: {model: SASRecLLM}",
        head="seeds: [2]\nkeys: {hidden_size: 8, inner_size: 8, n_layers: 1, epochs: 2}",
    )
    assert compare(f"--file={file}", "--jobs=2").status == 0
    cells = cells_of(tmp_path / "output" / "toy" / "compare")
    folder = next((tmp_path / "output" / "toy" / "compare").iterdir())
    runs = {cell: (folder / entry["run_dir"]).resolve() for cell, entry in cells.items()}
    trained = {
        cell: "shared epoch" in (run / "train.log").read_text() for cell, run in runs.items()
    }
    assert {row for (row, _), own in trained.items() if own} == {"other phase"}
    first = read_json(runs["LLM-EDT", 2] / "metrics.json")["phases"][0]
    single = read_json(runs["without phase 2", 2] / "metrics.json")
    assert first["test"] == single["test"]
    assert first["seconds"] == single["phases"][0]["seconds"]  # as if it were trained
    torch.set_num_threads(1)
    bare = run_recbole_edt(
        "LLMEDT",
        "toy",
        overrides={"hidden_size": 8, "inner_size": 8, "n_layers": 1, "epochs": 2,
                   "domain_epochs": 2, "seed": 2, "data_path": "dataset", "output_dir": "bare"},
    )  # fmt: skip
    assert Path(bare["run_dir"]).name == runs["LLM-EDT", 2].name
    metrics = read_json(runs["LLM-EDT", 2] / "metrics.json")
    assert metrics["test"] == bare["test"]
    assert metrics["valid"] == bare["valid"]


@pytest.mark.parametrize("path", sorted((properties_dir() / "compare").glob("*.yaml")))
def test_shipped_compare_files_name_models_and_keys_that_exist(path):
    rows, content = read_compare_file(path.stem)
    assert len(rows) > 1
    for row in rows:
        keys = {**content["keys"], **row.keys}
        try:
            space = find_space(make_job(row, "toy", keys, 1, row.label))
            if space is not None:  # --tune can be given
                RowTuning(row, "toy", keys, 1, space, "random", 2)
        except UserError as error:
            pytest.fail(json.dumps([row.label, str(error)]))


@pytest.mark.parametrize(
    ("name", "rows_with_one_phase"),
    [
        ("ladder", {"SASRecLLM", "LLMEDT"}),
        ("ablation", {"LLM-EDT", "without profiles", "shuffled profiles", "without phase 2"}),
    ],
)
def test_rows_of_shipped_files_share_their_first_phase(name, rows_with_one_phase):
    rows, content = read_compare_file(name)
    jobs = [make_job(row, "toy", {**content["keys"], **row.keys}, 1, row.label) for row in rows]
    of_llmedt = next(job.shared_phase for job in jobs if job.row.model == "LLMEDT")
    assert {job.row.label for job in jobs if job.shared_phase == of_llmedt} == rows_with_one_phase


def test_one_phase_given_as_a_name_reuses_nothing():
    keys = {"phases": "shared", "shared_epochs": 7}
    job = make_job(ComparisonRow("A", "LLMEDT", keys), "toy", keys, 1, "A")
    assert not job.can_reuse_shared
    assert job.epochs == 7
    assert make_job(ComparisonRow("B", "LLMEDT", {}), "toy", {}, 1, "B").can_reuse_shared


def test_logs_of_rows_with_like_labels_are_two_files(tmp_path):
    jobs = [
        make_job(ComparisonRow(label, "BPR", {}), "toy", {}, 1, f"{label}, seed 1")
        for label in "+*a"
    ]
    names = [log_path(tmp_path, job).name for job in jobs]
    assert len({*names}) == 3
    assert names[2] == "a-seed-1.log"


def test_wrong_phases_are_refused_before_any_cell():
    keys = {"phases": ["domain"]}
    with pytest.raises(UserError, match=r"A: phases: found \['domain'\], expected \['shared'\]"):
        make_job(ComparisonRow("A", "LLMEDT", keys), "toy", keys, 1, "A")


def test_cells_do_not_import_from_the_working_directory(make_dataset, compare, tmp_path):
    make_dataset()
    other = tmp_path / "recbole_edt"
    other.mkdir()
    (other / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    outcome = compare("--models=Popularity", "--seeds=1")
    assert outcome.status == 0, outcome.err
