import os
import signal

import filelock
import numpy as np
import pytest
from forks import output_of, start_python

from recbole_edt.artefacts.embeddings.encoder import TextEncoder, find_encoder
from recbole_edt.artefacts.embeddings.encoding import (
    encode_texts,
    estimate_seconds,
    finished_batches,
    plan_encoding,
)
from recbole_edt.errors import UserError

TITLES = [" ".join(f"w{(n * 7 + k) % 60}" for k in range(1 + n * 5 % 11)) for n in range(30)]


@pytest.fixture
def encoder(tiny_model):
    return TextEncoder(find_encoder(str(tiny_model), None), max_length=10)


def test_plan_is_sorted_by_length_and_holds_each_text_once(encoder):
    texts = ["w1", "w1 w2 w3", "", "w1", "w4 w5"]
    plan = plan_encoding(texts, encoder, batch_size=2)
    assert plan.texts == ["w1 w2 w3", "w4 w5", "w1"]
    assert plan.tokens.tolist() == [5, 4, 3]
    assert plan.rows.tolist() == [2, 0, -1, 2, 1]
    assert [plan.batch(number) for number in range(len(plan))] == [plan.texts[:2], plan.texts[2:]]


def test_rows_are_in_item_order(encoder, tmp_path):
    texts = [*TITLES, "", TITLES[3]]
    plan = plan_encoding(texts, encoder, batch_size=4)
    vectors, seconds = encode_texts(plan, encoder, tmp_path / "work", False)
    assert vectors.dtype == np.float16
    assert seconds > 0
    expected = encoder.encode([text or "w1" for text in texts])
    expected[30] = 0
    np.testing.assert_allclose(vectors, expected, atol=1e-3)
    assert (vectors[30] == 0).all()
    assert (vectors[31] == vectors[3]).all()


def test_catalogue_without_any_text(encoder, tmp_path):
    plan = plan_encoding(["", ""], encoder, batch_size=4)
    vectors, _ = encode_texts(plan, encoder, tmp_path / "work", False)
    assert vectors.shape == (2, 16)
    assert not vectors.any()
    assert estimate_seconds(plan, encoder, 0) == 0


@pytest.mark.parametrize("whole_batches", [0, 1, 5, 7])
def test_resume_encodes_only_what_is_left(encoder, tmp_path, monkeypatch, whole_batches):
    plan = plan_encoding(TITLES, encoder, batch_size=4)
    unbroken, _ = encode_texts(plan, encoder, tmp_path / "a", False)

    broken = TextEncoder(encoder.folder, encoder.max_length)
    _stop_after(broken, whole_batches, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        encode_texts(plan, broken, tmp_path / "b", False)
    with open(tmp_path / "b" / "vectors.f16", "ab") as file:
        file.write(b"half a row")  # what a kill in the middle of a write leaves
    assert finished_batches(plan, encoder, tmp_path / "b") == whole_batches
    calls = _count_calls(encoder, monkeypatch)
    resumed, _ = encode_texts(plan, encoder, tmp_path / "b", False)
    assert len(calls) == len(plan) - whole_batches
    assert resumed.tobytes() == unbroken.tobytes()


def test_work_begun_with_other_settings_is_not_mixed_in(encoder, tmp_path, monkeypatch):
    _stop_after(encoder, 3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        encode_texts(plan_encoding(TITLES, encoder, 4), encoder, tmp_path / "b", False)
    other = TextEncoder(encoder.folder, max_length=4)
    plan = plan_encoding(TITLES, other, 4)
    expected, _ = encode_texts(plan, other, tmp_path / "a", False)
    assert finished_batches(plan, other, tmp_path / "b") == 0
    vectors, _ = encode_texts(plan, other, tmp_path / "b", False)
    assert vectors.tobytes() == expected.tobytes()


def test_vectors_that_are_not_finite(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "encode", lambda texts: np.full((len(texts), 16), np.nan))
    with pytest.raises(UserError, match="no finite vector for the text 'w"):
        encode_texts(plan_encoding(TITLES, encoder, 4), encoder, tmp_path / "work", False)


ENCODE = """
import sys, time
from pathlib import Path
from recbole_edt.artefacts.embeddings.encoder import TextEncoder, find_encoder
from recbole_edt.artefacts.embeddings.encoding import encode_texts, plan_encoding

model, work, hang_at, *texts = sys.argv[1:]
encoder = TextEncoder(find_encoder(model, None), max_length=10)
encode = encoder.encode
begun = 0
def announced(texts):
    global begun
    begun += 1
    print("batch", flush=True)
    if begun == int(hang_at):
        time.sleep(600)
    return encode(texts)
encoder.encode = announced
plan = plan_encoding(texts, encoder, batch_size=4)
vectors, _ = encode_texts(plan, encoder, Path(work), False)
Path(work, "result").write_bytes(vectors.tobytes())
"""


@pytest.mark.kills
def test_killed_process_is_resumed_to_the_same_bytes(encoder, tiny_model, tmp_path):
    def start(hang_at):
        return start_python(ENCODE, tiny_model, tmp_path / "b", hang_at, *TITLES)

    killed = start(hang_at=4)
    assert [killed.stdout.readline() for _ in range(4)] == [b"batch\n"] * 4
    os.kill(killed.pid, signal.SIGKILL)
    output_of(killed)
    assert not (tmp_path / "b" / "result").exists()

    resumed = start(hang_at=0)
    assert len(output_of(resumed).splitlines()) == 8 - 3
    unbroken, _ = encode_texts(plan_encoding(TITLES, encoder, 4), encoder, tmp_path / "a", False)
    assert (tmp_path / "b" / "result").read_bytes() == unbroken.tobytes()


def test_two_processes_do_not_share_a_set(encoder, tmp_path):
    (tmp_path / "work").mkdir()
    plan = plan_encoding(TITLES, encoder, 4)
    with (
        filelock.FileLock(tmp_path / "work" / "lock"),
        pytest.raises(UserError, match="another process"),
    ):
        encode_texts(plan, encoder, tmp_path / "work", False)


def _stop_after(encoder, batches, monkeypatch):
    calls = []
    encode = encoder.encode

    def stopping(texts):
        if len(calls) == batches:
            raise KeyboardInterrupt
        calls.append(texts)
        return encode(texts)

    monkeypatch.setattr(encoder, "encode", stopping)


def _count_calls(encoder, monkeypatch):
    calls = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: (calls.append(texts), encode(texts))[1])
    return calls
