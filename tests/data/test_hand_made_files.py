"""Atomic files that users of RecBole bring: read as they are, or refused with the way out."""

import json
import re
from pathlib import Path

import pytest
import synthetic

from recbole_edt import cli

HEADERS = {
    "inter": "user_id:token\titem_id:token\ttimestamp:float",
    "item": "item_id:token\tdomain:token\ttitle:token_seq",
}
OFTEN = "d0-0"  # the most popular item of its domain


def figures(folder: Path, out: Path, *keys: str) -> dict:
    """Run Pop on a dataset and return its figures of test and validation."""
    where = (f"--dataset={folder.name}", f"--data_path={folder.parent}", f"--output_dir={out}")
    assert cli.dispatch(["run", "--model=Pop", *where, *keys]) == 0
    (record,) = out.glob("*/*/*/metrics.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    return {part: content[part] for part in ("test", "valid")}


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    """Return the dataset under its usual names; not to be written to."""
    return synthetic.make_dataset(tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="module")
def expected(usual, tmp_path_factory) -> dict:
    return figures(usual, tmp_path_factory.mktemp("out"))


@pytest.fixture
def refused(run_cli, tmp_path):
    """Return a function that runs Pop on a dataset and returns the one line that refuses it."""

    def run(folder: Path, *keys: str) -> str:
        where = (f"--dataset={folder.name}", f"--data_path={folder.parent}")
        outcome = run_cli("run", "--model=Pop", *where, f"--output_dir={tmp_path}/out", *keys)
        assert (outcome.status, outcome.err.count("\n")) == (2, 1), outcome.err
        return outcome.err

    return run


def rewrite(folder: Path, change) -> None:
    """Change the bytes of both files."""
    for kind in HEADERS:
        path = folder / f"{folder.name}.{kind}"
        path.write_bytes(change(path.read_bytes()))


def called(name: str):
    return lambda content: content.replace(f"{OFTEN}\t".encode(), f"{name}\t".encode())


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (lambda content: b"\xef\xbb\xbf" + content, []),
        (lambda content: content.replace(b"\n", b"\r\n"), []),
        (called("NA"), []),
        (called("null"), []),
        (called("nan"), []),
        (lambda content: content.replace(b"title of d0-1\n", b'12" "pan"\n'), []),
        (lambda content: content, ["--load_col={inter: [user_id, item_id, timestamp]}"]),
        (lambda content: content, ["--load_col=null"]),
        (lambda content: content, ["--load_col={inter: '*', item: [title]}"]),
        (
            lambda content: content.replace(b"domain:token", b"shop:token"),
            ["--DOMAIN_FIELD=shop", "--load_col={inter: [user_id, item_id]}"],
        ),
    ],
    ids=["bom", "crlf", "NA", "null", "nan", "quotes", "inter", "all", "title", "domain"],
)
def test_the_same_values_as_of_the_usual_files(expected, make_dataset, tmp_path, change, keys):
    folder = make_dataset()
    rewrite(folder, change)
    assert figures(folder, tmp_path / "out", *keys) == expected


def test_an_item_called_na_is_recommended_by_its_name(run_cli, make_dataset, tmp_path):
    folder = make_dataset()
    rewrite(folder, called("NA"))
    where = ("--dataset=toy", f"--data_path={folder.parent}", f"--output_dir={tmp_path}/out")
    assert run_cli("run", "--model=Pop", *where).status == 0
    (run,) = (tmp_path / "out/toy/Pop").iterdir()
    outcome = run_cli("recommend", f"--run={run}", "--user=one", "--k=40")
    assert outcome.status == 0, outcome.err
    assert re.search(r"\bNA\b", outcome.out)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("USER_ID_FIELD=uid", "USER_ID_FIELD: found 'uid', expected 'user_id'; 'recbole-edt prep"),
        ("ITEM_ID_FIELD=iid", "ITEM_ID_FIELD: found 'iid', expected 'item_id'; 'recbole-edt prep"),
        ("TIME_FIELD=time", "TIME_FIELD: found 'time', expected 'timestamp'; 'recbole-edt prep"),
        ("field_separator=,", r"field_separator: found ',', expected '\t'; 'recbole-edt prepare"),
        ("encoding=latin-1", "encoding: found 'latin-1', expected utf-8; convert the files"),
        (
            "load_col={inter: [user_id, ratng]}",
            "load_col: inter: {folder}/toy.inter has no column 'ratng'; found user_id, item_id, ti",
        ),
        (
            "load_col={item: [item_id, titel]}",
            "toy.item has no column 'titel' (did you mean 'title'?); found item_id, domain, title",
        ),
        (
            "load_col={user: [user_id, age]}",
            "load_col: user: {folder}/toy.user does not exist; lea",
        ),
        ("load_col={items: [title]}", "load_col: items: no such file is read; expected some of in"),
        ("load_col={kg: [head]}", "load_col: kg: no such file is read; expected some of inter, it"),
        ("load_col={item: title}", "load_col: item: found 'title', expected a list of columns"),
        ("load_col={item:[title]}", "load_col: '{item:[title]}' is no YAML; expected brackets in"),
        ("unload_col={item: [title]}", "unload_col: item: found beside the columns of load_col;"),
    ],
)
def test_keys_that_are_refused(refused, usual, key, message):
    assert message.replace("{folder}", str(usual)) in refused(usual, f"--{key}")


