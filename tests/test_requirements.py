"""An environment in which nothing can work is named in one line that says how to mend it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = ("run", "--model=Popularity", "--dataset=toy")


@pytest.fixture
def environment(tmp_path):
    """Return a function that makes this environment's packages anew, without some of them.

    The result runs ``recbole-edt ARGS`` with them.
    """

    def make(*without):
        folder = tmp_path / "packages"
        folder.mkdir()
        standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
        for entry in map(Path, sys.path):
            if str(entry) in standard or not entry.name.endswith("-packages"):
                continue
            for path in entry.iterdir():
                name = path.name.removesuffix(".py").split("-")[0]
                target = folder / path.name
                if name not in without and path.suffix != ".pth" and not target.exists():
                    target.symlink_to(path)

        def call(*argv):
            variables = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
            command = [sys.executable, "-S", "-m", "recbole_edt", *argv]
            return subprocess.run(
                command, cwd=tmp_path, env=variables, capture_output=True, text=True
            )

        call.folder = folder
        return call

    return make


def give_version(folder, package, version):
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


def assert_refused(done, *said):
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in said:
        assert part in done.stderr


def test_the_rebuilt_environment_works(environment):
    """Otherwise the refusals below would prove nothing."""
    done = environment()("doctor")
    assert done.returncode == 0, done.stderr
    assert "yes models: LLMEDT" in done.stdout


@pytest.mark.parametrize("argv", [RUN, ("prepare", "csv"), ("compare", "--models=Pop,BPR")])
def test_recbole_is_missing(environment, argv):
    call = environment("recbole")
    assert_refused(
        call(*argv),
        "recbole-edt: RecBole is not installed; pip install --no-deps recbole==1.2.1",
    )


def test_recbole_of_another_version(environment):
    call = environment("recbole")
    for entry in map(Path, sys.path):
        if (entry / "recbole").is_dir():
            (call.folder / "recbole").symlink_to(entry / "recbole")
    give_version(call.folder, "recbole", "1.2.0")
    assert_refused(
        call(*RUN), "RecBole 1.2.0 found, expected 1.2.1; pip install --no-deps recbole==1.2.1"
    )


def test_pandas_three(environment):
    call = environment("pandas")
    (call.folder / "pandas").mkdir()
    (call.folder / "pandas" / "__init__.py").touch()
    give_version(call.folder, "pandas", "3.0.1")
    assert_refused(call(*RUN), "pandas 3.0.1 found, expected pandas<3", "pip install 'pandas<3'")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "torch is not installed, or only in part"),  # a folder without __init__.py is left
        ("raise OSError('libtorch.so: no such\\nfile')", "(libtorch.so: no such file)"),
        ("from torch._C import missing", "No module named 'torch._C'"),
    ],
)
def test_torch_is_half_installed(environment, source, said):
    call = environment("torch")
    (call.folder / "torch").mkdir()
    if source is not None:
        (call.folder / "torch" / "__init__.py").write_text(source, encoding="utf-8")
    give_version(call.folder, "torch", "2.13.0")
    assert_refused(call(*RUN), said, "pip install --force-reinstall torch")
    report = call("doctor")  # still reports the versions, for a bug report
    assert report.returncode == 2
    assert "recbole 1.2.1" in report.stdout
    assert said in report.stdout
    assert report.stderr.count("\n") == 1


def test_another_package_is_missing(environment):
    assert_refused(environment("texttable")(*RUN), "texttable is not installed; pip install")


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9", "3.10"])
@pytest.mark.parametrize("entry", [("-m", "recbole_edt", "doctor"), ("run_recbole_edt.py",)])
def test_a_python_that_is_too_old(version, entry):
    python = find_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    done = subprocess.run([python, *entry], cwd=ROOT, capture_output=True, text=True)
    assert_refused(done, f"recbole-edt: Python {version}.", "expected 3.11 or newer", "-m venv")


def find_python(version):
    """Return an interpreter of this version that runs, from the path or pyenv, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    names = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    for name in filter(None, map(str, filter(None, names))):
        check = [name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(check, capture_output=True, text=True)
        if done.stdout.strip() == version:  # pyenv's shims exist for versions that are not active
            return name
    return None
