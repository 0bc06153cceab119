"""What every part of a set is made from, what making it reports, and reuse of a finished part."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recbole_edt import fields
from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import Catalogue, read_catalogue
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.artefacts.training_rows import TrainingRows, read_training_rows
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError
from recbole_edt.llm import LanguageModel, LLMSettings, Shard, open_language_model


@dataclass(frozen=True)
class PartReport:
    """What became of one part of a set.

    Attributes
    ----------
    part : str
        One of `store.PARTS`.
    status : str
        ``made``, ``complete`` (it was there), ``reused`` (files of another set), ``estimated``
        (a dry run), or ``asked`` (a shard's questions are answered, the part is not made yet).
    text : str
        Lines to print.
    """

    part: str
    status: Literal["made", "complete", "reused", "estimated", "asked"]
    text: str


@dataclass(frozen=True)
class ArtefactTask:
    """The set that is to be made, and lazily read inputs.

    Attributes
    ----------
    config : mapping
        The configuration.
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.inter`` and ``NAME.item``.
    name : str
        The dataset's name.
    settings : ArtefactSettings
        Settings of the set.
    catalogue : Catalogue
        The items.
    split : Split
        Which rows are trained on.
    shard : Shard
        The share of the questions to a language model that this process asks, by user id.
    """

    config: Mapping[str, Any]
    dataset_dir: Path
    name: str
    settings: ArtefactSettings
    catalogue: Catalogue
    split: Split
    shard: Shard

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        dataset_dir: Path,
        name: str,
        split: Split,
        shard: Shard | None = None,
    ) -> "ArtefactTask":
        """Return the task of the set that a configuration asks for.

        Raises
        ------
        UserError
            When ``NAME.item`` is missing or malformed.
        """
        settings = ArtefactSettings.from_config(config)
        catalogue = read_catalogue(dataset_dir, name, settings.catalogue_template)
        return cls(config, dataset_dir, name, settings, catalogue, split, shard or Shard())

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the hash of the set covers."""
        return self.settings.identity(self.catalogue, self.split)

    @property
    def folder(self) -> Path:
        """Where the set is made."""
        return store.set_folder(self.dataset_dir, self.identity)

    @property
    def show_progress(self) -> bool:
        """The key ``show_progress``."""
        return bool(self.config["show_progress"])

    @cached_property
    def training(self) -> TrainingRows:
        """The training rows; `UserError` as `read_training_rows`."""
        path = self.dataset_dir / f"{self.name}.inter"
        return read_training_rows(path, self.split, self.catalogue, self.settings.domain_field)

    @cached_property
    def titles(self) -> list[str]:
        """Title of each catalogue row, ``""`` where there is none.

        Raises
        ------
        UserError
            When there is no title at all, so that a language model has nothing to read.
        """
        path = self.catalogue.path
        if fields.TITLE not in self.catalogue.columns:
            raise UserError(f"{path}: has no field '{fields.TITLE}', which prompts are made of")
        titles = [title.strip() for title in self.catalogue.column(fields.TITLE)]
        if not any(titles):
            raise UserError(
                f"{path}: no item has a title, so there is nothing to ask a model about"
            )
        return titles

    @cached_property
    def language_model(self) -> LanguageModel:
        """The language model behind the dataset's store of replies.

        Raises
        ------
        UserError
            When the model cannot be loaded.
        """
        settings = LLMSettings.from_config(self.config)
        return open_language_model(settings, self.dataset_dir / "artefacts")

    def item_vectors(self) -> np.ndarray:
        """Return the vector of each catalogue row, float32 [N, m]; zeros without text.

        Raises
        ------
        UserError
            When they have not been made, or are damaged.
        """
        source = self._vector_set()
        if source is None:
            encoder = self.settings.encoder
            if self.settings.made_elsewhere:
                raise UserError(store.no_such_vectors(encoder, self.dataset_dir, self.name))
            raise UserError(
                f"{self.dataset_dir / 'artefacts'}: no item vectors of encoder "
                f"{encoder!r}; make them with "
                f"'recbole-edt artefacts --dataset={self.name} --only {store.EMBEDDINGS}'"
            )
        return source.item_vectors(self.catalogue.ids)

    def has_item_vectors(self) -> bool:
        """Whether the vectors have been made, in this set or in another with the same ones."""
        return self._vector_set() is not None

    def _vector_set(self) -> store.ArtefactSet | None:
        artefacts = store.find_set(self.dataset_dir, self.name, self.identity)
        return artefacts if artefacts is not None and artefacts.has(store.EMBEDDINGS) else None

    def record(self, part: str, entry: store.Entry) -> store.ArtefactSet:
        """Enter a finished part into the set's manifest and return the set."""
        return store.record_part(self.folder, self.name, self.identity, part, entry)

    def model_entry(self, prompt: Mapping[str, object]) -> store.Entry:
        """Return what the manifest records of the language model and of its prompts."""
        model = self.language_model
        return {
            "llm": dict(model.source),
            "llm_identity": dict(model.identity),
            "prompt": dict(prompt),
        }

    def report_asked(self, part: str, answered: str) -> PartReport:
        """Report that this shard's questions are answered; `answered` counts them."""
        text = (
            f"{part}: part {self.shard.index} of {self.shard.count}: {answered}; when all parts "
            "are, run the command without a shard"
        )
        return PartReport(part, "asked", text)

    def report_uncountable(self, part: str) -> PartReport:
        """Report of a dry run that the part depends on item vectors, which are not there yet."""
        text = (
            f"{part}: cannot be counted before the item vectors are there; "
            f"make them with '--only {store.EMBEDDINGS}' and repeat the dry run"
        )
        return PartReport(part, "estimated", text)

    def exclusive_lock(self, work: Path, what: str) -> AbstractContextManager[None]:
        """Lock the work folder of a part, so that no question is asked, and paid for, twice."""
        name = f"{self.shard.index}-of-{self.shard.count}.lock"
        refusal = f"{self.folder}: another process is making its {what}; --shard shares the work"
        return store.exclusive_lock(work / name, refusal)


def reuse_part(
    task: ArtefactTask,
    part: str,
    describe: Callable[[store.ArtefactSet], str],
    what: str,
    spared: str,
    dry_run: bool,
) -> PartReport | None:
    """Reuse a part that this set or another one has already; None when no set has it.

    A part with questions that failed is not reused: they are asked again.

    Parameters
    ----------
    task : ArtefactTask
        The set that needs the part.
    part : str
        Its name.
    describe : callable
        Describes the part of a set.
    what, spared : str
        What is shared, and the verb for the work that need not be done.
    dry_run : bool
        Write nothing.

    Raises
    ------
    UserError
        When the part is not as it was made.
    """
    source = store.find_source_set(task.dataset_dir, task.name, task.identity, part)
    if source is None or source.manifest[part].get("failed"):
        return None
    source.check(part)
    if source.hash == task.folder.name:
        return PartReport(part, "complete", f"{part}: complete already\n{describe(source)}")
    if dry_run:
        text = f"{part}: would share {what} of {source.path}; nothing to {spared}"
        return PartReport(part, "estimated", text)
    store.share_part(source, task.folder, part)
    shared = task.record(part, source.manifest[part] | {"shared_with": source.hash})
    text = f"{part}: shared with the set {source.hash}\n{describe(shared)}"
    return PartReport(part, "reused", text)
