"""Windows over the training rows, against a literal walk over every user's sequence."""

from collections import Counter
from itertools import pairwise

import pandas as pd
import pytest
import torch

from recbole_edt.data.split import TRAIN, VALID
from recbole_edt.data.windows import ITEMS, LABELS, WindowLoader


@pytest.fixture
def part(make_dataset, load):
    return load(make_dataset(users=150, seed=5)).build()[0]


def training_sequences(part):
    """Return each user's training items in order, read from the file itself."""
    name, folder = part.dataset_name, part.config.dataset_dir
    frame = pd.read_csv(folder / f"{name}.inter", sep="\t")
    frame = frame[part.split.codes == TRAIN].sort_values("timestamp:float", kind="stable")
    return {user: rows["item_id:token"].tolist() for user, rows in frame.groupby("user_id:token")}


def windows_of(loader):
    token = loader.dataset.field2id_token["item_id"]
    for batch in loader:
        for items, labels in zip(batch[ITEMS], batch[LABELS], strict=True):
            length = int((labels > 0).sum())
            assert not items[length:].any()
            assert not labels[length:].any()
            yield token[items[:length].numpy()].tolist(), token[labels[:length].numpy()].tolist()


@pytest.mark.parametrize("length", [1, 3, 50])
def test_every_transition_is_a_label_once(part, length):
    sequences = training_sequences(part)
    expected = Counter(pair for s in sequences.values() for pair in pairwise(s))
    found = Counter()
    for items, labels in windows_of(WindowLoader(part, length, 16, seed=1)):
        assert 1 <= len(items) <= length
        assert items[1:] == labels[:-1]  # one step apart, so that nothing is skipped
        found.update(zip(items, labels, strict=True))
    assert found == expected


def test_long_sequences_are_cut_from_their_end(part):
    sequences = [s for s in training_sequences(part).values() if len(s) > 1]
    windows = [[*items, labels[-1]] for items, labels in windows_of(WindowLoader(part, 3, 16, 1))]
    for sequence in sequences:
        assert sequence[-4:] in windows
    assert len(windows) == sum(-(-(len(s) - 1) // 3) for s in sequences)


def test_batches_are_trimmed_and_complete(part):
    loader = WindowLoader(part, 50, 16, seed=1)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert sorted(len(batch) for batch in batches)[1:] == [16] * (len(batches) - 1)
    for batch in batches:
        assert batch[LABELS][:, -1].any()
    assert len({batch[ITEMS].shape[1] for batch in batches}) > 1


def test_order_follows_the_seed_and_changes_every_epoch(part):
    def epochs(seed):
        loader = WindowLoader(part, 50, 16, seed)
        return [torch.cat([batch[ITEMS].flatten() for batch in loader]) for _ in range(2)]

    first, second = epochs(1)
    again = epochs(1)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, epochs(2)[0])


def test_no_held_out_row_in_any_window(part):
    """Items 12 of each domain are somebody's last and nothing else."""
    seen = {item for items, labels in windows_of(WindowLoader(part, 50, 16, 1))
            for item in [*items, *labels]}  # fmt: skip
    assert seen
    assert not any(item.endswith("-12") for item in seen)


def test_context_rows_of_a_time_split_are_not_trained_on(make_dataset, load):
    part = load(make_dataset(users=150), split="time").build()[0]
    assert (part.split.codes > VALID).any()
    expected = sum(len(s) - 1 for s in training_sequences(part).values())
    loader = WindowLoader(part, 50, 16, 1)
    assert sum(len(labels) for _, labels in windows_of(loader)) == expected
