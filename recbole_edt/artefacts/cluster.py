"""Artefacts made by child processes, of this machine or of a cluster: one task per shard.

Item vectors are one task. Of a part that asks a language model, tasks answer the questions of
one shard each, and one more task then makes the part from all replies, as ``--shard`` and a last
call without it do.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_edt.artefacts.augmenter.settings import AugmentSettings
from recbole_edt.artefacts.make import make_artefacts, wanted_parts
from recbole_edt.artefacts.profiles.questions import ProfileSettings
from recbole_edt.artefacts.settings import ArtefactSettings, refuse_to_encode
from recbole_edt.artefacts.store import AUGMENT, PROFILES
from recbole_edt.artefacts.task import ArtefactTask, PartReport
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.executors import (
    FAILED,
    USER,
    ChildCall,
    ChildResult,
    Executor,
    preload_code,
    read_answer,
    run_children,
    start_code,
)
from recbole_edt.files import digest
from recbole_edt.llm import Shard

_SHARD = "recbole_edt.artefacts.shard_process"
_LOGS = ".work-tasks"  # in the set's folder; kept when a task fails


class TaskFailedError(Exception):
    """A task that ended for no reason that the user can change, in one line."""


def make_with_executor(
    config: Any,
    dataset_dir: Path,
    name: str,
    split: Split,
    executor: Executor,
    only: Sequence[str] = (),
    messages: Callable[[str], None] = lambda line: None,
) -> list[PartReport]:
    """Make the wanted parts of a set with as many tasks at a time as the executor has slots.

    What is complete, or shared with another set, starts no task. When a task fails, the replies of
    the others are kept, and the same call goes on.

    Parameters
    ----------
    config : EDTConfig
        The configuration; tasks read the same one.
    dataset_dir, name, split, only
        As for `make.make_artefacts`.
    executor : Executor
        Starts the tasks.
    messages : callable
        Gets a line when a task ends.

    Raises
    ------
    UserError
        What a task refused.
    TaskFailedError
        When a task crashed, or its machine was lost.
    """
    parts = wanted_parts(only)
    refuse_to_encode(ArtefactSettings.from_config(config), parts)
    task = ArtefactTask.from_config(config, dataset_dir, name, split)
    reports = []
    for part in parts:
        source = task.source_set(part)
        if source is not None and not source.manifest[part].get("failed"):
            reports += make_artefacts(config, dataset_dir, name, split, only=[part])
            continue
        logs = task.folder / _LOGS
        if executor.slots > 1 and _asks_model(config, part):
            shards = [Shard(index, executor.slots) for index in range(executor.slots)]
            _run_tasks(config, logs, part, shards, executor, messages)
        (answer,) = _run_tasks(config, logs, part, [Shard()], executor, messages)
        shutil.rmtree(logs, ignore_errors=True)
        reports.append(PartReport(part, answer["part_status"], answer["text"]))
    return reports


def _asks_model(config: Mapping[str, Any], part: str) -> bool:
    if part == AUGMENT:
        return AugmentSettings.from_config(config).asks_model
    if part == PROFILES:
        return ProfileSettings.from_config(config).asks_model
    return False


def _run_tasks(
    config: Any,
    logs: Path,
    part: str,
    shards: Sequence[Shard],
    executor: Executor,
    messages: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Run one task per shard of a part and return their answers."""
    settings = task_settings(config)
    request = {"settings": settings, "digest": digest(settings), "part": part}
    names, calls = [], []
    for index, count in ((shard.index, shard.count) for shard in shards):
        names.append(f"{part}, part {index} of {count}" if count > 1 else part)
        log = logs / f"{part}-{index}-of-{count}.log"
        of_shard = {**request, "shard": [index, count]}
        calls.append(ChildCall(start_code(_SHARD), of_shard, log, preload_code(_SHARD)))
    answers: dict[int, dict[str, Any]] = {}

    def on_end(index: int, result: ChildResult) -> None:
        answers[index] = answer = read_answer(result, calls[index].log)
        failed = answer["status"] == FAILED
        end = f"failed: {answer['reason']}" if failed else f"done in {result.seconds:.1f} s"
        if len(shards) > 1:
            messages(f"{names[index]}: {end}")

    run_children(executor, calls, on_end)
    for index, name in enumerate(names):
        answer = answers[index]
        if answer["status"] == FAILED and answer["kind"] == USER:
            raise UserError(answer["reason"])
        if answer["status"] == FAILED:
            raise TaskFailedError(f"{name}: {answer['reason']}; the same command goes on")
    return [answers[index] for index in range(len(shards))]


def task_settings(config: Any) -> dict[str, Any]:
    """Return the configuration that tasks read, as plain values."""
    # a run's settings leave this one out, because no run depends on it
    return {**config.to_dict(), "llm_thinking_tokens": config["llm_thinking_tokens"]}
