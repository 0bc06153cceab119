"""What a run leaves as it was: the configuration and the loggers of its caller."""

import logging

import pytest

import recbole_edt
from recbole_edt.config import EDTConfig
from recbole_edt.runs import RunFolder, execute, load_run
from recbole_edt.runs.logs import logging_to


@pytest.fixture
def config(make_dataset, tmp_path):
    places = {"data_path": str(make_dataset().parent), "output_dir": str(tmp_path / "out")}
    return EDTConfig("Pop", "toy", (), {**places, "show_progress": True})


def test_a_run_changes_neither_configuration_nor_root_logger(config):
    before, level = config.to_dict(), logging.getLogger().level
    folder, record = execute(config)
    assert config.to_dict() == before
    assert config["run_dir"] is None
    assert config["show_progress"] is True
    assert (logging.getLogger().level, logging.getLogger("recbole_edt").level) == (level, 0)
    assert folder.read_record() == record
    assert folder.read_settings() == before


def test_every_file_of_a_run_has_its_path(config):
    folder, _ = execute(config)
    paths = (
        folder.metrics_path, folder.config_path, folder.ranks_path, folder.curves_path,
        folder.log_path, folder.checkpoint_dir,
    )  # fmt: skip
    assert {path.name for path in folder.path.iterdir()} == {path.name for path in paths}


def test_a_finished_run_is_loaded_with_its_record(config):
    folder, record = execute(config)
    loaded = load_run(RunFolder(folder.path), {})
    assert loaded.record == record
    assert loaded.dataset.dataset_name == "toy"
    assert not loaded.model.training


def test_information_of_this_package_and_warnings_of_others_are_logged(tmp_path, capsys):
    with logging_to(tmp_path / "train.log"):
        logging.getLogger("recbole_edt.training").info("ours")
        logging.getLogger("another").info("theirs")
        logging.getLogger().warning("RecBole's")  # which logs to the root logger
    logging.getLogger("recbole_edt.training").info("after it")
    assert capsys.readouterr().err == "ours\nRecBole's\n"
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO ours", "WARNING RecBole's"]


def test_public_names_of_the_package():
    assert {"run_recbole_edt", "load_run", "RunRecord"} <= {*dir(recbole_edt)}
    for name in recbole_edt.__all__:
        assert getattr(recbole_edt, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recbole_edt.nothing
