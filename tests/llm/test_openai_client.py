import logging

import pytest
from bad_server import BadServer, chat
from fake_llm import llm_settings

from recbole_edt.errors import UserError
from recbole_edt.llm import Generation, LanguageModel, Prompt
from recbole_edt.llm.openai_client import OpenAIClient, key_for
from recbole_edt.llm.store import ReplyStore

ONE = [Prompt("Be brief.", "hello")]
SETTINGS = Generation(16)
KEY = "sk-very-secret-123"


def client(server, waits=None, **options):
    return open_url(server.url, waits, **options)


def open_url(url, waits=None, **options):
    options = {"timeout": 5, "retries": 3, "concurrency": 2, "model": "tiny"} | options
    settings = llm_settings(llm=url, **{f"llm_{name}": value for name, value in options.items()})
    return OpenAIClient(settings, sleep=([] if waits is None else waits).append)


def test_a_reply_and_what_is_asked():
    with BadServer([chat("Héllo 🍎")]) as server:
        (reply,) = client(server).generate(ONE, SETTINGS)
    assert (reply.text, reply.prompt_tokens, reply.generated_tokens) == ("Héllo 🍎", 11, 3)
    assert server.requests == [
        {
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hello"},
            ],
            "temperature": 0.0,
            "max_tokens": 16,
        }
    ]


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"error": {"message": "slow down"}}),
        (500, b"oops"),
        (503, b""),
        "cut",
        (200, b"<html>"),
        (200, b""),
        (200, {"choices": []}),
        (200, {"choices": [{"message": {"content": None}}]}),
        (200, []),
    ],
)
def test_one_fault_is_survived(fault):
    waits = []
    with BadServer([fault, chat("fine")]) as server:
        (reply,) = client(server, waits).generate(ONE, SETTINGS)
    assert (reply.text, reply.failure, reply.retries) == ("fine", None, 1)
    assert len(waits) == 1
    assert 0.25 <= waits[0] <= 0.5


def test_waits_grow_and_retry_after_is_honoured():
    waits = []
    script = [(503, b"")] * 3 + [(429, b"", {"Retry-After": "77"}), chat("at last")]
    with BadServer(script) as server:
        (reply,) = client(server, waits, retries=4).generate(ONE, SETTINGS)
    assert reply.text == "at last"
    for wait, ceiling in zip(waits, (0.5, 1, 2), strict=False):
        assert ceiling / 2 <= wait <= ceiling
    assert waits[3] == 77


@pytest.mark.parametrize("fault", ["slow", "drip"])
def test_a_slow_server_times_out(fault):
    with BadServer([fault, chat("fine")]) as server:
        (reply,) = client(server, timeout=0.3).generate(ONE, SETTINGS)
    assert (reply.text, reply.retries) == ("fine", 1)


@pytest.mark.parametrize(
    ("fault", "last"),
    [
        ((500, {"error": {"message": "out\nof cheese"}}), "HTTP 500 out of cheese"),
        ((429, b""), "HTTP 429"),
        ((401, {"error": "no"}), "HTTP 401"),
        ((404, {"error": {"message": "no such model"}}), "HTTP 404 no such model"),
        ((302, b"", {"Location": "http://example.org/"}), "HTTP 302"),
    ],
)
def test_a_server_that_serves_nothing_ends_the_run(fault, last):
    with BadServer([fault]) as server, pytest.raises(UserError) as caught:
        client(server).generate(ONE, SETTINGS)
    message = str(caught.value)
    assert f"{server.url}/chat/completions" in message
    assert last in message
    assert "\n" not in message


def test_a_server_that_is_not_there():
    with BadServer([chat("")]) as server:
        gone = server.url
    waits = []
    with pytest.raises(UserError, match=r"after 4 attempts.*refused"):
        open_url(gone, waits).generate(ONE, SETTINGS)
    assert len(waits) == 3


def test_a_bad_prompt_costs_only_itself():
    def answer(body):
        text = body["messages"][-1]["content"]
        if text == "empty":
            return 200, {"choices": []}
        return (400, {"error": "too long"}) if text == "refused" else chat(text)

    texts = ["a", "empty", "b", "refused", "c"]
    with BadServer([answer]) as server:
        replies = client(server, concurrency=1).generate([Prompt("", t) for t in texts], SETTINGS)
    assert [reply.text for reply in replies] == ["a", "", "b", "", "c"]
    assert [reply.failure for reply in replies] == [None, "empty_choices", None, "http_400", None]


def test_endless_garbage_ends_the_run_and_keeps_what_was_done(tmp_path):
    def answer(body):
        text = body["messages"][-1]["content"]
        return chat("fine") if text in ("0", "1") else (200, b"garbage")

    prompts = [Prompt("", str(i)) for i in range(40)]
    with BadServer([answer]) as server, ReplyStore(tmp_path) as store:
        model = LanguageModel(client(server, retries=1), store)
        with pytest.raises(UserError, match="failures in a row"):
            model.generate(prompts, SETTINGS)
        assert len(server.requests) < 2 * len(prompts)
    assert len(ReplyStore(tmp_path)) == 2
    assert ReplyStore(tmp_path).usage.failures >= 8


