"""Item vectors that were made elsewhere: formats, refusals, and the runs that read them."""

import json
import re
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from shops import reported

from recbole_edt.artefacts import ArtefactSettings, find_artefacts
from recbole_edt.artefacts.embeddings import VectorSource
from recbole_edt.artefacts.make import make_artefacts
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError

# of i0, i1, i2; all of them are exact in float16
VECTORS = np.array([[1, 0, -2.5], [0.5, 0.25, 0], [0, 3, 4]], np.float32)
IDS = ["i2", "i0", "i1"]
IN_FILE = VECTORS[[2, 0, 1]]  # in the order of IDS


@pytest.fixture
def folder(write_items):
    return write_items(["w1", "w2", "w3"])


@pytest.fixture
def store(folder, config, split):
    """Return a function that stores vectors of a file and returns the report."""

    def run(file, *, dry_run=False, **source):
        given = VectorSource(str(file), **source)
        (report,) = make_artefacts(
            config, folder, "toy", split, only=["embeddings"], dry_run=dry_run, vectors=given
        )
        return report

    return run


@pytest.fixture
def find(folder, config, split):
    """Return a function that finds the set of an encoder as a run does."""

    def run(encoder, of_split=split, **keys):
        settings = ArtefactSettings.from_config(config | {"encoder": encoder} | keys)
        return find_artefacts(folder, "toy", settings, of_split)

    return run


def encoder_of(report) -> str:
    return re.search(r"^  encoder: (vectors:\S+)$", report.text, re.MULTILINE)[1]


def write_npy(folder: Path, vectors=IN_FILE, ids=IDS, name="own") -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", vectors)
    if ids is not None:
        text = "".join(f"{one}\n" for one in ids)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
    return folder / f"{name}.npy"


def write_safetensors(folder: Path, tensors=None) -> Path:
    path = write_npy(folder, name="safe").with_suffix(".safetensors")
    save_file(tensors or {"emb": torch.from_numpy(IN_FILE.copy())}, path)
    return path


def write_parquet(folder: Path, select: str) -> Path:
    path = folder / "own.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)").fetchall()
    return path


def rows_in_sql(kind="FLOAT[]") -> str:
    rows = zip(IDS, IN_FILE.tolist(), strict=True)
    return f"FROM (VALUES {', '.join(f'({i!r}, {v}::{kind})' for i, v in rows)}) t(item_id, emb)"


def write_itememb(folder: Path) -> Path:
    lines = ["iid:token\titem_emb:float_seq"]
    lines += [f"{i}\t{' '.join(map(str, v))}" for i, v in zip(IDS, IN_FILE.tolist(), strict=True)]
    path = folder / "toy.itememb"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "write",
    [
        write_npy,
        lambda folder: write_npy(folder, np.asfortranarray(IN_FILE.astype(np.float64))),
        lambda folder: write_npy(folder, IN_FILE.astype(">f4"), [f"{one}\r" for one in IDS]),
        write_safetensors,
        lambda folder: write_safetensors(folder, {"emb": torch.from_numpy(IN_FILE).bfloat16()}),
        lambda folder: write_parquet(folder, f"SELECT * {rows_in_sql()}"),
        lambda folder: write_parquet(folder, f"SELECT emb, item_id {rows_in_sql('DOUBLE[3]')}"),
        write_itememb,
    ],
    ids=["npy", "float64", "crlf", "safetensors", "bfloat16", "parquet", "array", "float_seq"],
)
def test_every_format_gives_each_item_its_vector(store, find, tmp_path, write):
    report = store(write(tmp_path), name="own")
    # the digest is of ids and vectors, whatever file they stood in
    assert encoder_of(report) == "vectors:own@5ec0423dfc9e"
    found = find(encoder_of(report)).item_vectors(["i1", "i0", "i2"])
    np.testing.assert_array_equal(found, VECTORS[[1, 0, 2]])


