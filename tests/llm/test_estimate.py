from recbole_edt.llm.cached import CachedClient, Prices
from recbole_edt.llm.client import Generation, Prompt
from recbole_edt.llm.estimate import estimate_generate, estimate_score
from recbole_edt.llm.openai_client import OpenAIClient
from recbole_edt.llm.store import ReplyStore

SETTINGS = Generation(10)
PROMPTS = [Prompt("", "one two three") for _ in range(2)] + [Prompt("", "four five")]


def test_a_local_model_is_sampled_and_nothing_is_stored(tmp_path, echo):
    store = ReplyStore(tmp_path)
    client = CachedClient(echo, store, Prices(1e6, 1e6))
    client.generate(PROMPTS[2:], SETTINGS)
    more = [*PROMPTS, Prompt("", "six")]
    estimate = estimate_generate(client, more, SETTINGS, 50)
    assert (estimate.calls, estimate.stored) == (2, 2)
    assert (estimate.prompt_tokens, estimate.generated_tokens) == (4, 4)
    assert estimate.cost == 8
    assert len(store) == 1


def test_a_server_is_not_asked(tmp_path):
    client = CachedClient(
        OpenAIClient("http://127.0.0.1:9/v1", "m"), ReplyStore(tmp_path), Prices(1e6, 2e6)
    )
    estimate = estimate_generate(client, PROMPTS, SETTINGS, tokens_per_second=5)
    assert (estimate.calls, estimate.stored) == (2, 1)
    assert (estimate.prompt_tokens, estimate.generated_tokens) == (4 + 3, 20)
    assert (estimate.seconds, estimate.cost) == (4, 7 + 40)
    assert "characters / 4" in str(estimate)


def test_scoring_reads_only(tmp_path, echo):
    client = CachedClient(echo, ReplyStore(tmp_path), Prices(1e6, 5e6))
    estimate = estimate_score(client, PROMPTS, [["a b"]] * 3, 50)
    assert (estimate.calls, estimate.prompt_tokens, estimate.generated_tokens) == (2, 5, 4)
    assert estimate.cost == 9


def test_all_is_stored(tmp_path, echo):
    client = CachedClient(echo, ReplyStore(tmp_path))
    client.generate(PROMPTS, SETTINGS)
    assert estimate_generate(client, PROMPTS, SETTINGS, 50).calls == 0
