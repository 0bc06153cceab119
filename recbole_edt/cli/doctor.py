"""What a bug report needs: versions, hardware, and which optional pieces can be used.

It starts in about the time of ``import torch``: RecBole, pandas and transformers are looked up and
not imported.
"""

import os
import platform
import shutil
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import yaml

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.errors import UserError
from recbole_edt.paths import properties_dir
from recbole_edt.requirements import EXPORT, check_requirements, missing_for_export, versions

USAGE = """\
  doctor                                      versions, hardware, what is usable
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add nothing: the command takes no flags."""


def run(args: Namespace) -> None:
    """Print the report; refuse an environment that cannot work, after reporting on it."""
    print(examine())
    check_requirements()


def examine() -> str:
    """Return a report on this machine, one finding per line, also where nothing else works."""
    try:
        check_requirements()
        problem = None
    except UserError as error:
        problem = str(error)
    lines = ["versions"]
    lines += [f"  {name} {number}" for name, number in versions().items()]
    lines += ["hardware", f"  {platform.platform()}"]
    lines += [f"  {line}" for line in ([] if problem else _devices())]
    free = shutil.disk_usage(Path.cwd()).free >> 30
    lines.append(f"  {free} GiB free in {Path.cwd()}")
    lines.append("usable")
    pieces = [("no ", problem)] if problem else _pieces()
    lines += [f"  {mark} {text}" for mark, text in pieces]
    return "\n".join(lines)


def _devices() -> list[str]:
    import torch

    lines = [f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} used by torch"]
    if torch.cuda.is_available():
        lines += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    else:
        lines.append("no GPU")
    return lines


def _pieces() -> list[tuple[str, str]]:
    from recbole_edt.config.models import OWN
    from recbole_edt.recbole_bridge.stock import stock_models

    stock = len(stock_models())
    pieces = [("yes", f"models: {', '.join(OWN)} and {stock} of RecBole's")]
    pieces.append(_encoder())
    for module, use in (("tensorboard", "log_tensorboard"), ("wandb", "log_wandb")):
        pieces.append(("yes" if find_spec(module) else "no ", f"{module}, for --{use}=True"))
    missing = missing_for_export()
    lacking = f" (not installed: {', '.join(missing)})" if missing else ""
    pieces.append(("no " if missing else "yes", f"{', '.join(EXPORT)}, for 'export'{lacking}"))
    return pieces


def _encoder() -> tuple[str, str]:
    from recbole_edt.llm import find_model_folder

    defaults = (properties_dir() / "overall.yaml").read_text(encoding="utf-8")
    name = yaml.safe_load(defaults)["encoder"]
    try:
        find_model_folder(name, None, "encoder")
    except UserError as error:
        return "no ", f"default encoder ({error})"
    return "yes", f"default encoder {name}, for 'artefacts'"
