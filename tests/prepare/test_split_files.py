"""Files that are split already: their rows stay train, validation and test."""

import json

import numpy as np
import pytest
from small_tables import ITEMS

from recbole_edt.data.split import TEST, TRAIN, VALID, rows_after_later_parts
from recbole_edt.errors import UserError

HEAD = "user_id,item_id,timestamp\n"
TRAINED = HEAD + "2,k,10\n1,a,10\n1,k,20\n"
VALIDATED = HEAD + "1,b,30\n2,a,20\n"
TESTED = HEAD + "2,b,20\n1,k,40\n1,a,50\n"
PARTS = {"train": TRAINED, "valid": VALIDATED, "test": TESTED}


@pytest.fixture
def prepare_parts(tmp_path, prepare):
    """Write the three parts and the items, and prepare them as dataset ``three``."""

    def run(*argv, parts=PARTS, items=ITEMS):
        flags = []
        for name, text in {**parts, "items": items}.items():
            (tmp_path / f"{name}.csv").write_text(text)
            flags.append(f"--{name}={tmp_path}/{name}.csv")
        return prepare("csv", *flags, "--dataset=three", *argv)

    return run


def codes_of(tmp_path):
    folder = next(tmp_path.rglob("three.inter")).parent / "split"
    return np.load(folder / "files.npy").tolist()


def test_each_row_keeps_its_part(prepare_parts, read, tmp_path):
    report = prepare_parts()
    assert read("three.inter")[["user_id", "item_id"]].to_numpy().tolist() == [
        ["1", "a"], ["1", "k"], ["1", "b"], ["1", "k"], ["1", "a"],
        ["2", "k"], ["2", "a"], ["2", "b"],
    ]  # fmt: skip
    # user 2's validation and test rows are of one time: the order of the files is theirs
    assert codes_of(tmp_path) == [TRAIN, TRAIN, VALID, TEST, TEST, TRAIN, VALID, TEST]
    assert "split files: 3 train, 2 valid, 3 test" in report
    assert "3  rows of train" in report
    config = next(tmp_path.rglob("three.yaml")).read_text()
    assert "split: files" in config


def test_filters_leave_the_parts_of_what_they_keep(prepare_parts, tmp_path):
    more = {**PARTS, "train": TRAINED + "3,a,1\n"}
    prepare_parts("--min_user_inter=2", parts=more)
    assert codes_of(tmp_path) == [TRAIN, TRAIN, VALID, TEST, TEST, TRAIN, VALID, TEST]


def test_another_split_of_the_same_rows_replaces_the_first(prepare_parts, tmp_path):
    prepare_parts()
    moved = {**PARTS, "train": TRAINED + "1,b,30\n", "valid": HEAD + "2,a,20\n"}
    prepare_parts(parts=moved)
    assert codes_of(tmp_path) == [TRAIN, TRAIN, TRAIN, TEST, TEST, TRAIN, VALID, TEST]


def test_a_model_trains_and_tests_on_them(prepare_parts, run_cli, tmp_path):
    # every held-out row is a target: six users with two test rows each
    rows = {"train": [], "valid": [], "test": []}
    items = [f"{d}{n},{d},title" for d in ("food", "kitchen") for n in range(8)]
    names = [item.split(",")[0] for item in items]
    for user in range(6):
        for t in range(8):
            part = "train" if t < 5 else "valid" if t == 5 else "test"
            rows[part].append(f"{user},{names[(user * 3 + t * 5) % 16]},{t}\n")
    parts = {name: HEAD + "".join(lines) for name, lines in rows.items()}
    prepare_parts(parts=parts, items="item_id,domain,title\n" + "\n".join(items) + "\n")
    data = next(tmp_path.rglob("three.inter")).parent.parent
    for model in ("Pop", "Popularity"):
        where = (f"--data_path={data}", f"--output_dir={tmp_path}/out", "--dataset=three")
        done = run_cli("run", f"--model={model}", *where, "--topk=[3]", "--valid_metric=NDCG@3")
        assert done.status == 0, done.err
        (path,) = tmp_path.glob(f"out/three/{model}/*/metrics.json")
        record = json.loads(path.read_text())
        assert record["protocol"]["split"] == "files"
        assert record["valid"]["overall"]["users"] == 6
        assert record["test"]["overall"]["users"] == 12


