"""What a model may offer beside RecBole's interface, and the default for what it does not.

Every protocol is optional: a RecBole model that offers none of them is trained in one phase, on
RecBole's rows, with one best epoch. `capabilities_of` gives trainer, evaluation and run records
one interface to all of them, so that nobody else asks a model what it can do.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

SINGLE_PHASE = "train"
"""Name of the only phase of a model that declares none."""


class KeyedConfig(Protocol):
    """The run's configuration, by key; `recbole_edt.config` checks it."""

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key."""


@runtime_checkable
class TrainsOnWindows(Protocol):
    """A model class trained on windows of user sequences (`recbole_edt.data.windows`)."""

    trains_on_windows: bool


@runtime_checkable
class SharesBatches(Protocol):
    """A model class whose losses of shares of a batch add up (`recbole_edt.model.batch_share`)."""

    shares_batches: bool


@runtime_checkable
class Searchable(Protocol):
    """A model class that says whether a hyper-parameter search has anything to try."""

    has_settings: bool


@runtime_checkable
class TrainsInPhases(Protocol):
    """A model trained in several phases, one after another.

    Attributes
    ----------
    phases : sequence of str
        Names in order. A phase called NAME has the keys ``NAME_epochs``,
        ``NAME_learning_rate``, ... beside the general ones.
    phase : str
        The present one.
    """

    phases: Sequence[str]
    phase: str

    def begin_phase(self, phase: str) -> None:
        """Start a phase from the best weights of the one before, then `set_phase`.

        A resumed run calls this for the interrupted phase only and loads its weights afterwards.
        """

    def set_phase(self, phase: str) -> None:
        """Choose which parameters are trained (``requires_grad``) and what scores are made of."""


@runtime_checkable
class KeepsPhases(Protocol):
    """A phased model some of whose phases can be evaluated again after later ones."""

    def keeps_phase(self, phase: str) -> bool:
        """Return whether later phases leave everything that this phase scores with unchanged."""


@runtime_checkable
class SeparatesDomains(Protocol):
    """A model with parameters that serve one domain each, so that each has its own best epoch."""

    def separate_parts(self, phase: str) -> Sequence[str] | None:
        """Return one prefix of state_dict names per domain; None: one best epoch for all."""


@runtime_checkable
class MayStayUnchanged(Protocol):
    """A model with phases that may end with the weights that they start from."""

    def may_stay_unchanged(self, phase: str) -> bool:
        """Return whether epoch 0, before any step, is a candidate for the phase's best epoch."""


@runtime_checkable
class ReusesPhase(Protocol):
    """A model whose first phase can be loaded from a finished run of another one."""

    def reuse_phase(self, weights: Mapping[str, Tensor]) -> None:
        """Load what the first phase trains; `UserError` when names or sizes differ."""


@runtime_checkable
class SmoothsTargets(Protocol):
    """A model whose cross-entropy over items can have smoothed targets.

    Attributes
    ----------
    smooths_targets : bool
        True; read from the class, before a model is made.
    """

    smooths_targets: bool

    def smooth_targets(self, phase: str) -> None:
        """Use the keys ``target_smoothing*`` of a phase from now on."""


@runtime_checkable
class SparseGradients(Protocol):
    """A model with tables of which a step changes only the rows that it reads."""

    def sparse_parameters(self) -> Sequence[nn.Parameter]:
        """Return the parameters whose gradients are sparse; none of the others' ever is."""


@runtime_checkable
class HasOwnLearningRates(Protocol):
    """A model some of whose parameters have a learning rate of their own."""

    def own_learning_rates(self) -> Sequence[tuple[nn.Parameter, float]]:
        """Return parameters that are trained now, each with its rate; empty for none."""


