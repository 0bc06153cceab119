import pytest
import yaml

from recbole_edt.errors import UserError
from recbole_edt.files import read_json, sha256_of
from recbole_edt.paths import properties_dir
from recbole_edt.prepare.dataset_files import dataset_config


def test_ready_configurations_are_what_prepare_writes(prepare_csv, tmp_path):
    prepare_csv()
    written = yaml.safe_load((tmp_path / "dataset" / "small" / "small.yaml").read_text())
    assert written == dataset_config()
    for path in (properties_dir() / "dataset").glob("*.yaml"):
        ready = yaml.safe_load(path.read_text())
        assert {key: ready.pop(key) for key in written} == written, path.name
        assert set(ready) <= {"profile_hide_titles"}, path.name  # how its artefacts were made


def test_provenance(prepare_csv, tmp_path):
    prepare_csv("--min_user_inter=2")
    folder = tmp_path / "dataset" / "small"
    made = read_json(folder / "prepare.json")
    assert made["reader"] == "csv"
    assert made["arguments"]["min_user_inter"] == 2
    assert made["inputs"][0] == {"file": "inter.csv", "sha256": sha256_of(tmp_path / "inter.csv")}
    assert made["files"]["small.inter"] == sha256_of(folder / "small.inter")
    assert made["counts"]["tied_share"] == 0.25
    assert made["counts"]["length"] == {"min": 3, "mean": 3.0, "max": 3}


def test_preparing_again_replaces_the_files_and_the_stale_split_but_no_artefacts(
    prepare_csv, tmp_path
):
    prepare_csv()
    folder = tmp_path / "dataset" / "small"
    (folder / "artefacts").mkdir()
    old = read_json(folder / "split" / "leave_one_out.json")["hash"]
    assert "is removed" not in prepare_csv()
    assert read_json(folder / "split" / "leave_one_out.json")["hash"] == old
    report = prepare_csv(inter="user_id,item_id,timestamp\n1,a,1\n1,k,2\n1,b,3\n")
    assert "the split of the interactions that were here before is removed" in report
    assert read_json(folder / "split" / "leave_one_out.json")["hash"] != old
    assert (folder / "artefacts").is_dir()


def test_a_failure_while_writing_leaves_the_old_dataset_as_it_was(
    prepare_csv, tmp_path, monkeypatch
):
    prepare_csv()
    folder = tmp_path / "dataset" / "small"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(path, items):
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("recbole_edt.prepare.dataset_files._write_items", full)
    with pytest.raises(UserError, match="No space left on device"):
        prepare_csv(inter="user_id,item_id,timestamp\n1,a,1\n1,k,2\n")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_failure_in_a_new_folder_leaves_none(prepare_csv, nothing_left, monkeypatch):
    def interrupted(path, items):
        raise KeyboardInterrupt

    monkeypatch.setattr("recbole_edt.prepare.dataset_files._write_items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_csv()
    assert nothing_left()
