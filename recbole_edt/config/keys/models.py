"""Keys that models read; which model reads which is in `recbole_edt.config.models`."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt

from recbole_edt.config.keys.base import (
    Count,
    CountFromZero,
    KeyGroup,
    NotNegative,
    Positive,
    Probability,
)
from recbole_edt.config.rules import Expected, Label, check_text, checked_by, refuse

_PAIRS = ("mixed-source", "mixed-target", "source-target")


def _rates(value: Any) -> None:
    good = isinstance(value, list) and len(value) == len(_PAIRS)
    if not good or not all(type(v) in (int, float) and v >= 0 for v in value) or not sum(value):
        refuse(
            f"found {value!r}, expected three numbers >= 0 ({', '.join(_PAIRS)}) that are not all 0"
        )


_SCALE = "a number > 0 or sqrt_vector_size"
InputScale = Annotated[Positive | Literal["sqrt_vector_size"], Expected(_SCALE), Label(_SCALE)]
LossType = Annotated[
    Any, checked_by(check_text), Label("`CE`, `SS`, `BCE`, `published`; stock models `CE`, `BPR`")
]
Rates = Annotated[Any, checked_by(_rates), Label("a list of three numbers >= 0")]


class ArtefactsKeys(KeyGroup):
    """What a model reads of the LLM's artefacts."""

    augment: bool
    """Add the augmented interactions to the training sequences."""
    augment_as: Literal["context", "targets"]
    """context: they are read and never predicted; targets: they are predicted too."""
    augment_inference: bool
    """Histories that are scored hold the augmented interactions too; targets and masks stay as they
    are."""
    profiles: bool
    """Align states with the domain-aware profiles: of LLMEDT in the phases of align_phase, of
    LLM4CDSR the mixed state."""
    align_phase: Literal["shared", "domain", "both"]
    """Phase in which states are aligned with profiles: shared, where the gradient reaches the
    backbone; domain, where it reaches the domain threads; both."""
    profile_shuffle: bool
    """Deal the profiles out to the users at random: the control of what profiles are worth."""
    beta: NotNegative
    """Weight of the alignment with profiles; 0 makes them irrelevant."""
    alpha: NotNegative
    """Weight of the alignment of two domains' items."""
    temperature: Positive
    """Divides similarities in the alignments; of ABXI, scores in every loss."""


class ItemsKeys(KeyGroup):
    """Item representation."""

    item_projection: Literal["pca", "mlp", "none"]
    """How LLM vectors become item vectors. pca: linear, trainable, starting at the principal
    directions; mlp: two linear layers without activation; none: item ids only."""
    item_vectors: Literal["frozen", "trainable"]
    """frozen: the LLM's item vectors stay as they are; trainable: they are trained from there on,
    in every phase."""
    item_vectors_learning_rate: Positive | None
    """Learning rate of trainable item vectors; empty: that of the phase."""
    item_id_embedding: bool
    """Add a trainable vector per item to the projected LLM vector."""
    item_bias: Literal["none", "popularity"]
    """none, or popularity: trainable, starting at half the log of 1 + training count."""
    input_scale: InputScale
    """Factor on item vectors entering the backbone; sqrt_vector_size: the root of the LLM vectors'
    size."""
    new_item_neighbours: CountFromZero
    """At scoring, an item without any training interaction takes what was learnt for this many of
    the nearest items of its domain by LLM vectors: their mean id vector and bias. 0: it keeps its
    untrained ones."""
    item_tables: Literal["separate", "shared"]
    """separate: item vectors of the mixed, each source and the target encoders; shared: one
    table."""
    freeze_local: bool
    """The domains' reduced item vectors are not trained."""


class LossKeys(KeyGroup):
    """Loss."""

    loss_type: LossType
    """CE: cross-entropy over the candidates; SS: softmax over sampled candidates; BCE: binary, one
    negative; published: of the model's own paper (see baselines.md)."""
    loss_scope: Literal["target_domain", "all"]
    """Candidates and negatives of CE, SS and BCE: target_domain, or all items."""
    num_negatives: Count
    """Negatives that a batch shares (SS); of ABXI's published loss, of each domain."""
    sparse_updates: bool
    """Of SS: a step changes the id vectors and biases of the items that the batch holds and of no
    other item, so that it costs about the same for any number of items (adam and adamw become
    torch's `SparseAdam`; no weight decay). False: of all items, whose Adam moments decay."""
    unseen_negatives: bool
    """Items without any training interaction compete in CE, SS and BCE too (of C2DSR in every
    loss). They never are the answer, so that they would only learn to be ranked last."""
    negatives_per: Literal["slot", "user", "batch"]
    """Who shares a draw of negatives (published): slot (nobody), user, batch."""
    loss_slots: Count | None
    """Predict at this many last positions of a window only; empty: at all."""
    next_item_weight: Annotated[float, Ge(0), Le(1)]
    """Weight of the next-item losses; the infomax terms have the rest to 1."""
    logit_scale: Positive
    """Factor on cosines in the next-item loss."""
    contrastive_weight: NotNegative
    """Weight of the contrastive loss."""
    contrastive_rates: Rates
    """Shares of its pairs mixed-source, mixed-target, source-target."""
    contrastive_temperature: Positive
    """Divides cosines in the contrastive loss."""
    triplet_weight: NotNegative
    """Weight of the triplet loss."""
    triplet_margin: NotNegative
    """Margin of the triplet loss."""