@runtime_checkable
class ScoresDomains(Protocol):
    """A model that can score the items of one domain only; ranking costs that much less."""

    def domain_scores(self, interaction: Any, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield for each domain the scores of its items, after some of the histories.

        They are what ``full_sort_predict`` returns for these rows and items.

        Parameters
        ----------
        interaction : Interaction
            Histories of B users.
        rows : sequence of torch.Tensor
            For each domain k, which of them to score, K times int64 [B_k].

        Yields
        ------
        torch.Tensor
            [B_k, n_k], the domain's items in rising order of their ids.
        """


@runtime_checkable
class TakesNewItems(Protocol):
    """A model that reads items by their LLM vectors, and so can score items newer than training."""

    def add_items(self, vectors: Tensor, domains: Tensor, seen: Tensor) -> None:
        """Append items to those that are scored; they take the numbers after the last one.

        Parameters
        ----------
        vectors : torch.Tensor
            LLM vectors, float32 [n, m].
        domains : torch.Tensor
            Domain of each, int64 [n].
        seen : torch.Tensor
            Which items so far have a training interaction, bool [n_items].

        Raises
        ------
        UserError
            When this model's settings leave the vectors unread.
        """


@runtime_checkable
class RepresentsItems(Protocol):
    """A model that has a vector of each item."""

    def item_representations(self) -> Tensor:
        """Return the vector of each item, float [n_items, d]."""


@runtime_checkable
class SplitsScores(Protocol):
    """A model whose scores are sums of a shared part and one of the item's domain.

    Attributes
    ----------
    splits_scores : bool
        Whether they are in the present phase.
    """

    @property
    def splits_scores(self) -> bool:
        """See the attribute."""

    def domain_parts(self, interaction: Any, rows: Tensor, items: Tensor) -> Tensor:
        """Return both parts of some scores, float32 [n, 2].

        Parameters
        ----------
        interaction : Interaction
            Histories of B users.
        rows, items : torch.Tensor
            Which history and which item each score is of, int64 [n].
        """


class Capabilities:
    """A model's optional capabilities, each with the default of a plain RecBole model.

    Parameters
    ----------
    model : RecBole model
        Any; it may satisfy any of this module's protocols.
    """

    def __init__(self, model: Any):
        self._model = model

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the training phases in order; only `SINGLE_PHASE` by default."""
        model = self._model
        return tuple(model.phases) if isinstance(model, TrainsInPhases) else (SINGLE_PHASE,)

    def begin_phase(self, phase: str) -> None:
        """Start a phase; nothing to do for a model without phases."""
        if isinstance(self._model, TrainsInPhases):
            self._model.begin_phase(phase)
            if isinstance(self._model, SmoothsTargets):
                self._model.smooth_targets(phase)

    def set_phase(self, phase: str) -> None:
        """Score as in a phase; nothing to do for a model without phases."""
        if isinstance(self._model, TrainsInPhases):
            self._model.set_phase(phase)

    def kept_phases(self) -> list[str]:
        """Return the phases before the last one that can still be evaluated; none by default."""
        model = self._model
        earlier = self.phases[:-1] if isinstance(model, KeepsPhases) else ()
        return [phase for phase in earlier if model.keeps_phase(phase)]

    def trained_parameters(self) -> Iterable[Any]:
        """Return what the phase's optimizer gets; all parameters of a model without phases.

        Parameters with a learning rate of their own are parameter groups of torch's optimizers.
        """
        parameters: Iterable[nn.Parameter] = self._model.parameters()
        if isinstance(self._model, TrainsInPhases):
            parameters = [p for p in parameters if p.requires_grad]
        model = self._model
        rates = model.own_learning_rates() if isinstance(model, HasOwnLearningRates) else ()
        if not rates:
            return parameters
        own = {id(parameter) for parameter, _ in rates}
        groups: list[dict[str, Any]] = [{"params": [p for p in parameters if id(p) not in own]}]
        return groups + [{"params": [parameter], "lr": rate} for parameter, rate in rates]

    def sparse_parameters(self) -> Sequence[nn.Parameter]:
        """Return the parameters with sparse gradients; none by default."""
        model = self._model
        return model.sparse_parameters() if isinstance(model, SparseGradients) else ()

    def separate_parts(self, phase: str) -> Sequence[str] | None:
        """Return prefixes of parameters per domain that keep their own best epoch, or None."""
        model = self._model
        return model.separate_parts(phase) if isinstance(model, SeparatesDomains) else None

    def may_stay_unchanged(self, phase: str) -> bool:
        """Return whether epoch 0 may be a phase's best epoch; False by default."""
        model = self._model
        return isinstance(model, MayStayUnchanged) and model.may_stay_unchanged(phase)

    @property
    def shares_batches(self) -> bool:
        """Whether processes may each compute the loss of a share of a batch; False by default."""
        return isinstance(self._model, SharesBatches) and bool(self._model.shares_batches)

    @property
    def scores_domains(self) -> bool:
        """Whether the model offers ``domain_scores``."""
        return isinstance(self._model, ScoresDomains)

    @property
    def takes_new_items(self) -> bool:
        """Whether the model offers ``add_items``."""
        return isinstance(self._model, TakesNewItems)

    def item_representations(self) -> Tensor | None:
        """Return a vector per item [at least n_items, d]; RecBole's embedding, or None."""
        if isinstance(self._model, RepresentsItems):
            return self._model.item_representations()
        embedding = getattr(self._model, "item_embedding", None)
        return embedding.weight if isinstance(embedding, nn.Embedding) else None

    @property
    def splits_scores(self) -> bool:
        """Whether the model offers ``domain_parts``, and its scores now have two parts."""
        return isinstance(self._model, SplitsScores) and bool(self._model.splits_scores)

    def domain_parts(self, interaction: Any, rows: Tensor, items: Tensor) -> Tensor:
        """Return the shared part of scores and that of the domain, [n, 2]."""
        parts: Tensor = self._model.domain_parts(interaction, rows, items)
        return parts

    @property
    def can_reuse_phase(self) -> bool:
        """Whether the first phase can be loaded from another run."""
        return isinstance(self._model, ReusesPhase)


def capabilities_of(model: Any) -> Capabilities:
    """Return a model's capabilities."""
    return Capabilities(model)


def trains_on_windows(model_class: type) -> bool:
    """Return whether a model class is trained on windows; False by default."""
    return isinstance(model_class, TrainsOnWindows) and bool(model_class.trains_on_windows)


def has_settings(model_class: type) -> bool:
    """Return whether a search has anything to try; True by default."""
    return not isinstance(model_class, Searchable) or bool(model_class.has_settings)
