"""What packaging says in more than one file is the same in all, and the commands of the README."""

import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from itertools import chain
from pathlib import Path

import pytest

import recbole_edt
from recbole_edt.requirements import RECBOLE

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def constraints():
    """Return the version of each package in ``constraints.txt``."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    versions = dict(line.split("==") for line in lines)
    assert len(versions) == len(lines) > 20
    return {normal(name): version for name, version in versions.items()}


def test_every_package_is_in_the_wheel():
    folders = {path.parent for path in (ROOT / "recbole_edt").rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    wheel = ConfigParser()
    wheel.read(ROOT / "setup.cfg", encoding="utf-8")
    mapped = {line.split(" = ")[0] for line in wheel["options"]["package_dir"].strip().split("\n")}
    assert set(wheel["options"]["packages"].split()) == names | mapped


def test_the_version_is_written_once():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "\nversion:" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {recbole_edt.__version__}\n" in changes


def test_recbole_is_the_same_release_everywhere_and_no_dependency(constraints):
    named = set(re.findall(r"recbole==([\d.]+)", README))
    assert named == {RECBOLE} == {constraints["recbole"]}
    assert PROJECT["dependency-groups"]["recbole"] == [f"recbole=={RECBOLE}"]
    names = [re.match(r"[\w-]+", line)[0] for line in PROJECT["project"]["dependencies"]]
    assert "recbole" not in names
    assert "ray" not in names


def test_dependencies_have_a_tested_version(constraints):
    extras = PROJECT["project"]["optional-dependencies"]
    groups = PROJECT["dependency-groups"].values()
    lists = [extras[name] for name in extras if name != "wandb"]
    wanted = chain(PROJECT["project"]["dependencies"], *lists, *groups)
    names = {normal(re.match(r"[\w-]+", line)[0]) for line in wanted} - {"recbole-edt"}
    assert names == set(constraints)


def test_the_lock_file_has_the_tested_versions_and_ray_as_an_extra_only(constraints):
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {}
    for package in lock["package"]:
        locked.setdefault(package["name"], set()).add(package.get("version"))
    assert {name: locked.get(name) for name in constraints} == {
        name: {version} for name, version in constraints.items()
    }
    assert not {"plotly", "thop", "llama-cpp-python"} & set(locked)
    packages = {package["name"]: package for package in lock["package"]}
    needs_ray = [
        name
        for name, package in packages.items()
        if any(one["name"] == "ray" for one in package.get("dependencies", ()))
    ]
    extras = packages["recbole-edt"]["optional-dependencies"]
    assert not needs_ray
    assert [n for n, ones in extras.items() if any(one["name"] == "ray" for one in ones)] == [
        "cluster"
    ]


@pytest.mark.parametrize("marker", ["run", "tests"])
def test_commands_of_the_readme_are_one_line_each(marker):
    blocks = re.findall(rf"<!-- {marker} -->\n```sh\n(.*?)```", README, re.DOTALL)
    (block,) = blocks
    assert block.count("\n") == 1
    done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_supported_python_is_the_one_that_all_files_name():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    classifiers = " ".join(PROJECT["project"]["classifiers"])
    named = set(re.findall(r"Python :: (3\.\d+)", classifiers))
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'"(3\.\d+)"', workflow)) == named
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in named
