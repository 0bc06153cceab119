from fake_llm import llm_settings

from recbole_edt.llm import GenerateRequests, Generation, LanguageModel, Prompt, ScoreRequests
from recbole_edt.llm.estimate import Prices
from recbole_edt.llm.openai_client import OpenAIClient
from recbole_edt.llm.store import ReplyStore

SETTINGS = Generation(10)
PROMPTS = [Prompt("", "one two three") for _ in range(2)] + [Prompt("", "four five")]


def test_a_local_model_is_sampled_and_nothing_is_stored(tmp_path, fake):
    store = ReplyStore(tmp_path)
    model = LanguageModel(fake, store, Prices(1e6, 1e6))
    model.generate(PROMPTS[2:], SETTINGS)
    more = GenerateRequests([*PROMPTS, Prompt("", "six")], SETTINGS)
    estimate = model.estimate(more)
    assert (estimate.calls, estimate.stored) == (2, 2)
    assert (estimate.prompt_tokens, estimate.generated_tokens) == (4, 4)
    assert estimate.cost == 8
    assert len(store) == 1


def test_a_server_is_not_asked(tmp_path):
    client = OpenAIClient(llm_settings(llm="http://127.0.0.1:9/v1", llm_model="m"))
    model = LanguageModel(client, ReplyStore(tmp_path), Prices(1e6, 2e6), tokens_per_second=5)
    estimate = model.estimate(GenerateRequests(PROMPTS, SETTINGS))
    assert (estimate.calls, estimate.stored) == (2, 1)
    assert (estimate.prompt_tokens, estimate.generated_tokens) == (4 + 3, 20)
    assert (estimate.seconds, estimate.cost) == (4, 7 + 40)
    assert "characters / 4" in str(estimate)


def test_scoring_reads_only(tmp_path, fake):
    model = LanguageModel(fake, ReplyStore(tmp_path), Prices(1e6, 5e6))
    estimate = model.estimate(ScoreRequests(PROMPTS, [["a b"]] * 3))
    assert (estimate.calls, estimate.prompt_tokens, estimate.generated_tokens) == (2, 5, 4)
    assert estimate.cost == 9


def test_all_is_stored(tmp_path, fake):
    model = LanguageModel(fake, ReplyStore(tmp_path))
    model.generate(PROMPTS, SETTINGS)
    assert model.estimate(GenerateRequests(PROMPTS, SETTINGS)).calls == 0