def test_recboles_benchmark_files_are_read(tmp_path, prepare):
    folder = tmp_path / "bench"
    folder.mkdir()
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    for name, text in PARTS.items():
        rows = text.removeprefix(HEAD).replace(",", "\t")
        (folder / f"bench.{name}.inter").write_text(head + rows)
    item = "item_id:token\tdomain:token\ttitle:token_seq\n" + ITEMS.partition("\n")[2].replace(
        ",", "\t"
    )
    (folder / "bench.item").write_text(item)
    report = prepare("atomic", f"--sources={folder}", "--dataset=three")
    assert "split files: 3 train, 2 valid, 3 test" in report
    expected = [TRAIN, TRAIN, VALID, TEST, TEST, TRAIN, VALID, TEST]
    assert codes_of(tmp_path) == expected
    for part in PARTS:  # named otherwise in RecBole's configuration
        (folder / f"bench.{part}.inter").rename(folder / f"bench.my_{part}.inter")
    with pytest.raises(UserError, match=r"bench.inter: no such file"):
        prepare("atomic", f"--sources={folder}", "--dataset=three")
    (folder / "bench.yaml").write_text("benchmark_filename: [my_train, my_valid, my_test]\n")
    prepare("atomic", f"--sources={folder}", "--dataset=three")
    assert codes_of(tmp_path) == expected
    (folder / "bench.yaml").write_text("benchmark_filename: [my_train, my_test]\n")
    with pytest.raises(UserError, match="expected a list of three names"):
        prepare("atomic", f"--sources={folder}", "--dataset=three")


def test_a_table_per_domain_may_be_split_too(tmp_path, prepare):
    flags = []
    for part, text in PARTS.items():
        for domain, items in (("food", "ab"), ("kitchen", "k")):
            rows = [row for row in text.splitlines()[1:] if row.split(",")[1] in items]
            # each domain's test rows: k of user 1 only
            (tmp_path / f"{domain}.{part}").write_text(
                HEAD + "".join(f"{row}\n" for row in rows or ["9,k,1"])
            )
        flags.append(f"--{part}=food={tmp_path}/food.{part},kitchen={tmp_path}/kitchen.{part}")
    report = prepare("csv", *flags, "--dataset=three")
    assert "split files: 3 train, 3 valid, 3 test" in report
    assert "1  rows of test of kitchen" in report
    assert codes_of(tmp_path)[:5] == [TRAIN, TRAIN, VALID, TEST, TEST]


@pytest.mark.parametrize(
    ("flags", "parts", "message"),
    [
        ((), {"train": TRAINED, "valid": VALIDATED}, r"--test=FILE missing; expected all of"),
        (("--split=time",), PARTS, "split: found 'time' with files that are split already"),
        (("--ties=shuffle",), PARTS, "ties: found 'shuffle' with files that are split already"),
        (("--inter=x.csv",), PARTS, "found --inter and parts of a split"),
        ((), {**PARTS, "valid": HEAD}, r"valid.csv: holds no interactions; expected some valid"),
        ((), {**PARTS, "valid": HEAD + "1,b,soon\n"}, r"valid.csv: line 2: timestamp is 'soon'"),
        ((), {**PARTS, "test": HEAD + "1,zz,40\n"}, r"test.csv: line 2: item 'zz' is not in"),
        (
            (), {**PARTS, "train": TRAINED + "1,a,99\n"},
            "split: user '1' has train rows after rows of a later part in time, as have 0 other",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(prepare_parts, tmp_path, flags, parts, message):
    with pytest.raises(UserError, match=message):
        prepare_parts(*flags, parts=parts)
    assert not list(tmp_path.rglob("three.inter"))


def test_a_dataset_without_such_files_says_how_they_are_made(run_cli, make_dataset, tmp_path):
    folder = make_dataset()
    done = run_cli("run", "--model=Popularity", "--dataset=toy", f"--data_path={folder.parent}",
                   f"--output_dir={tmp_path}/out", "--split=files")  # fmt: skip
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "prepare csv --train=FILE --valid=FILE --test=FILE" in done.err


def test_context_rows_are_of_no_part():
    users, codes = np.array([0, 0, 0, 0, 1]), np.array([0, 3, 1, 3, 0])
    assert not rows_after_later_parts(users, codes).any()
