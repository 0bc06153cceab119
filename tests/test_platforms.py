"""The package runs where POSIX-only modules, signals and functions are missing.

A test cannot become Windows. It can hide what Windows lacks from this package and from every
process that it starts, and let a comparison train models there.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import recbole_edt
from recbole_edt import platforms
from recbole_edt.files import replacing, write_json

PACKAGE = Path(recbole_edt.__file__).parent
MODULES = (
    "resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "spwd", "nis",
    "readline", "curses", "posix_ipc",
)  # fmt: skip
SIGNALS = (
    "SIGKILL", "SIGPIPE", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD",
    "SIGTSTP", "SIGCONT", "SIGSTOP", "pthread_kill", "alarm", "setitimer",
)  # fmt: skip
FUNCTIONS = (
    "fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "nice",
    "getloadavg", "sched_getaffinity", "sched_setaffinity", "statvfs", "mkfifo", "chown", "uname",
    "sysconf", "wait", "wait3", "getpgrp", "ttyname", "initgroups", "WNOHANG", "O_DIRECTORY",
)  # fmt: skip
# Hidden from these packages only: compiled libraries chose their code for this system when built.
HIDING = f"""
import builtins, os, signal
PACKAGES, MODULES = ("recbole_edt", "recbole", "filelock"), {MODULES!r}
class Without:
    def __init__(self, module, names):
        self.__dict__.update({{k: v for k, v in vars(module).items() if k not in names}})
hidden = {{"os": Without(os, {FUNCTIONS!r}), "signal": Without(signal, {SIGNALS!r})}}
original = builtins.__import__
def hiding(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {{}}).get("__name__", "").split(".")[0]
    if importer in PACKAGES and name.split(".")[0] in MODULES:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    if importer == "recbole_edt" and name in hidden:
        return hidden[name]
    return original(name, globals, locals, fromlist, level)
