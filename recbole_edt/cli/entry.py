"""The command line: ``recbole-edt COMMAND``.

Exit status: 0 done, 2 usage or bad input (one line on the error stream), 1 an error of ours,
130 interrupted, 141 nobody reads the output any more.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.errors import UserError, nearest
from recbole_edt.requirements import check_requirements

USAGE = """usage: recbole-edt COMMAND ...

  prepare READER --dataset=NAME ...           raw data -> the files of a dataset
  artefacts --dataset=NAME [--only embeddings,augment,profiles] [--dry-run] [--shard=I/N]
            [--key=value ...]                 item vectors, augmented interactions, profiles
  artefacts --dataset=NAME --probe [--probe-users=N] [--key=value ...]
                                              what the augmenter is worth, on hidden interactions
  run --model=M --dataset=D [--config_files="a.yaml b.yaml"] [--resume] [--key=value ...]
                                              train and evaluate one model
  evaluate --run=DIR [--candidates=all] [--sampled_candidates=N] [--key=value ...]
                                              a finished run's test targets by another protocol
  compare --models=A,B --dataset=D --seeds=1,2,3 [--jobs=N] [--tune=TRIALS] [--key=value ...]
                                              models side by side: tables, tests, report
  compare --file=FILE --dataset=D ...         rows of a compare file, such as ablation
  compare --runs=DIR,DIR                      finished runs
  tune --model=M --dataset=D --params_file=FILE [--trials=N] [--jobs=N]
       [--strategy=random|exhaustive|optuna] [--key=value ...]
                                              the best values of a search space, on validation
  recommend --run=DIR --user=ID [--k=10] [--history=20] [--item=ID]
                                              what comes next for a user, beside the history
  recommend --models=A,B --dataset=D --user=ID      the newest runs' lists side by side
  recommend --run=DIR --all --out=FILE [--per-domain]    all users, as CSV or Parquet
  doctor                                      versions, hardware, what is usable

'recbole-edt prepare READER --help' lists a reader's flags. Every key of a configuration file
is a flag --key=value of 'artefacts', 'run', 'compare' and 'tune'. --debug shows the traceback of
an error."""


_SAME = "; the same command goes on where it stopped"
_GOES_ON = {"run": "; --resume goes on", "artefacts": _SAME, "compare": _SAME, "tune": _SAME}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a title must not end a command on Windows
            stream.reconfigure(errors="backslashreplace")
    sys.exit(dispatch(list(sys.argv[1:] if argv is None else argv)))


def dispatch(argv: list[str]) -> int:
    """Run a command and return its exit status."""
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(USAGE)
            return 0 if argv else 2
        if argv[0] not in _COMMANDS:
            raise UserError(
                f"command: {argv[0]!r} is unknown; expected one of {list(_COMMANDS)}"
                f"{nearest(argv[0], _COMMANDS)}"
            )
        if argv[0] != "prepare" and {"-h", "--help"} & {*argv}:
            print(USAGE)
            return 0
        if argv[0] != "doctor":  # which reports on the environment first
            check_requirements()
        status = _COMMANDS[argv[0]](argv[1:]) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"recbole-edt: interrupted{_GOES_ON.get(argv[0], '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, a name that Windows lacks
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"recbole-edt: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if debug:
            traceback.print_exc()
        print(f"recbole-edt: {error.name} is not installed; pip install {error.name}, or install "
              "recbole-edt once more without --no-deps", file=sys.stderr)  # fmt: skip
        return 2
    except Exception as error:
        if debug:
            traceback.print_exc()
        line = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"recbole-edt: {line} (an error of ours; --debug shows where)", file=sys.stderr)
        return 1


def parse_keys(
    argv: Sequence[str], switches: Sequence[str] = (), with_value: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split arguments into configuration keys and a command's own flags.

    Parameters
    ----------
    argv : sequence of str
        ``--key=value`` arguments in RecBole's style, and the command's flags.
    switches, with_value : sequence of str
        Names of flags that stand alone, and of flags that take ``=value`` or the next argument.

    Raises
    ------
    UserError
        For anything else, among it ``--key value`` with a space, and for a key given twice.
    """
    from recbole_edt.config import parse_value

    keys: dict[str, Any] = {}
    flags: dict[str, Any] = dict.fromkeys(switches, False)
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise UserError(f"found {argument!r}, expected --key=value")
        if name in switches and not equals:
            flags[name] = True
        elif name in with_value:
            if not equals and not rest:
                raise UserError(f"--{name}: expected a value")
            if name in flags:
                raise UserError(f"--{name}: given twice")
            flags[name] = value if equals else rest.pop(0)
        elif not equals:
            following = f" (did you mean --{name}={rest[0]}?)" if rest else nearest(name, switches)
            raise UserError(f"found {argument!r}, expected --{name}=value{following}")
        elif name in keys:
            raise UserError(f"--{name}: given twice")
        else:
            keys[name] = parse_value(value)
    return keys, flags