def test_concurrency_is_bounded_and_order_is_kept():
    prompts = [Prompt("", str(i)) for i in range(30)]
    with BadServer([lambda body: chat(body["messages"][-1]["content"])]) as server:
        replies = client(server, concurrency=3).generate(prompts, SETTINGS)
    assert [reply.text for reply in replies] == [prompt.user for prompt in prompts]
    assert 1 <= server.most_in_flight <= 3


@pytest.mark.parametrize("variable", ["RECBOLE_EDT_API_KEY", "OPENAI_API_KEY"])
def test_the_key_is_sent_and_never_shown(monkeypatch, tmp_path, caplog, variable):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(variable, KEY)
    quoting = (500, {"error": {"message": f"the key {KEY} is bad"}})
    with BadServer([chat("fine"), quoting]) as server, ReplyStore(tmp_path) as store:
        one = client(server)
        LanguageModel(one, store).generate(ONE, SETTINGS)
        with pytest.raises(UserError) as caught:
            LanguageModel(one, store).generate([Prompt("", "again")], SETTINGS)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    shown = [str(caught.value), repr(vars(one)), str(one.identity), str(one.source)]
    assert "the key *** is bad" in shown[0]
    assert not [text for text in [*shown, kept, caplog.text] if KEY in text]


def test_the_general_key_goes_to_no_foreign_host_in_the_clear(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert key_for("http://192.0.2.1/v1") is None
    assert key_for("https://192.0.2.1/v1") == key_for("http://localhost:1/v1") == KEY


@pytest.mark.parametrize(
    "url", ["http://me:pass@h/v1", "http://h/v1?key=pass", "http://", "ftp://h"]
)
def test_urls_that_are_refused(url):
    with pytest.raises(UserError, match=r"^llm: ") as caught:
        open_url(url)
    assert "pass" not in str(caught.value)


def test_newer_servers_name_the_bound_differently():
    def answer(body):
        if "max_tokens" in body:
            return 400, {"error": {"message": "use 'max_completion_tokens' instead"}}
        return chat(str(body["max_completion_tokens"]))

    with BadServer([answer]) as server:
        replies = client(server).generate([*ONE, Prompt("", "b")], SETTINGS)
    assert [reply.text for reply in replies] == ["16", "16"]


def _scoring(body):
    """Every character is a token of log-likelihood -1; the last one was made up."""
    choices = [
        {
            "index": index,
            "text": text + "!",
            "logprobs": {
                "token_logprobs": [None] + [-1.0] * len(text),
                "text_offset": list(range(len(text) + 1)),
            },
        }
        for index, text in enumerate(body["prompt"])
    ]
    return 200, {"choices": choices[::-1]}


def test_scores_count_the_continuation_only():
    with BadServer([_scoring]) as server:
        (scores,) = client(server).score(ONE, [["tea", "", "coffee"]])
    assert (scores.sums, scores.counts) == ((-3.0, 0.0, -6.0), (3, 0, 6))
    assert scores.means.tolist() == [-1.0, -float("inf"), -1.0]


@pytest.mark.parametrize(
    "reply",
    [
        (404, b"not found"),
        (200, {"choices": [{"index": 0, "text": "x", "logprobs": None}]}),
        (
            200,
            {"choices": [{"index": 0, "logprobs": {"token_logprobs": [-1], "text_offset": [99]}}]},
        ),
    ],
)
def test_a_server_that_cannot_score_says_so_at_once(reply):
    with BadServer([reply]) as server, pytest.raises(UserError, match=r"cannot score.*select"):
        client(server).score(ONE, [["tea"]])
    assert len(server.requests) == 1


def test_no_redirect_is_followed_and_the_key_stays(monkeypatch):
    monkeypatch.setenv("RECBOLE_EDT_API_KEY", KEY)
    with BadServer([chat("stolen")]) as thief:
        away = (307, b"", {"Location": f"{thief.url}/chat/completions"})
        with BadServer([away]) as server, pytest.raises(UserError, match="HTTP 307"):
            client(server).generate(ONE, SETTINGS)
    assert thief.requests == []


def test_a_proxy_is_for_other_machines_only(monkeypatch):
    with BadServer([chat("by proxy")]) as proxy, BadServer([chat("direct")]) as server:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        (here,) = client(server).generate(ONE, SETTINGS)
        (there,) = open_url("http://192.0.2.1/v1").generate(ONE, SETTINGS)
        monkeypatch.setenv("no_proxy", "192.0.2.1")
        with pytest.raises(UserError, match=r"http://192\.0\.2\.1"):
            open_url("http://192.0.2.1/v1", timeout=0.05, retries=0).generate(ONE, SETTINGS)
    assert (here.text, there.text) == ("direct", "by proxy")


def test_a_proxy_that_is_none(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks9://me:pass@nowhere")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UserError, match=r"^http_proxy: not the URL of an HTTP proxy$"):
        open_url("http://192.0.2.1/v1").generate(ONE, SETTINGS)
