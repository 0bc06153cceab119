from pathlib import Path

import numpy as np
import pytest
import torch
from fake_llm import defaults
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from recbole_edt.data.split import Split

WORDS = [f"w{number}" for number in range(60)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Make the folder of a random two-layer BERT over the words w0..w59."""
    folder = tmp_path_factory.mktemp("tiny-model")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate(special + WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def config(tiny_model) -> dict:
    return defaults() | {
        "encoder": str(tiny_model),
        "encoder_batch_size": 4,
        "encoder_max_length": 12,
        "show_progress": False,
    }


@pytest.fixture
def use_model(monkeypatch):
    """Return a function that puts a client in place of the configured one, and returns it."""

    def use(client):
        monkeypatch.setattr("recbole_edt.llm.model.open_client", lambda settings: client)
        return client

    return use


@pytest.fixture
def split() -> Split:
    return Split("leave_one_out", np.zeros(2, dtype=np.uint8), "a" * 64)


@pytest.fixture
def write_items(tmp_path):
    """Return a function that writes ``toy.item`` with these titles and returns its folder."""

    def write(titles: list[str]) -> Path:
        folder = tmp_path / "toy"
        folder.mkdir(exist_ok=True)
        lines = ["item_id:token\tdomain:token\ttitle:token_seq"]
        lines += [f"i{n}\t{'ab'[n % 2]}\t{title}" for n, title in enumerate(titles)]
        (folder / "toy.item").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return write
