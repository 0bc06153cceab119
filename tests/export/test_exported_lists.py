"""The exported file recommends what ``recommend`` does: onnxruntime on the toy dataset's users."""

import csv
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import finish_runs

from recbole_edt import requirements
from recbole_edt.errors import UserError
from recbole_edt.export import export_run, onnx_file
from recbole_edt.export.comparison import compare_lists
from recbole_edt.export.graph import next_items, refuse_others
from recbole_edt.export.numbering import Numbering
from recbole_edt.export.onnx_file import OnnxLists
from recbole_edt.files import sha256_of
from recbole_edt.recommend import best_items, next_scores
from recbole_edt.runs import RunFolder, load_run

SHORT = ("--epochs=1", "--MAX_ITEM_LIST_LENGTH=6")  # histories have 1 to 11 items
SMALL = (*SHORT, "--hidden_size=8")
MODELS = {
    "LLMEDT": (*SMALL, "--inner_size=8", "--adapter_size=4", "--shared_min_epochs=0"),
    "SASRecLLM": (*SMALL, "--inner_size=8", "--content_expert=True"),
    "SASRecSingle": (*SMALL, "--inner_size=8"),
    "ABXI": (*SMALL, "--inner_size=8"),
    "C2DSR": SMALL,
    "LLM4CDSR": SMALL,
    "TriCDR": SMALL,
    "Similarity": SHORT[1:],
    "Popularity": SHORT[1:],
    "SASRec": SHORT,
    "BERT4Rec": SHORT,
    "GRU4Rec": (*SHORT, "--content_expert=True"),
    "FPMC": SHORT,
    "BPR": SHORT[:1],
}
EXPORTED = [name for name in MODELS if name not in ("FPMC", "BPR")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def folder(root):
    """Return a function that gives the run's folder of a model."""
    found = finish_runs(root, MODELS)
    return lambda model: RunFolder(found(model))


@pytest.fixture
def runs(folder):
    """Return a function that loads the run of a model."""
    return lambda model: load_run(folder(model), {"use_gpu": False})


@pytest.fixture(scope="module")
def llm_run(folder):
    """Load the run of SASRecLLM, which has a content expert."""
    return load_run(folder("SASRecLLM"), {"use_gpu": False})


@pytest.fixture
def export(run_cli, folder, tmp_path):
    """Return a function that exports the run of a model: its folder, what was printed."""

    def call(model, *argv, name="out"):
        output = tmp_path / "new" / name
        outcome = run_cli("export", f"--run={folder(model).path}", f"--output={output}", *argv)
        return output, outcome

    return call


@pytest.fixture(scope="module")
def exported(root, llm_run):
    """Export that run, with lists of five items."""
    output = root / "exported"
    export_run(llm_run, output, 5, None)
    return output


class Eager:
    """The lists of the module itself, without a file."""

    def __init__(self, module):
        self.module = module

    def __call__(self, history, domain):
        numbers = torch.full((len(history),), -1 if domain is None else domain)
        with torch.no_grad():
            top = self.module(
                torch.from_numpy(history), numbers if self.module.takes_domain else None
            )
        return top[0].numpy(), top[1].numpy()


def spread(run):
    """Draw weights afresh: after one epoch many parts are still close to doing nothing."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    run.model.train().eval()  # tables that were computed from the old weights are discarded


def padded(histories):
    width = max(map(len, histories))
    return np.array([[*row, *[0] * (width - len(row))] for row in histories], np.int64)


def numbered(run, users):
    """Return the complete histories of users as item numbers of the export."""
    numbers, dataset = Numbering.of(run.dataset.item_domain, None).of_items, run.dataset
    items, starts = dataset.flat[dataset.iid_field], dataset.user_starts
    return [numbers[items[np.arange(starts[u], starts[u + 1])]].tolist() for u in users]


@pytest.mark.parametrize("model", EXPORTED)
@pytest.mark.parametrize("domain", [None, 1])
def test_the_module_gives_the_lists_of_recommend(runs, model, domain):
    run = runs(model)
    spread(run)
    module = next_items(run, domain, 9)
    numbering = Numbering.of(run.dataset.item_domain, domain)
    compared = compare_lists(run, Eager(module), numbering, 9)
    assert compared.users == 43
    assert compared.lists == 44 * (4 if domain is None else 1)  # a batch of one user at first
    assert compared.largest_difference < 2e-5


def test_repeats_are_recommended_where_they_may_be(runs):
    run, numbering = runs("SASRec"), Numbering.of(runs("SASRec").dataset.item_domain, None)
    module = next_items(run, None, 42, repeats=True)
    assert compare_lists(run, Eager(module), numbering, 42, repeats=True).lists == 176
    best, _ = Eager(module)(np.array([[1, 2, 3]]), None)
    assert sorted(best[0].tolist()) == list(range(1, 43))
    with pytest.raises(UserError, match="expected score"):
        compare_lists(run, Eager(module), numbering, 42)


@pytest.mark.parametrize("model", ["LLMEDT", "ABXI"])
def test_a_phase_or_a_mask_of_its_own(runs, model):
    run = runs(model)
    spread(run)
    if model == "LLMEDT":
        run.model.set_phase("shared")
    else:
        run.model.attend_padding = not run.model.attend_padding
    numbering = Numbering.of(run.dataset.item_domain, None)
    assert compare_lists(run, Eager(next_items(run, None, 5)), numbering, 5).lists == 176


@pytest.mark.slow
@pytest.mark.parametrize("model", EXPORTED)
def test_every_model_as_a_file(runs, model, tmp_path):
    run = runs(model)
    spread(run)
    # the time of an export grows with the encoders: one domain of the largest models
    domain = "d1" if model in ("C2DSR", "LLM4CDSR", "TriCDR") else None
    report = export_run(run, tmp_path / "out", 4, domain)
    lists = 176 if domain is None else 44
    assert report.startswith(f"{lists} lists of 43 users are those of recommend")


def test_the_file_gives_the_lists_of_the_command(exported, run_cli, llm_run):
    with open(exported / "items.csv", newline="", encoding="utf-8") as file:
        items = list(csv.DictReader(file))
    assert [int(item["number"]) for item in items] == list(range(1, 43))
    assert items[0] == {"number": "1", "item_id": items[0]["item_id"], "domain": "d0",
                        "title": f"title of {items[0]['item_id']}"}  # fmt: skip
    assert [item["domain"] for item in items] == ["d0"] * 14 + ["d1"] * 14 + ["d2"] * 14
    number = {item["item_id"]: int(item["number"]) for item in items}
    run = llm_run
    rows = [line.split("\t") for line in
            (Path(run.config.dataset_dir) / "toy.inter").read_text().splitlines()[1:]]  # fmt: skip
    lists = OnnxLists(exported / "model.onnx")
    for user in ("u5", "u8", "one"):
        history = np.array([[number[item] for name, item, _ in rows if name == user]])
        page = run_cli("recommend", f"--run={run.folder.path}", f"--user={user}", "--k=5").out
        parts = re.split(r"^next[ ,].*$", page, flags=re.MULTILINE)[1:]
        assert len(parts) == 4
        for domain, part in zip([0, 1, 2, None], parts, strict=True):
            shown = re.findall(r"^ +\d+ +(-?[\d.]+) +(d\d-\d+) ", part, re.MULTILINE)
            best, scores = lists(history, domain)
            assert [item for _, item in shown] == [items[n - 1]["item_id"] for n in best[0]]
            assert [f"{score:.4f}" for score in scores[0]] == [score for score, _ in shown]


def test_a_list_does_not_depend_on_the_batch(exported, llm_run):
    run, lists = llm_run, OnnxLists(exported / "model.onnx")
    histories = numbered(run, range(1, run.dataset.user_num))
    together, scores = lists(padded(histories), 1)
    for row, history in enumerate(histories):
        alone, score = lists(np.array([history], np.int64), 1)
        assert alone[0].tolist() == together[row].tolist()
        np.testing.assert_allclose(score[0], scores[row], atol=1e-5)
        assert not {*history} & {*alone[0].tolist()}


def test_nothing_left_is_number_0(exported):
    everything = np.arange(1, 29)[None]  # all items of the first two domains
    best, scores = OnnxLists(exported / "model.onnx")(everything, 0)
    assert best.tolist() == [[0] * 5]
    assert np.isneginf(scores).all()
    best, _ = OnnxLists(exported / "model.onnx")(everything, None)
    assert best.min() > 28


def test_what_the_folder_says_of_itself(exported, llm_run):
    run = llm_run
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md", "config.json", "items.csv", "model.onnx", "server.py",
    ]  # fmt: skip
    config = json.loads((exported / "config.json").read_text())
    assert config["sha256"] == {n: sha256_of(exported / n) for n in ("items.csv", "model.onnx")}
    assert (config["run"], config["k"], config["max_length"]) == (run.folder.path.name, 5, 6)
    assert config["domains"] == {"d0": 0, "d1": 1, "d2": 2}
    assert config["expert_weights"] == run.record.expert_weights
    assert config["compared"]["lists"] == 176
    assert {"onnx", "onnxruntime", "onnxscript", "torch", "recbole-edt"} <= {*config["versions"]}
    content = (exported / "model.onnx").read_bytes()
    assert str(Path(onnx_file.__file__).parent).encode() not in content
    assert b"site-packages" not in content


def test_the_example_of_the_readme(exported, monkeypatch, capsys):
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "$" not in text
    monkeypatch.chdir(exported)
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(re.match(r"title of d\d-\d+ -?\d", line) for line in lines)


@contextmanager
def server_of(folder):
    """Start the server of an exported folder; yields a function that asks it."""

    def ask(body):
        request = urllib.request.Request(address, json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    command = [sys.executable, str(folder / "server.py"), "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            address = server.stdout.readline().strip()
            yield ask
        finally:
            server.terminate()


def test_the_server(exported, llm_run):
    run = llm_run
    user = int(run.dataset.field2token_id["user_id"]["u5"])
    ids = run.dataset.field2id_token["item_id"]
    starts, items = run.dataset.user_starts, run.dataset.flat["item_id"]
    history = [str(ids[i]) for i in items[np.arange(starts[user], starts[user + 1])]]
    with server_of(exported) as ask:
        for domain in (None, "d1"):
            status, answer = ask({"history": history, "domain": domain})
            allowed = None if domain is None else run.dataset.item_domain == 1
            top = best_items(next_scores(run, np.array([user])), 5, allowed)
            assert status == 200
            assert [one["item_id"] for one in answer["items"]] == ids[top.items].tolist()
            shown = [one["score"] for one in answer["items"]]
            np.testing.assert_allclose(shown, top.scores, atol=1e-4)
            assert answer["items"][0]["title"].startswith("title of d")
        assert ask({"history": ["d9-9"]}) == (400, {"error": "unknown or malformed: 'd9-9'"})
        assert ask({"history": history, "domain": "d9"})[0] == 400
        assert ask({"history": []})[0] == ask({"domain": "d1"})[0] == ask([])[0] == 400
        everything = [f"{domain}-{i}" for domain in ("d0", "d1") for i in range(14)]
        assert ask({"history": everything, "domain": "d1"}) == (200, {"items": []})


def test_the_server_of_one_domain(export):
    output, _ = export("Popularity", "--domain=d1", "--k=3", name="served")
    with server_of(output) as ask:
        for domain in (None, "d1"):
            status, answer = ask({"history": ["d1-1"], "domain": domain})
            assert (status, {one["domain"] for one in answer["items"]}) == (200, {"d1"})
        assert ask({"history": ["d1-1"], "domain": "d0"})[0] == 400


def test_the_server_is_short(exported):
    lines = (exported / "server.py").read_text().splitlines()[1:]
    assert sum(not line.startswith(("import", "from")) for line in lines if line) < 25


def test_one_domain_and_the_same_bytes(export):
    output, outcome = export("Popularity", "--domain=d1", "--k=99")
    assert outcome.status == 0, outcome.err
    config = json.loads((output / "config.json").read_text())
    assert (config["domain"], config["k"], list(config["inputs"])) == ("d1", 14, ["history"])
    best, _ = OnnxLists(output / "model.onnx")(np.array([[1, 15, 16]]), None)
    assert sorted(best[0].tolist()) == [0, 0, *range(17, 29)]  # of 15..28, without 15 and 16
    again, _ = export("Popularity", "--domain=d1", "--k=99", name="again")
    assert sha256_of(output / "model.onnx") == sha256_of(again / "model.onnx")


def test_large_weights_are_beside_the_file(export, monkeypatch):
    monkeypatch.setattr(onnx_file, "_MOST_BYTES", 0)
    output, outcome = export("Popularity", "--k=3")
    assert outcome.status == 0, outcome.err
    assert (output / "model.onnx.data").stat().st_size >= 4 * 43
    assert "model.onnx.data" in json.loads((output / "config.json").read_text())["sha256"]
    assert "`model.onnx.data`" in (output / "README.md").read_text(encoding="utf-8")
    assert OnnxLists(output / "model.onnx")(np.array([[1]]), 0)[0].shape == (1, 3)


def test_other_lists_are_refused(export, monkeypatch):
    asked = OnnxLists.__call__

    def exchanged(self, history, domain):
        items, scores = asked(self, history, domain)
        return items[:, ::-1], scores

    monkeypatch.setattr(OnnxLists, "__call__", exchanged)
    output, outcome = export("Popularity")
    assert outcome.status == 2
    assert re.search(
        r"the exported list of user '\w+' has 'd\d-\d+' at rank 1 with score", outcome.err
    )
    assert outcome.err.count("\n") == 1
    assert not output.exists()
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("model", "argv", "said"),
    [
        ("BPR", [], r"BPR cannot be exported: it scores users by their number.*LLMEDT.*GRU4Rec"),
        ("FPMC", [], r"FPMC cannot be exported: it reads 'user_id'.*LLMEDT.*GRU4Rec"),
        ("SASRec", ["--domain=d_1"], r"domain: 'd_1' is not in toy.*did you mean 'd1'"),
        ("SASRec", ["--k=0"], "--k: found '0', expected a whole number above 0"),
        ("SASRec", ["--hidden_size=8"], "--hidden_size: not of use here"),
    ],
)
def test_bad_input(export, model, argv, said):
    output, outcome = export(model, *argv)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert re.search(said, outcome.err), outcome.err
    assert not output.parent.exists()


def test_what_is_missing_or_in_the_way(export, run_cli, tmp_path, monkeypatch):
    (tmp_path / "new" / "out").mkdir(parents=True)
    assert "out exists; expected a new folder" in export("SASRec")[1].err
    assert "export: expected --run=DIR" in run_cli("export").err
    assert "export: expected --run=DIR" in run_cli("export", "--run=").err
    assert "is no folder of a run" in run_cli("export", f"--run={tmp_path}").err
    monkeypatch.setattr(requirements, "EXPORT", ("onnx", "no_such_onnx"))
    outcome = export("SASRec")[1]
    assert outcome.status == 2
    assert "no_such_onnx is not installed; pip install 'recbole-edt[export]'" in outcome.err


def test_augmented_histories_are_refused(runs, monkeypatch):
    run = runs("LLMEDT")
    refuse_others(run)
    monkeypatch.setitem(run.config.final_config_dict, "augment", True)
    monkeypatch.setitem(run.config.final_config_dict, "augment_inference", True)
    with pytest.raises(UserError, match="augment_inference adds a user's augmented interactions"):
        refuse_others(run)


def test_a_model_of_another_package_is_refused(runs):
    run = runs("LLMEDT")
    run.model.__class__ = type("LLMEDT", (type(run.model),), {})
    with pytest.raises(UserError, match="LLMEDT cannot be exported: a model of another package"):
        refuse_others(run)


def test_a_run_in_bfloat16(folder, runs):
    run = load_run(folder("ABXI"), {"use_gpu": False, "precision": "bf16"})
    with pytest.raises(UserError, match="load it with precision: float32"):
        refuse_others(run)
    refuse_others(runs("ABXI"))
