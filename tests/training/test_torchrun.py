"""Two processes of torchrun train and rank like one; those that cannot end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from synthetic import give_vectors, make_dataset

from recbole_edt.quick_start import run_recbole_edt
from recbole_edt.runs import RunFolder, reevaluate
from recbole_edt.training.checkpoint import load_state

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("torchrun_worker.py")
# plain gradient descent: Adam turns a difference in the last digit into a step where a gradient
# is zero; 41 targets in batches of 8, a last training batch of one row
SGD = {
    "show_progress": False, "learner": "sgd", "learning_rate": 0.05, "epochs": 2,
    "train_batch_size": 16, "eval_batch_size": 8,
}  # fmt: skip
SMALL = {"hidden_size": 8}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
BACKBONE = {**SMALL, **NO_DROPOUT, "inner_size": 8}
MODELS = {
    "SASRecLLM": {
        **BACKBONE,
        "loss_type": "SS",
        "num_negatives": 5,
        "sparse_updates": True,
        "train_batch_size": 43,
    },
    "SASRecLLM bf16": {**BACKBONE, "precision": "bf16"},
    "LLMEDT": {**BACKBONE, "adapter_dropout": 0.0, "average_epochs": 1.5, "final_fit": True},
    "SASRecSingle": {**BACKBONE, "loss_type": "BCE"},
    "ABXI": {**SMALL, "dropout_prob": 0.0},
    "C2DSR": {**SMALL, **NO_DROPOUT},
    "TriCDR": {**SMALL, **NO_DROPOUT},
    # its gradients are large: smaller steps keep rounding errors small
    "LLM4CDSR": {**SMALL, "dropout_prob": 0.0, "learning_rate": 0.005},
    "SASRec": BACKBONE,
    "GRU4Rec": {**SMALL, "dropout_prob": 0.0},
    "BERT4Rec": BACKBONE,  # a mean over masked positions: every process computes whole batches
    "Popularity": {},
}
EVALUATED = {
    "topk": [3],
    "metrics": ["NDCG", "ItemCoverage", "GiniIndex", "ShannonEntropy", "Novelty",
                "IntraListDiversity"],
}  # fmt: skip


def torchrun(*command: str, processes: int = 2) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]
    return [*launcher, str(processes), *map(str, command)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run_jobs(folder: Path, jobs: list[dict]) -> subprocess.CompletedProcess:
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    command = torchrun(WORKER, path)
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)


def our_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("recbole-edt:")]


@pytest.fixture(scope="module")
def two_and_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict, dict]]:
    """Return ``metrics.json`` of each model of two processes and of one."""
    root = tmp_path_factory.mktemp("torchrun")
    give_vectors(make_dataset(root / "dataset"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def arguments(model: str, output: str) -> dict:
        where = {"data_path": str(root / "dataset"), "output_dir": str(root / output)}
        keys = {**SGD, **MODELS[model], **where}
        return {"model": model.split()[0], "dataset": "toy", "overrides": keys}

    one = {model: run_recbole_edt(**arguments(model, "one")) for model in MODELS}
    runs = [one[model]["run_dir"] for model in ("LLMEDT", "SASRec")]
    jobs = [{"kind": "run", **arguments(model, "two")} for model in MODELS]
    jobs += [{"kind": "evaluate", "run": run, "keys": EVALUATED} for run in runs]
    jobs += [{"kind": "gradients", "path": str(root / "gradients.json")}]
    done = run_jobs(root, jobs)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for model, record in one.items():
        folder = Path(record["run_dir"].replace(f"{root}/one", f"{root}/two"))
        found[model] = {**json.loads((folder / "metrics.json").read_text()), "run_dir": folder}
    both = {model: (one[model], found[model]) for model in one}
    for run in runs:
        path = next(Path(run).glob("evaluate-*.json"))
        of_two = json.loads(path.read_text())
        reevaluate(RunFolder(Path(run)), EVALUATED)
        both[f"evaluate {of_two['model']}"] = (json.loads(path.read_text()), of_two)
    both["gradients"] = (json.loads((root / "gradients.json").read_text()), {})
    torch.set_num_threads(threads)
    return both


@pytest.mark.parametrize("model", MODELS)
def test_two_processes_train_the_weights_of_one(two_and_one: dict, model: str) -> None:
    one, two = two_and_one[model]
    # of bfloat16 each process rounds the gradients of its share
    close = {"rtol": 0.02, "atol": 1e-3} if "bf16" in model else {"rtol": 1e-4, "atol": 2e-6}
    for fit in (".", "final") if "final_fit" in one else (".",):
        states = [load_state(Path(record["run_dir"], fit, "checkpoint")) for record in (one, two)]
        weights = [{k: v for k, v in s.tensors.items() if k.startswith("model/")} for s in states]
        assert weights[0].keys() == weights[1].keys()
        for name, weight in weights[0].items():
            torch.testing.assert_close(weights[1][name], weight, **close, msg=name)
    assert [p["epochs"] for p in one["phases"]] == [p["epochs"] for p in two["phases"]]
    assert ("final_fit" in two) == (model == "LLMEDT")
    assert two["cost"]["processes"] == 2
    assert "processes" not in one["cost"]


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec"])
def test_two_processes_rank_like_one(two_and_one: dict, model: str) -> None:
    one, two = two_and_one[f"evaluate {model}"]
    assert one["test"]["domains"].keys() == {"d0", "d1", "d2"}
    assert one == two


def test_gradients_add_up(two_and_one: dict) -> None:
    assert two_and_one["gradients"][0] == {
        "sparse": True,
        "table": [0.0, 2.0, 1.0, 1.0, 0.0],
        "rows": [1, 2, 3],
        "dense": [3.0] * 3,
        "one_sided": [1.0] * 3,
        "unused": None,
    }


def flags(root: Path, **keys: object) -> list[str]:
    keys = {
        "model": "SASRecLLM", "dataset": "toy", "data_path": root / "dataset",
        "output_dir": root / "output", **SGD, **BACKBONE, **keys,
    }  # fmt: skip
    return ["-m", "recbole_edt", "run", *(f"--{key}={value}" for key, value in keys.items())]


def test_killed_process_ends_all_and_one_process_resumes(tmp_path: Path) -> None:
    give_vectors(make_dataset(tmp_path / "dataset"))
    command = torchrun(*flags(tmp_path, epochs=100_000, stopping_step=100_000))
    log = tmp_path / "stderr.txt"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr, env=environment())
        for _ in range(600):
            if list(tmp_path.glob("output/*/*/*/checkpoint/state.json")):
                break
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ranks = [int(pid) for pid in children if _is_rank(pid)]
        assert len(ranks) == 2
        os.kill(max(ranks), signal.SIGKILL)
        assert process.wait(60) != 0
    lines = our_lines(log.read_text())
    assert len(lines) == 1, log.read_text()[-3000:]
    assert "one of 2 processes has ended" in lines[0]
    assert not any(_is_rank(str(pid)) for pid in ranks)
    state = next(tmp_path.glob("output/*/*/*/checkpoint/state.json"))
    epoch = json.loads(state.read_text())["epoch"]
    # the limit of epochs is part of the run's identity, so that the killed run's folder gets it
    resumed = [sys.executable, *flags(tmp_path, epochs=100_000, stopping_step=100_000), "--resume"]
    with subprocess.Popen(resumed, stderr=subprocess.PIPE, text=True, env=environment()) as one:
        try:
            assert one.stderr is not None
            while f"resuming after train epoch {epoch}" not in (line := one.stderr.readline()):
                assert line, "the run ended before it resumed"
            assert one.stderr.readline() == "device: cpu\n"
            assert f"epoch {epoch + 1:3d}" in one.stderr.readline()
        finally:
            one.kill()


def _is_rank(pid: str) -> bool:
    try:
        return b"recbole_edt" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


DISAGREE = """
import os, sys
from recbole_edt.cli import dispatch
rank = os.environ["RANK"]
sys.exit(dispatch([arg.replace("RANK", rank) for arg in sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"learning_rate": "0.RANK5"}, "configuration: learning_rate is 0.05 in rank 0 and 0.15"),
        ({"data_path": "RANK"}, "data of toy: split_hash is"),
    ],
)
def test_processes_that_disagree_are_refused(tmp_path: Path, keys: dict, message: str) -> None:
    if "data_path" in keys:
        for rank in range(2):
            give_vectors(make_dataset(tmp_path / str(rank), seed=rank))
        keys = {"data_path": f"{tmp_path}/RANK"}
    else:
        give_vectors(make_dataset(tmp_path / "dataset"))
    script = tmp_path / "disagree.py"
    script.write_text(DISAGREE)
    command = torchrun(script, *flags(tmp_path, **keys)[2:])
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode != 0
    lines = our_lines(done.stderr)
    assert len(lines) == 1, done.stderr[-3000:]
    assert message in lines[0]
    assert not list(tmp_path.glob("output/*/*/*"))


def test_commands_that_are_not_for_several_processes() -> None:
    command = torchrun("-m", "recbole_edt", "compare")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode != 0
    assert our_lines(done.stderr) == [
        "recbole-edt: torchrun: compare is not for several processes; expected one of "
        "['run', 'evaluate'], or compare without torchrun"
    ]