def test_the_report_and_the_manifest_name_the_source(store, find, tmp_path):
    path = write_npy(tmp_path)
    report = store(path)
    assert (report.status, report.part) == ("made", "embeddings")
    assert f"3 items, 3 values each, from {path} (float32, stored as float16)" in report.text
    assert "lengths of the vectors: 0.559 to 5.0" in report.text  # sqrt(.3125), sqrt(9 + 16)
    encoder = encoder_of(report)
    use = f"use them: recbole-edt run --dataset=toy --model=LLMEDT --encoder={encoder}"
    assert report.text.endswith(use)
    entry = find(encoder).manifest["embeddings"]
    assert (entry["file"], entry["ids"]) == (str(path), str(path.with_suffix(".txt")))
    assert (entry["items"], entry["dim"], entry["without_vector"]) == (3, 3, 0)


def test_the_same_file_again_is_there_already(store, tmp_path, folder):
    first = store(write_npy(tmp_path))
    again = store(write_npy(tmp_path))
    assert again.status == "complete"
    assert encoder_of(again) == encoder_of(first)
    assert again.text.splitlines()[-1] == first.text.splitlines()[-1]
    other = store(write_npy(tmp_path, IN_FILE * 2))
    assert encoder_of(other).startswith("vectors:own@")
    assert encoder_of(other) != encoder_of(first)
    assert len(list((folder / "artefacts").glob("*/manifest.json"))) == 2


def test_a_dry_run_checks_and_writes_nothing(store, tmp_path, folder):
    report = store(write_npy(tmp_path), dry_run=True)
    assert report.status == "estimated"
    assert not (folder / "artefacts").exists()
    with pytest.raises(UserError, match="holds an array of shape"):
        store(write_npy(tmp_path, np.zeros(3)), dry_run=True)


def test_only_ids_and_vectors_decide_which_set_it_is(store, find, tmp_path, split, folder):
    encoder = encoder_of(store(write_npy(tmp_path)))
    assert find(encoder, encoder_max_length=3, text_template="{brand}").hash == find(encoder).hash
    other = find(encoder, Split("time", split.codes, "b" * 64))
    assert other.vector_source.hash == find(encoder).hash
    with pytest.raises(UserError, match="encoder_revision: 'v1', but encoder 'vectors:own@"):
        find(encoder, encoder_revision="v1")
    items = folder / "toy.item"
    items.write_text("\n".join(items.read_text().splitlines()[:-1]) + "\n")
    assert find(encoder) is None


def test_ids_in_the_order_of_the_item_file(store, find, tmp_path):
    report = store(write_npy(tmp_path, VECTORS, None), ids="toy.item")
    np.testing.assert_array_equal(find(encoder_of(report)).item_vectors(["i2"]), VECTORS[2:])


def test_a_column_of_the_item_file(store, find, folder):
    lines = ["item_id:token\tdomain:token\timage:float_seq\tother:float_seq"]
    lines += [f"i{n}\ta\t{n} 1\t9 9 9" for n in range(3)]
    (folder / "toy.item").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = store("toy.item:image")
    assert encoder_of(report).startswith("vectors:image@")
    assert find(encoder_of(report)).item_vectors(["i2"]).tolist() == [[2, 1]]
    with pytest.raises(UserError, match=r"NAME:float_seq.*columns image, other \(did you mean"):
        store("toy.item:imag")
    lines[2] = "i1\ta\t\t9 9"
    (folder / "toy.item").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"item: line 3: other has 2 values, expected 3, as in l"):
        store("toy.item:other")
    with pytest.raises(UserError, match=r"no vector of 1 of the 3 items.*the first is 'i1'"):
        store("toy.item:image")


