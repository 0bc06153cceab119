"""The dispatcher of ``recbole-edt COMMAND``; each command is a module of this package.

Exit status: 0 done, 2 usage or bad input (one line on the error stream), 1 an error of ours,
130 interrupted, 141 nobody reads the output any more.
"""

import gc
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from recbole_edt import distributed
from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.errors import UserError, is_out_of_memory, nearest, one_line
from recbole_edt.requirements import check_requirements

COMMANDS = (
    "prepare", "artefacts", "run", "evaluate", "compare", "tune", "recommend", "explore", "export",
    "doctor",
)  # fmt: skip
"""Names of modules; each has ``USAGE``, ``add_arguments(parser)`` and ``run(args)``."""

_IN_PROCESSES = ("run", "evaluate")
"""What torchrun may start."""

_NOTES = """'recbole-edt COMMAND --help' lists a command's flags, 'recbole-edt prepare READER
--help' a reader's. Every key of a configuration file is a flag --key=value of 'artefacts',
'run', 'compare' and 'tune'. --debug shows the traceback of an error."""
_SAME = "; the same command goes on where it stopped"
_AFTER_INTERRUPT = {
    "run": "; --resume goes on", "artefacts": _SAME, "compare": _SAME, "tune": _SAME,
}  # fmt: skip

_LESS_MEMORY = (
    "smaller train_batch_size, eval_batch_size, MAX_ITEM_LIST_LENGTH or hidden_size need less"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a title must not end a command on Windows
            stream.reconfigure(errors="backslashreplace")
    status = dispatch(list(sys.argv[1:] if argv is None else argv))
    gc.freeze()  # else Python looks through all of torch for garbage, a second, before it ends
    sys.exit(status)


def dispatch(argv: list[str]) -> int:
    """Run a command and return its exit status."""
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(usage())
            return 0 if argv else 2
        status = _run_command(argv[0], [_with_home(argument) for argument in argv[1:]])
        sys.stdout.flush()
        distributed.stop()
        return status
    except KeyboardInterrupt:
        _report(f"interrupted{_AFTER_INTERRUPT.get(argv[0], '')}")
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, a name that Windows lacks
    except Exception as error:
        if debug:
            traceback.print_exc()
        status, line = _explain(error, argv[0])
        _report(line)
        return status


def _explain(error: Exception, command: str) -> tuple[int, str]:
    """Return the exit status of an error, and what is reported of it."""
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, distributed.ProcessEndedError):
        count, goes_on = distributed.launched_size(), _AFTER_INTERRUPT.get(command, "")
        return 1, f"torchrun: one of {count} processes has ended, and so all do{goes_on}"
    if isinstance(error, ModuleNotFoundError):
        return 2, (
            f"{error.name} is not installed; pip install {error.name}, or install "
            "recbole-edt once more without --no-deps"
        )
    if is_out_of_memory(error):
        return 2, f"out of memory ({one_line(error, 200)}); {_LESS_MEMORY}"
    line = one_line(f"{type(error).__name__}: {error}")
    return 1, f"{line} (an error of ours; --debug shows where)"


def _report(line: str) -> None:
    """Print a line on the error stream; of several processes only the first one does."""
    if distributed.reports_error():
        print(f"recbole-edt: {line}", file=sys.stderr, flush=True)


def usage() -> str:
    """Return the usage of all commands."""
    lines = "\n".join(_module(name).USAGE.rstrip("\n") for name in COMMANDS)
    return f"usage: recbole-edt COMMAND ...\n\n{lines}\n\n{_NOTES}"


def _with_home(argument: str) -> str:
    """Return an argument with the home folder for ``~/``, which shells leave as it is after "="."""
    flag, equals, value = argument.partition("=")
    is_path = flag.startswith("--") and value.startswith("~/")
    return f"{flag}{equals}{os.path.expanduser(value)}" if is_path else argument


def _run_command(name: str, argv: list[str]) -> int:
    if name not in COMMANDS:
        raise UserError(
            f"command: {name!r} is unknown; expected one of {list(COMMANDS)}"
            f"{nearest(name, COMMANDS)}"
        )
    if distributed.launched_size() > 1:
        if name not in _IN_PROCESSES:
            raise UserError(
                f"torchrun: {name} is not for several processes; expected one of "
                f"{list(_IN_PROCESSES)}, or {name} without torchrun"
            )
        distributed.start()
    module = _module(name)
    if name != "doctor" and not {"-h", "--help"} & {*argv}:  # doctor reports on it first
        check_requirements(import_torch=name != "prepare")
    usage = f"\n{module.USAGE}".rstrip("\n")
    parser = ArgumentParser(prog=f"recbole-edt {name}", usage=usage, argv=argv)
    module.add_arguments(parser)
    try:
        args = parser.parse_args(argv)
    except SystemExit:  # argparse has printed what --help asked for
        return 0
    return module.run(args) or 0


def _module(name: str) -> ModuleType:
    return import_module(f"recbole_edt.cli.{name}")
