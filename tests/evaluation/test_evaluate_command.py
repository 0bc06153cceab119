"""`recbole-edt evaluate`: a finished run's targets by another protocol."""

import pytest
from synthetic import finish_runs

from recbole_edt.evaluation.ranking import rank_targets
from recbole_edt.evaluation.targets import Targets
from recbole_edt.files import read_json
from recbole_edt.runs import RunFolder, load_run

KEYS = (
    "--epochs=1", "--shared_min_epochs=0", "--hidden_size=8", "--inner_size=8", "--adapter_size=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def folder(root):
    """Return a function that gives the finished run of a model."""
    models = {"LLMEDT": (*KEYS, "--content_expert=True"), "SASRec": KEYS[:1], "EASE": ()}
    return finish_runs(root, models)


@pytest.mark.parametrize("model", ["LLMEDT", "SASRec", "EASE"])
def test_the_run_s_own_protocol_gives_the_run_s_own_figures(run_cli, folder, model):
    before = read_json(folder(model) / "metrics.json")
    done = run_cli("evaluate", f"--run={folder(model)}")
    assert done.status == 0
    after = read_json(folder(model) / "evaluate-target_domain-full.json")
    assert after["test"] == before["test"]
    assert after["protocol"] == before["protocol"]
    if model == "LLMEDT":
        assert after["without_expert"]["test"] == before["without_expert"]["test"]
        assert after["expert_weights"] == before["expert_weights"]


def test_sampled_candidates_are_those_of_a_run_by_that_protocol(run_cli, root, folder, tmp_path):
    done = run_cli("evaluate", f"--run={folder('EASE')}", "--sampled_candidates=3", "--topk=[1,2]")
    assert "ranked among 3 sampled items of the target's domain" in done.out
    found = read_json(folder("EASE") / "evaluate-target_domain-3.json")
    # EASE has no epochs to choose, so that the protocol cannot change what was learnt
    run_cli("run", "--model=EASE", "--dataset=toy", f"--data_path={root}/dataset",
            f"--output_dir={tmp_path}", "--sampled_candidates=3", "--topk=[1,2]",
            "--valid_metric=NDCG@2")  # fmt: skip
    (trained,) = tmp_path.glob("toy/EASE/*/metrics.json")
    metrics = read_json(trained)
    assert metrics["test"] == found["test"]
    assert metrics["protocol"] == found["protocol"]


def test_the_expert_takes_part_with_the_weights_of_the_run(run_cli, folder):
    argv = ("evaluate", f"--run={folder('LLMEDT')}", "--sampled_candidates=4", "--topk=[1]")
    assert run_cli(*argv).status == 0
    found = read_json(folder("LLMEDT") / "evaluate-target_domain-4.json")
    run = load_run(RunFolder(folder("LLMEDT")), {"sampled_candidates": 4})
    targets = Targets(run.dataset, "test")
    for expert, place in ((run.expert, found), (None, found["without_expert"])):
        ranks = rank_targets(run.model, targets, "target_domain", 4, expert)
        assert place["test"]["overall"]["hit@1"] == (ranks == 1).mean()


def test_a_shallower_cut_does_not_look_like_a_lost_state(run_cli, root, tmp_path):
    where = (f"--data_path={root}/dataset", f"--output_dir={tmp_path}", "--candidates=all")
    assert run_cli("run", "--model=EASE", "--dataset=toy", *where).status == 0
    (folder,) = tmp_path.glob("toy/EASE/*")
    assert run_cli("evaluate", f"--run={folder}", "--topk=[5]").status == 0


def test_the_other_scope_is_harder(run_cli, folder):
    assert run_cli("evaluate", f"--run={folder('SASRec')}", "--candidates=all").status == 0
    narrow = read_json(folder("SASRec") / "metrics.json")["test"]["overall"]["hit@10"]
    wide = read_json(folder("SASRec") / "evaluate-all-full.json")["test"]["overall"]["hit@10"]
    assert wide < narrow


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "evaluate: expected --run=DIR"),
        (("--run=",), "evaluate: expected --run=DIR"),
        (("--run=nowhere",), "run: nowhere is no folder of a run: it has no config.yaml"),
        (("--sampled_candidate=3",), "cannot change it (did you mean 'sampled_candidates'"),
        (("--hidden_size=3",), "--hidden_size: a finished run cannot change it"),
        (("--sampled_candidates=100000",), "sampled_candidates: found"),
        (("--candidates=both",), "candidates: "),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run_cli, folder, argv, message):
    if argv and not argv[0].startswith("--run"):
        argv = (f"--run={folder('SASRec')}", *argv)
    done = run_cli("evaluate", *argv)
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1