def test_missing_and_unknown_ids_only_when_asked_for(store, find, tmp_path):
    path = write_npy(tmp_path, IN_FILE, ["i2", "zz", "i1"])
    with pytest.raises(UserError, match=r"own\.txt: line 2: the id 'zz' is no item of .*toy\.item"):
        store(path, zero_missing=True)
    message = r"own\.txt: no vector of 1 of the 3 items of .*toy\.item, the first is 'i0'; --missi"
    with pytest.raises(UserError, match=message):
        store(path, drop_unknown=True)
    report = store(path, drop_unknown=True, zero_missing=True)
    assert "1 items have a zero vector (a 1), of which 1 are not in the file" in report.text
    assert "1 vectors of ids that are no item were left out" in report.text
    found = find(encoder_of(report)).item_vectors(["i0", "i1", "i2"])
    np.testing.assert_array_equal(found, [[0, 0, 0], IN_FILE[2], IN_FILE[0]])


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (IN_FILE, ["i2", "i0", "i2"], r"own\.txt: line 3: repeats the id 'i2' of line 1; expec"),
        (IN_FILE, ["i2", "", "i1"], r"own\.txt: line 2: the id is empty"),
        (IN_FILE, IDS[:2], r"own\.txt: 2 ids, but .*own\.npy has 3 rows"),
        (
            IN_FILE,
            ["0", "1", "2"],
            r"line 1: the id '0' is no item of .*, nor is any other; .*'i0'",
        ),
        (IN_FILE, ["i2", "I0", "i1"], r"'I0' is no item of .* \(did you mean 'i0'\?\)"),
        (IN_FILE, None, r"own\.npy: the id of each row is needed: a file own\.txt beside it"),
        (np.zeros((3, 2, 2)), IDS, r"shape \[3, 2, 2\]; expected \[items, values\]"),
        (np.zeros((3, 0)), IDS, r"shape \[3, 0\]; expected"),
        (np.zeros((3, 2), np.int8), IDS, r"own\.npy: holds int8; expected floating-point numbers"),
        (
            np.zeros((3, 2), object),
            IDS,
            r"own\.npy: not an array of numbers .*it holds Python objects",
        ),
        (
            IN_FILE * [[1], [np.nan], [1]],
            IDS,
            r"line 2: the vector of 'i0' .*npy holds a number th",
        ),
        (IN_FILE * np.float32(2e4), IDS, r"line 1: the vector of 'i2' .* above 65,504"),
        (IN_FILE * np.float32(1e-9), IDS, r"line 2: the vector of 'i0' .* float16 makes it zero"),
    ],
)
def test_what_is_refused(store, tmp_path, folder, vectors, ids, message):
    with pytest.raises(UserError, match=message) as error:
        store(write_npy(tmp_path, vectors, ids))
    assert "\n" not in str(error.value)
    assert not (folder / "artefacts").exists()


