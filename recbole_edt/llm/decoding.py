"""Running a causal language model over token ids: shared prefixes, batches, greedy choice.

All functions here work on lists of token ids and know nothing of text. A *prefix* is a run of
tokens that several sequences start with; its keys and values are computed once and copied.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Ids = Sequence[int]
Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
"""(Logits [rows, vocabulary], row numbers) to the next token of each row, [rows]."""


@dataclass(frozen=True)
class Prefix:
    """Tokens that were read already.

    Attributes
    ----------
    ids : tuple of int
        The tokens, P of them; may be none.
    cache : transformers.Cache or None
        Their keys and values, for a batch of one.
    logits : torch.Tensor or None
        Logits of the token after them, [vocabulary].
    """

    ids: tuple[int, ...] = ()
    cache: Any = None
    logits: torch.Tensor | None = None


def common_prefix(sequences: Sequence[list[int]]) -> tuple[int, ...]:
    """Return the longest start that all sequences share and that leaves each one token."""
    first, last = min(sequences), max(sequences)
    limit = min(map(len, sequences)) - 1
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return tuple(first[:length])


@torch.inference_mode()
def extend(model: Any, prefix: Prefix, ids: Ids) -> Prefix:
    """Return the prefix made longer by `ids`; the given one stays as it was."""
    if not ids:
        return prefix
    device = model.device
    length = len(prefix.ids)
    out = model(
        input_ids=torch.tensor([list(ids)], device=device),
        attention_mask=torch.ones(1, length + len(ids), dtype=torch.long, device=device),
        position_ids=torch.arange(length, length + len(ids), device=device)[None],
        past_key_values=copy.deepcopy(prefix.cache),
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefix(prefix.ids + tuple(ids), out.past_key_values, out.logits[0, -1])


def _expanded(prefix: Prefix, rows: int) -> Any:
    cache = copy.deepcopy(prefix.cache)
    if cache is not None and rows > 1:
        cache.batch_repeat_interleave(rows)
    return cache


@torch.inference_mode()
def generate(
    model: Any,
    prefix: Prefix,
    rests: Sequence[Ids],
    max_new_tokens: int,
    ends: frozenset[int],
    choose: Choose,
) -> list[list[int]]:
    """Return the tokens generated after prefix + rest of each row, the end token left out.

    Rows are padded on the left, between prefix and rest, and padding is masked. Rows that have
    ended leave the batch once they are a quarter of it.

    Parameters
    ----------
    model : transformers causal language model
    prefix : Prefix
        Common start of all rows.
    rests : sequence of sequences of int
        The rest of each row, one token at least.
    max_new_tokens : int
        Bound on the generated tokens of a row.
    ends : frozenset of int
        Tokens that end a reply.
    choose : Choose
        Takes or draws the next tokens.
    """
    device = model.device
    ids, mask = _left_padded(rests, device)
    read = torch.ones(len(rests), len(prefix.ids), dtype=torch.long, device=device)
    mask = torch.cat([read, mask], dim=1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, len(prefix.ids) :]
    cache = _expanded(prefix, len(rests))
    rows = list(range(len(rests)))
    generated: list[list[int]] = [[] for _ in rests]
    ended: set[int] = set()
    for step in range(max_new_tokens):
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        tokens = choose(out.logits[:, -1], rows)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row in ended:
                continue
            if token in ends:
                ended.add(row)
            else:
                generated[row].append(token)
        alive = [index for index, row in enumerate(rows) if row not in ended]
        if not alive or step == max_new_tokens - 1:
            break
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        if len(alive) <= 0.75 * len(rows):
            keep = torch.tensor(alive, device=device)
            cache.batch_select_indices(keep)
            ids, positions, mask = ids[keep], positions[keep], mask[keep]
            rows = [rows[index] for index in alive]
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
    return generated


@torch.inference_mode()
def log_likelihoods(
    model: Any, prefix: Prefix, continuations: Sequence[Ids], batch_size: int
) -> list[float]:
    """Return the summed log-likelihood of each continuation after the prefix.

    Parameters
    ----------
    model : transformers causal language model
    prefix : Prefix
        What they continue; at least one token.
    continuations : sequence of sequences of int
        Their tokens; an empty one gets 0.
    batch_size : int
        Continuations read at a time.
    """
    assert prefix.logits is not None
    first = prefix.logits.float().log_softmax(-1)
    sums = [0.0] * len(continuations)
    order = sorted(range(len(continuations)), key=lambda index: len(continuations[index]))
    for batch in batches([index for index in order if continuations[index]], batch_size):
        # The last token is only predicted, never read; the first is predicted by the prefix.
        inputs = [list(continuations[index][:-1]) for index in batch]
        heads = first[[continuations[index][0] for index in batch]]
        totals = heads.double()
        if width := max(map(len, inputs)):
            totals += _later_tokens(
                model, prefix, inputs, [continuations[i][1:] for i in batch], width
            )
        for index, total in zip(batch, totals.tolist(), strict=True):
            sums[index] = total
    return sums


def _later_tokens(
    model: Any, prefix: Prefix, inputs: list[list[int]], targets: list[Ids], width: int
) -> torch.Tensor:
    device, length = model.device, len(prefix.ids)
    # Padding is on the right, where a causal model's earlier tokens cannot see it.
    ids = torch.tensor([row + [0] * (width - len(row)) for row in inputs], device=device)
    wanted = torch.tensor(
        [list(row) + [-100] * (width - len(row)) for row in targets], device=device
    )
    out = model(
        input_ids=ids,
        attention_mask=torch.ones(len(ids), length + width, dtype=torch.long, device=device),
        position_ids=torch.arange(length, length + width, device=device).expand(len(ids), -1),
        past_key_values=_expanded(prefix, len(ids)),
        use_cache=True,
    )
    losses = torch.nn.functional.cross_entropy(
        out.logits.float().transpose(1, 2), wanted, ignore_index=-100, reduction="none"
    )
    return -losses.double().sum(1)


def batches(indices: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield the indices in runs of at most `size`."""
    for start in range(0, len(indices), size):
        yield list(indices[start : start + size])


def _left_padded(rows: Sequence[Ids], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
