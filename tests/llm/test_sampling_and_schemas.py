"""What a server is sent beside the prompt, and replies as JSON of a schema."""

import pytest
from bad_server import BadServer, chat
from fake_llm import llm_settings

from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.config import EDTConfig, identity, split_paths
from recbole_edt.errors import UserError
from recbole_edt.llm import NUMBERS, TEXT, TITLES, Generation, LLMSettings, Prompt
from recbole_edt.llm.model import open_client
from recbole_edt.llm.openai_client import OpenAIClient
from recbole_edt.llm.structured import as_text, response_format
from recbole_edt.paths import properties_dir

ONE = [Prompt("Be brief.", "hello")]
EXAMPLES = sorted((properties_dir() / "llm").glob("*.yaml"))


def ask(server, generation, **keys):
    """Ask a scripted server; return the last reply and what else than the prompt it was sent."""
    settings = llm_settings(llm=server.url, llm_model="tiny", **keys)
    (reply,) = OpenAIClient(settings, sleep=lambda _: None).generate(ONE, generation)
    return reply, {k: v for k, v in server.requests[-1].items() if k not in ("messages", "model")}


@pytest.mark.parametrize(
    ("sampling", "sent"),
    [
        ({}, {"temperature": 0.0}),
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9, "seed": 5}),
        ({"temperature": 0.7, "seed": 11}, {"temperature": 0.7, "seed": 11}),
        ({"temperature": 1, "seed": None}, {"temperature": 1}),
        ({"temperature": None, "reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ({"presence_penalty": -0.5, "top_k": 40},
         {"temperature": 0.0, "presence_penalty": -0.5, "top_k": 40}),
    ],
)  # fmt: skip
def test_sampling_is_sent_as_it_is_given(sampling, sent):
    with BadServer([chat("fine")]) as server:
        _, keys = ask(server, Generation(16, seed=5), llm_sampling=sampling)
    assert keys == {"max_tokens": 16, **sent}


def identity_of(**keys):
    return OpenAIClient(llm_settings(llm="http://h/v1", llm_model="m", **keys)).identity


def test_replies_are_stored_by_what_changes_them():
    before = {"client": "openai", "url": "http://h/v1", "model": "m", "revision": None}
    assert identity_of() == before  # replies of earlier versions are found
    warm = {"temperature": 0.7}
    assert identity_of(llm_sampling=warm) == before | {"sampling": warm}
    assert identity_of(llm_structured=True) == before | {"structured": True}
    assert Generation(9, form=NUMBERS).key() == Generation(9).key()


def test_artefacts_and_runs_are_found_by_it_and_older_ones_still_are():
    def made(**keys):
        config = EDTConfig("LLMEDT", "toy", overrides=keys)
        return ArtefactSettings.from_config(config).llm, identity(config.to_dict())

    (plain, run), (warm, other) = made(), made(llm_sampling={"top_p": 0.5}, llm_structured=True)
    assert [*plain] == ["llm", "llm_model", "llm_revision"]
    assert {*warm} - {*plain} == {"llm_sampling", "llm_structured"} == {*other} - {*run}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.7, "llm_sampling: found 0.7, expected a mapping such as {temperature: 0.7}"),
        ({"temprature": 1}, "'temprature'; expected some of .*did you mean 'temperature'"),
        ({"temperature": 3}, "temperature: found 3, expected a number from 0 to 2"),
        ({"temperature": "1"}, "temperature: found '1', expected a number from 0 to 2"),
        ({"top_p": True}, "top_p: found True, expected a number from 0 to 1"),
        ({"top_k": 0.5}, "top_k: found 0.5, expected a whole number of -1 or more"),
        ({"seed": -1}, "seed: found -1, expected a whole number of 0 or more"),
        ({"reasoning_effort": "much"}, "found 'much', expected one of .'none', 'minimal', 'low'"),
    ],
)
def test_sampling_that_is_refused(value, said):
    with pytest.raises(UserError, match=said):
        EDTConfig("LLMEDT", "toy", overrides={"llm_sampling": value})


@pytest.mark.parametrize(("key", "value"), [("llm_sampling", {"top_p": 1}), ("llm_structured", 1)])
def test_a_model_in_this_process_takes_neither(key, value):
    with pytest.raises(UserError, match=f"{key}: found .*, but llm is no server's URL"):
        open_client(llm_settings(**{key: bool(value) if value == 1 else value}))


@pytest.mark.parametrize(
    ("form", "content", "text"),
    [
        (NUMBERS, '{"numbers": [3, 7]}', "3, 7"),
        (NUMBERS, '{\n  "numbers": []}', "none"),
        (TITLES, '{"titles": ["Green\\ntea", " Rye  bread "]}', "Green tea\nRye bread"),
        (NUMBERS, "3 and 7", "3 and 7"),  # a server that ignores the schema
        (NUMBERS, '{"numbers": [3, ', '{"numbers": [3, '),
        (NUMBERS, '{"number": [3]}', '{"number": [3]}'),
        (NUMBERS, "[[" * 9999, "[[" * 9999),
        (TEXT, '{"numbers": [3]}', '{"numbers": [3]}'),
    ],
)
def test_json_becomes_the_text_that_is_parsed(form, content, text):
    assert as_text(content, form) == text
    with BadServer([chat(content)]) as server:
        reply, keys = ask(server, Generation(16, form=form), llm_structured=True)
    assert reply.text == text
    assert keys.get("response_format") == response_format(form)
    assert keys["max_tokens"] == (16 if form == TEXT else 64)  # JSON needs more tokens


def test_without_the_key_no_schema_is_sent_and_json_stays_text():
    with BadServer([chat('{"numbers": [3]}')]) as server:
        reply, keys = ask(server, Generation(16, form=NUMBERS))
    assert reply.text == '{"numbers": [3]}'
    assert keys == {"temperature": 0.0, "max_tokens": 16}


@pytest.mark.parametrize(
    ("message", "way_out"),
    [
        ("'temperature' does not support 0.0 with this model", "{temperature: null} leaves it to"),
        ("Unknown parameter: response_format", "llm_structured: False asks for text"),
        ('unknown name "seed"', "llm_sampling: {seed: null} leaves it out"),
    ],
)
def test_what_a_server_refuses_names_the_way_out(message, way_out):
    refusal = (400, {"error": {"message": message}})
    with BadServer([refusal]) as server, pytest.raises(UserError) as caught:
        ask(server, Generation(16))
    assert message in str(caught.value)
    assert way_out in str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_configurations_of_servers(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert split_paths(f"llm/{path.name}") == [str(path)]
    config = EDTConfig("LLMEDT", "toy", config_files=[str(path)])
    settings = LLMSettings.from_config(config.to_dict() | {"llm_thinking_tokens": 0})
    assert settings.is_server
    assert OpenAIClient(settings).identity["url"] == settings.llm


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} == {"deepseek", "llama-cpp", "ollama", "openai", "vllm"}