def test_a_vector_of_zeros_is_kept_and_counted(store, tmp_path):
    report = store(write_npy(tmp_path, IN_FILE * [[1], [0], [1]]))
    assert "1 items have a zero vector (a 1), of which 0 are not in the file" in report.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (3", "not an array of numb"),
        ("text.npy", b"1 2 3", "not an array of numbers"),
        ("model.pt", b"PK\x03\x04", r"may hold a pickle.*save the array with numpy\.save"),
        ("own.pkl", b"\x80\x04.", "may hold a pickle"),
        ("own.csv", b"i0,1,2\n", r"unknown format; expected \.npy, \.safetensors, \.parquet"),
        ("own.safetensors", b"\x00" * 9, "not a readable tensor file"),
        ("own.parquet", b"PAR1 and no more", r"own\.parquet: "),
        ("plain.item", b"item_id:token\tdomain:token\ni0\ta\n", "NAME:float_seq.*found none"),
        ("own.item", b"a:token\tb:token\tv:float_seq\ni0\ta\t1\n", "no column 'item_id:token' of"),
        ("bad.item", b"item_id:token\tv:float_seq\ni0\t1 x\n", "line 2: v: could not convert"),
        ("none.item", b"item_id:token\tv:float_seq\ni0\t\n", "the column v is empty"),
    ],
)
def test_files_that_cannot_be_read(store, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        store(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("select", "source", "message"),
    [
        ("SELECT emb, emb AS b, item_id", {}, r"column of lists of numbers.*found emb, b among"),
        (
            "SELECT emb, item_id AS a, 1 AS b",
            {},
            r"the column of ids, --vector_ids=NAME; found a, b",
        ),
        (
            "SELECT item_id, [item_id] AS emb",
            {},
            r"'emb' is of type VARCHAR\[\]; expected lists of n",
        ),
        (
            "SELECT item_id, emb[:length(item_id) - (item_id = 'i1')::INT] AS emb",
            {},
            "row 3: emb has",
        ),
        ("SELECT item_id, NULL::FLOAT[] AS emb", {}, r"shape \[3, 0\]"),
        (
            "SELECT item_id, [1, NULL]::FLOAT[] AS emb",
            {},
            "row 2: the vector of 'i0' .* not finite",
        ),
        ("SELECT 1.5 AS item_id, emb", {}, "'item_id' is of type DECIMAL.*expected texts or whole"),
        ("SELECT item_id, emb", {"ids": "emb"}, "column of ids.*found 'emb'"),
    ],
)
def test_parquet_that_is_refused(store, tmp_path, select, source, message):
    with pytest.raises(UserError, match=message):
        store(write_parquet(tmp_path, f"{select} {rows_in_sql()}"), **source)


def test_choosing_a_tensor_or_column(store, tmp_path):
    tensors = {"a": torch.ones(3, 2), "b": torch.zeros(3, 2)}
    path = write_safetensors(tmp_path, tensors)
    with pytest.raises(UserError, match=r"holds the tensors a, b; name one of them"):
        store(path)
    assert encoder_of(store(f"{path}:a")).startswith("vectors:a@")
    with pytest.raises(UserError, match=r"a \.npy file is one array; found the column 'a'"):
        store(f"{write_npy(tmp_path)}:a")
    path = write_parquet(tmp_path, f"SELECT emb, emb AS b, item_id AS sku {rows_in_sql()}")
    assert encoder_of(store(f"{path}:b", ids="sku")).startswith("vectors:b@")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"file": "gone.npy"}, r"^vectors: gone\.npy: no such file, neither here nor in .*toy$"),
        ({"file": "own.npy", "ids": "gone.txt"}, r"^vector_ids: gone\.txt: no such file"),
        ({"file": "own.npy", "name": "two words"}, r"^vectors_name: 'two words'; expected a name"),
    ],
)
def test_names_that_are_refused(store, folder, source, message):
    write_npy(folder)
    with pytest.raises(UserError, match=message):
        store(**source)


def test_vectors_that_were_not_stored(store, folder, config, split, tmp_path):
    def complete(encoder):
        reported(config | {"encoder": encoder}, folder, "toy", split, ["embeddings"], False)

    with pytest.raises(
        UserError, match=r"vectors:own: no such vectors in .*; there are none; stor"
    ):
        complete("vectors:own")
    encoder = encoder_of(store(write_npy(tmp_path)))
    complete(encoder)
    with pytest.raises(UserError, match=rf"did you mean '{encoder}'.*there are {encoder}; store"):
        complete("vectors:own")
    items = folder / "toy.item"
    items.write_text(items.read_text().replace("i0", "j0"))
    with pytest.raises(UserError, match=r"was stored for other items than .*toy\.item has now"):
        complete(encoder)