class TargetSmoothingKeys(KeyGroup):
    """Smoothed targets, of each phase."""

    per_phase = True

    target_smoothing: Annotated[float, Ge(0), Lt(1)]
    """With loss_type CE a label keeps 1 minus this weight; the items of its domain that are nearest
    to it by LLM vectors, and have training interactions, share the rest. Models of this package
    that are trained; 0: the label has all."""
    target_smoothing_temperature: Positive
    """Their shares are the softmax of cosines divided by this."""
    target_smoothing_neighbours: Count
    """How many nearest items share it."""


class EncoderKeys(KeyGroup):
    """Sequence encoder."""

    hidden_size: Count
    """Width d of items and states."""
    n_layers: Count
    """Layers of the encoder, or of each encoder."""
    n_heads: Count
    """Attention heads; they divide hidden_size."""
    inner_size: Count
    """Width inside the feed-forward layers."""
    hidden_dropout_prob: Probability
    """Dropout of embeddings and layers; of C2DSR also of the averages over the graph."""
    attn_dropout_prob: Probability
    """Dropout of attention weights."""
    dropout_prob: Probability
    """Dropout of items and of every part."""
    hidden_act: Literal["gelu", "relu", "swish", "tanh", "sigmoid"]
    """Activation in the feed-forward layers."""
    layer_norm_eps: NotNegative
    """Added to the variance in layer normalisation."""
    initializer_range: NotNegative
    """Standard deviation of initial weights; of C2DSR of item and position vectors."""
    state_scale: Positive
    """Initial weight of the last LayerNorm. At 1 the first scores are so far apart that epochs go
    into shrinking them."""
    feed_forward: Literal["bottleneck", "pointwise"]
    """bottleneck: half the width, GELU and a LayerNorm; pointwise: SASRec's."""
    causal: bool
    """False: every position sees the whole window, its own label included."""
    attend_padding: bool
    """Padding and empty slots take attention."""
    thread_rank: Count
    """Rank of each thread's own map."""
    invariant_rank: Count
    """Rank of each domain's map of the mixed state."""
    graph_layers: CountFromZero
    """Times that item vectors are averaged over their successors."""
    graph_last_item: bool
    """The graph holds each user's last training item; False leaves it out, with the transition into
    it."""


class DomainPhaseKeys(KeyGroup):
    """Domain-specific phase."""

    adapter_size: Count
    """Width r of the bottleneck adapters."""
    adapter_dropout: Probability
    """Dropout inside the adapters."""
    adapter_residual: Literal["learned", "full"]
    """Domain state beside the adapter: learned starts at weight 0, so that phase 2 starts at "no
    change"; full keeps weight 1."""
    domain_dropout: bool
    """Dropout of the frozen backbone in the domain thread."""


class UntrainedKeys(KeyGroup):
    """Rungs without training."""

    similarity: Literal["max", "mean", "last"]
    """max: to the nearest of the last items; mean: to their mean; last: to the last one."""
    similarity_items: Count
    """Last items of the history that are compared."""
    similarity_lag: NotNegative
    """What each step back costs (max only)."""
    similarity_popularity: NotNegative
    """Weight of the log of the training count."""


class StockKeys(KeyGroup):
    """Stock models of RecBole (their other keys: RecBole's documentation)."""

    embedding_size: Count
    """Width of the embeddings."""
    dropout: Probability
    """Dropout, where RecBole calls it so (NNCF)."""
    item_dropout: Probability
    """Dropout of items (CORE)."""
    sess_dropout: Probability
    """Dropout of sessions (CORE)."""
    node_dropout: Probability
    """Dropout of nodes (NGCF)."""
    message_dropout: Probability
    """Dropout of messages (NGCF)."""
    selected_features: list
    """Columns of NAME.item that a model with features reads (SASRecF, GRU4RecF, FDSA)."""