def _config(keys: dict[str, Any], model: str | None = None) -> Any:
    from recbole_edt.config import EDTConfig

    files = str(keys.pop("config_files", None) or "").split()
    return EDTConfig(model, None, files, keys)


def _prepare(argv: list[str]) -> None:
    from recbole_edt.prepare import command

    parser = ArgumentParser(prog="recbole-edt")
    command.add_arguments(parser.add_subparsers(dest="command"), argv)
    print(command.run(parser.parse_args(["prepare", *argv])))


def _artefacts(argv: list[str]) -> None:
    switches, with_value = ("dry-run", "probe"), ("only", "probe-users", "shard")
    keys, flags = parse_keys(argv, switches, with_value)
    from recbole_edt.artefacts.command import PROBED_USERS, parse_shard, run_artefacts
    from recbole_edt.data.split import load_or_make_split
    from recbole_edt.llm.sharding import shard_from_environment
    from recbole_edt.quick_start import find_dataset

    users = flags.get("probe-users", str(PROBED_USERS))
    if not users.isdecimal() or not int(users):
        raise UserError(f"--probe-users: found {users!r}, expected a whole number above 0")
    if "probe-users" in flags and not flags["probe"]:
        raise UserError("--probe-users: of use with --probe only")
    for flag in ("only", "dry-run", "shard"):
        if flags["probe"] and flags.get(flag):
            raise UserError(f"--probe: measures and makes nothing; found --{flag} beside it")
    shard = parse_shard(flags["shard"]) if "shard" in flags else shard_from_environment()
    config = _config(keys, model="LLMEDT")
    find_dataset(config)
    split = load_or_make_split(config.dataset_dir, config["dataset"], config["split"])
    only = [name for name in str(flags.get("only", "")).split(",") if name]
    probe = int(users) if flags["probe"] else None
    name, dry_run = config["dataset"], flags["dry-run"]
    print(run_artefacts(config, config.dataset_dir, name, split, only, dry_run, probe, shard))


def _run(argv: list[str]) -> None:
    keys, flags = parse_keys(argv, switches=("resume",))
    from recbole_edt import quick_start
    from recbole_edt.evaluation.report import headline, metric_names, metrics_table

    config = _config(keys)
    result = quick_start.run(config, flags["resume"])
    names = metric_names(config["metrics"], config["topk"])
    for phase in result["phases"][:-1]:
        if "test" in phase:
            print(f"test after the {phase['name']} phase")
            print(metrics_table(phase["test"], names), end="\n\n")
    print(headline(result))
    print(metrics_table(result["test"], names))
    print(f"\nwritten to {result['run_dir']}")


def _evaluate(argv: list[str]) -> None:
    from recbole_edt.evaluation.command import FLAGS, evaluate

    keys, flags = parse_keys(argv, with_value=FLAGS)
    print(evaluate(flags, keys))


def _recommend(argv: list[str]) -> None:
    from recbole_edt.recommend.command import FLAGS, SWITCHES, recommend

    keys, flags = parse_keys(argv, SWITCHES, FLAGS)
    print(recommend(flags, keys))


def _compare(argv: list[str]) -> int:
    from recbole_edt.compare.command import COMPARE_FLAGS, compare

    keys, flags = parse_keys(argv, with_value=COMPARE_FLAGS)
    return compare(keys, flags, print, _to_error_stream)


def _tune(argv: list[str]) -> int:
    from recbole_edt.compare.command import TUNE_FLAGS, tune

    keys, flags = parse_keys(argv, with_value=TUNE_FLAGS)
    return tune(keys, flags, print)


def _to_error_stream(line: str) -> None:
    print(line, file=sys.stderr)


def _doctor(argv: list[str]) -> None:
    if argv:
        raise UserError(f"doctor: found {argv[0]!r}, expected no arguments")
    from recbole_edt.cli.doctor import examine

    print(examine())
    check_requirements()


_COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "prepare": _prepare,
    "artefacts": _artefacts,
    "run": _run,
    "evaluate": _evaluate,
    "compare": _compare,
    "tune": _tune,
    "recommend": _recommend,
    "doctor": _doctor,
}