@pytest.mark.parametrize(
    ("only", "keys", "message"),
    [
        ([], {}, r"but profiles would encode some; leave them out \(profiles: False"),
        (["profiles"], {"profile_mode": "titles"}, "but profiles would encode some"),
        (["augment"], {"augment_mode": "generate"}, "but augment_mode generate would encode some"),
        (["augment"], {"augment_mode": "representatives"}, "choose a mode other than repr"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_needs_an_encoder_is_refused_first(
    store, folder, config, split, tmp_path, only, keys, message, dry_run
):
    encoder = encoder_of(store(write_npy(tmp_path)))
    with pytest.raises(UserError, match=message) as error:
        reported(config | {"encoder": encoder} | keys, folder, "toy", split, only, dry_run)
    assert "was made elsewhere" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only=profiles"],
            "--vectors: gives item vectors and nothing else; found --only profil",
        ),
        (["--encoder=x"], "--vectors: takes the place of an encoder; found --encoder beside it"),
        (["--unknown_items=error"], "--unknown_items: found 'error', expected drop"),
        (["--probe"], "found --vectors beside it"),
        (["--jobs=2"], "--jobs: shares the work of making; found --vectors beside it"),
        (["--shard=0/2"], "shard: vectors of a file are stored by one process"),
    ],
)
def test_flags_that_do_not_fit(run_cli, make_dataset, tmp_path, arguments, message):
    folder = make_dataset()
    path = write_npy(tmp_path)
    where = ("--dataset=toy", f"--data_path={folder.parent}", f"--vectors={path}")
    outcome = run_cli("artefacts", *where, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_flags_of_use_with_vectors_only(run_cli):
    outcome = run_cli("artefacts", "--dataset=toy", "--vector_ids=a.txt")
    assert (outcome.status, outcome.err.strip()) == (
        2, "recbole-edt: --vector_ids: of use with --vectors only",
    )  # fmt: skip


def test_a_run_reads_them_where_items_have_no_title(run_cli, make_dataset, tmp_path):
    folder = make_dataset()
    lines = (folder / "toy.item").read_text().splitlines()
    lines = ["\t".join(line.split("\t")[:2]) for line in lines]
    (folder / "toy.item").write_text("\n".join(lines) + "\n")
    ids = [line.split("\t")[0] for line in lines[1:]]
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4))
    where = (f"--data_path={folder.parent}", "--dataset=toy", f"--output_dir={tmp_path}/out")
    path = write_npy(tmp_path, vectors, ids)
    outcome = run_cli("artefacts", *where[:2], "--only", "embeddings", f"--vectors={path}")
    assert outcome.status == 0, outcome.err
    command = outcome.out.strip().splitlines()[-1].partition("recbole-edt ")[2]
    assert f"--data_path={folder.parent}" in command
    similarity = command.replace("LLMEDT", "Similarity").split()
    outcome = run_cli(*similarity, where[2])
    assert outcome.status == 0, outcome.err
    (run,) = (tmp_path / "out/toy/Similarity").iterdir()
    record = json.loads((run / "metrics.json").read_text())
    assert record["artefacts"]["encoder"].startswith("vectors:own@")
    user = run_cli("recommend", f"--run={run}", "--user=u1", "--k=2")
    assert user.status == 0, user.err


TINY = ["--epochs=1", "--hidden_size=8", "--inner_size=8", "--n_heads=1", "--n_layers=1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("LLMEDT", TINY),
        ("SASRecLLM", TINY),
        ("ABXI", [*TINY[:2], "--n_heads=1", "--inner_size=8", "--item_projection=pca"]),
        ("LLM4CDSR", [*TINY[:2]]),
    ],
)
def test_the_same_vectors_train_the_same_model(
    run_cli, make_dataset, give_vectors, tmp_path, model, keys
):
    folder = make_dataset()
    made = give_vectors(folder)
    path = made / "item_vectors.safetensors"
    where = (f"--data_path={folder.parent}", "--dataset=toy")
    flags = (f"--vectors={path}", f"--vector_ids={made}/items.txt", "--vectors_name=same")
    stored = run_cli("artefacts", *where, *flags)
    assert stored.status == 0, stored.err
    encoder = re.search(r"encoder: (vectors:same@\w+)", stored.out)[1]
    tests = []
    for more in ([], [f"--encoder={encoder}"]):
        out = tmp_path / f"out{len(more)}"
        outcome = run_cli("run", f"--model={model}", *where, f"--output_dir={out}", *keys, *more)
        assert outcome.status == 0, outcome.err
        (record,) = out.glob("*/*/*/metrics.json")
        tests.append(json.loads(record.read_text())["test"])
    assert tests[0] == tests[1]


def test_tasks_refuse_what_needs_an_encoder_before_they_start(run_cli, make_dataset):
    folder = make_dataset()
    where = ("--dataset=toy", f"--data_path={folder.parent}")
    outcome = run_cli("artefacts", *where, "--jobs=2", "--encoder=vectors:own@1")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "was made elsewhere and encodes no text, but profiles would" in outcome.err
