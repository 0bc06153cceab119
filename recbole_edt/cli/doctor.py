"""What a bug report needs: versions, hardware, and which optional pieces can be used."""

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

import torch

from recbole_edt.config.edt_config import EDTConfig
from recbole_edt.errors import UserError
from recbole_edt.model.registry import own_models
from recbole_edt.quick_start import versions
from recbole_edt.recbole_bridge.stock import stock_models


def examine() -> str:
    """Return a report on this machine, one finding per line."""
    lines = ["versions"]
    lines += [f"  {name} {number}" for name, number in versions().items()]
    lines += ["hardware", f"  {platform.platform()}"]
    lines.append(f"  {os.cpu_count()} CPU cores, {torch.get_num_threads()} used by torch")
    if torch.cuda.is_available():
        lines += [f"  {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    else:
        lines.append("  no GPU")
    free = shutil.disk_usage(Path.cwd()).free >> 30
    lines.append(f"  {free} GiB free in {Path.cwd()}")
    lines.append("usable")
    lines += [f"  {mark} {text}" for mark, text in _pieces()]
    return "\n".join(lines)


def _pieces() -> list[tuple[str, str]]:
    stock = len(stock_models())
    found = [("yes", f"models: {', '.join(own_models())} and {stock} of RecBole's")]
    found.append(_encoder())
    for module, use in (("tensorboard", "log_tensorboard"), ("wandb", "log_wandb")):
        found.append(("yes" if find_spec(module) else "no ", f"{module}, for --{use}=True"))
    return found


def _encoder() -> tuple[str, str]:
    from recbole_edt.artefacts.embeddings import find_encoder

    name = EDTConfig("LLMEDT", "none")["encoder"]
    try:
        find_encoder(name, None)
    except UserError as error:
        return "no ", f"default encoder ({error})"
    return "yes", f"default encoder {name}, for 'artefacts'"