def test_a_column_that_every_model_reads_is_not_unloaded(refused, usual):
    said = refused(usual, "--load_col=null", "--unload_col={item: [domain]}")
    assert "unload_col: item: found 'domain', which every model reads" in said


def test_columns_of_unload_col_are_there(refused, usual):
    said = refused(usual, "--load_col=null", "--unload_col={item: [titel]}")
    assert "toy.item has no column 'titel' (did you mean 'title'?); found item_id, domain" in said
    said = refused(usual, "--load_col=null", "--unload_col={user: [age]}")
    assert f"unload_col: user: {usual}/toy.user does not exist; leave it out" in said


def test_names_in_the_yaml_of_the_dataset(refused, make_dataset):
    folder = make_dataset()
    (folder / "toy.yaml").write_text("USER_ID_FIELD: uid\n")
    assert f"{folder}/toy.yaml: USER_ID_FIELD: found 'uid', expected 'user_id'" in refused(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.replace(b"\t", b","),
            r"toy\.inter: line 1: columns are separated by ',', expected a tab; 'recbole-edt prep"
            r"are atomic .* with --sep=','",
        ),
        (
            lambda content: content.replace(b"user_id:", b"uid:"),
            r"no column 'user_id' among \['uid', 'item_id', 'timestamp'\].*prepare atomic .*user_c",
        ),
        (
            lambda content: content.replace(b":token_seq", b"").replace(b":token", b""),
            r"toy\.inter: column 'user_id': expected NAME:TYPE.*prepare csv reads tables without",
        ),
        (
            lambda content: content.replace(b"user_id:token", b"user_id:float"),
            r"toy\.inter: column 'user_id:float'; expected 'user_id:token'",
        ),
        (
            lambda content: content.replace(b"timestamp:float", b"timestamp:token"),
            r"toy\.inter: column 'timestamp:token'; expected 'timestamp:float'",
        ),
        (
            lambda content: content.replace(b"domain:token\t", b"domain:token_seq\t"),
            r"toy\.item: column 'domain:token_seq'; expected 'domain:token'",
        ),
        (
            lambda content: content.replace(b"title of d0-1\n", b'"Pan\n'),
            r"toy\.item: line \d+: title is '\"Pan'; expected no leading .*prepare atomic",
        ),
        (
            lambda content: "\n".join(content.decode().splitlines()).encode("utf-16"),
            "not valid UTF",
        ),
    ],
    ids=["separator", "names", "types", "token", "time", "domain", "quote", "utf-16"],
)
def test_files_that_are_refused(refused, make_dataset, change, message):
    folder = make_dataset()
    rewrite(folder, change)
    assert re.search(message, refused(folder))


def test_what_prepare_atomic_makes_of_them_has_the_same_values(
    run_cli, expected, make_dataset, tmp_path
):
    folder = make_dataset("raw")
    rewrite(
        folder,
        lambda content: (
            b"\xef\xbb\xbf"
            + content.replace(b"user_id", b"uid").replace(b"\t", b";").replace(b"\n", b"\r\n")
        ),
    )
    names = "USER_ID_FIELD: uid\nfield_separator: ';'\n"
    (folder / "raw.yaml").write_text(names, encoding="utf-8")
    command = ("prepare", "atomic", f"--sources={folder}", "--dataset=toy", "--min_user_inter=1")
    outcome = run_cli(*command, "--min_item_inter=0", f"--data_path={tmp_path}/made")
    assert outcome.status == 0, outcome.err
    assert figures(tmp_path / "made" / "toy", tmp_path / "out") == expected