builtins.__import__ = hiding
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Return a function that runs ``recbole-edt ARGS`` without what only POSIX has."""
    folder = tmp_path / "hiding"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDING, encoding="utf-8")

    def run(*argv):
        path = os.pathsep.join([str(folder), str(PACKAGE.parent)])
        return subprocess.run(
            [sys.executable, "-m", "recbole_edt", *map(str, argv)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    return run


def test_names_are_really_hidden(elsewhere, tmp_path):
    """Otherwise the tests below would prove nothing."""
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('recbole_edt.probe', sys.argv[1])\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
    )
    module = tmp_path / "probe.py"
    path = str(tmp_path / "hiding")
    for line in ("import resource", "import fcntl", "import os; os.fork", "import os; os.getuid",
                 "import signal; signal.SIGKILL", "import os; os.sched_getaffinity"):  # fmt: skip
        module.write_text(line, encoding="utf-8")
        done = subprocess.run([sys.executable, "-c", code, str(module)], capture_output=True,
                              text=True, env={**os.environ, "PYTHONPATH": path})  # fmt: skip
        assert done.returncode == 1, line
        assert "Error" in done.stderr.splitlines()[-1]


def test_every_module_can_be_imported(elsewhere, tmp_path):
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__main__" and path.parent.name != "templates"
    ]
    assert len(modules) > 50
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    path = os.pathsep.join([str(tmp_path / "hiding"), str(PACKAGE.parent)])
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path})  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_doctor_a_run_and_a_comparison_work(elsewhere, make_dataset, give_vectors, tmp_path):
    """The comparison starts a process per run, which hides the same names."""
    give_vectors(make_dataset())
    done = elsewhere("doctor")
    assert done.returncode == 0, done.stderr
    common = ("--dataset=toy", f"--data_path={tmp_path}/dataset", "--epochs=1")
    done = elsewhere("run", "--model=LLMEDT", *common, "--shared_min_epochs=0", "--hidden_size=8",
                     "--inner_size=8", "--adapter_size=4")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = elsewhere("compare", "--models=Pop,Popularity", "--seeds=1", "--jobs=2", *common)
    assert done.returncode == 0, done.stderr
    metrics = list((tmp_path / "output").rglob("metrics.json"))
    assert len(metrics) == 3
    for path in metrics:  # the memory that psutil reports
        assert 50 < json.loads(path.read_text("utf-8"))["cost"]["peak_rss_mb"] < 10_000


def test_peak_memory_in_the_unit_of_each_system(monkeypatch):
    class Memory:
        rss = 100 << 20

    class WindowsMemory(Memory):
        peak_wset = 300 << 20

    class Usage:
        ru_maxrss = 200 << 20

    resource = pytest.importorskip("resource", reason="the unit is that of POSIX systems")
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: Memory)
    monkeypatch.setattr(resource, "getrusage", lambda _: Usage)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert platforms.peak_rss_mb() == 200  # bytes there
    monkeypatch.setattr(sys, "platform", "linux")
    assert platforms.peak_rss_mb() == 200 << 10  # KiB there
    monkeypatch.setitem(sys.modules, "resource", None)
    assert platforms.peak_rss_mb() == 100
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: WindowsMemory)
    assert platforms.peak_rss_mb() == 300


def test_a_process_that_windows_cannot_interrupt_ends_with_its_input(monkeypatch):
    code = "import sys; sys.stdin.read(); sys.exit(5)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    monkeypatch.setattr(sys, "platform", "win32")
    platforms.interrupt(process)
    monkeypatch.undo()
    assert process.wait(60) == 5


@pytest.mark.parametrize("system", ["win32", "linux"])
def test_a_process_interrupts_itself(monkeypatch, system):
    if system == "win32":  # os.kill would end it there
        monkeypatch.setattr(os, "kill", None)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(KeyboardInterrupt):
        platforms.interrupt_this_process()


def test_a_file_is_synced_through_a_handle_that_may_write(tmp_path, monkeypatch):
    """Windows refuses to sync a file that is open for reading only."""
    modes = []
    original = os.fsync

    def fsync(descriptor):
        os.write(descriptor, b"")  # raises for a handle that only reads
        modes.append(descriptor)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "a.json", {"text": "größer"})
    with replacing(tmp_path / "b.bin") as temporary:
        temporary.write_bytes(b"x")
    assert len(modes) == 2


def test_text_files_are_the_same_bytes_on_every_system(tmp_path):
    write_json(tmp_path / "a.json", {"text": "größer"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "text": "größer"\n}\n'.encode()


def _calls():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.name}:{node.lineno}", node


def _name(node):
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _literal(node, index, key):
    given = {word.arg: word.value for word in node.keywords}
    value = given.get(key, node.args[index] if len(node.args) > index else None)
    return value.value if isinstance(value, ast.Constant) else None


def test_text_is_opened_with_its_encoding_and_line_ends():
    """Windows would read the code page of the country, and write another byte per line."""
    wrong = []
    for where, node in _calls():
        name, keys = _name(node), {word.arg for word in node.keywords}
        if name == "open" and isinstance(node.func, ast.Name):
            mode = _literal(node, 1, "mode") or "r"
            if "b" not in mode and "encoding" not in keys:
                wrong.append(f"{where}: no encoding")
            if mode.strip("t") in ("w", "a", "x") and "newline" not in keys:
                wrong.append(f"{where}: no newline")
        elif name == "read_text" and _literal(node, 0, "filename") in ("METADATA", "PKG-INFO"):
            continue  # of an installed distribution, always UTF-8
        elif name in ("read_text", "write_text") and isinstance(node.func, ast.Attribute):
            if "encoding" not in keys:
                wrong.append(f"{where}: no encoding")
            if name == "write_text" and "newline" not in keys:
                wrong.append(f"{where}: no newline")
        elif name in ("to_csv", "DictWriter", "writer") and "lineterminator" not in keys:
            wrong.append(f"{where}: no lineterminator")
    assert wrong == []


def test_posix_only_modules_are_imported_in_one_module_only():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            if {*names} & {*MODULES}:
                found.add(path.name)
    assert found == {"platforms.py"}
