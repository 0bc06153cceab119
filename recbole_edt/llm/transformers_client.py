"""A causal language model in this process, through Hugging Face transformers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from recbole_edt.errors import UserError, is_out_of_memory
from recbole_edt.files import digest
from recbole_edt.llm import decoding
from recbole_edt.llm.client import OnAnswers
from recbole_edt.llm.decoding import Prefix
from recbole_edt.llm.messages import PROMPT_TOO_LONG, Generation, Prompt, Reply, Scores
from recbole_edt.llm.model_folder import load_pretrained
from recbole_edt.llm.prompts import plain_text
from recbole_edt.llm.settings import LLMSettings
from recbole_edt.llm.weights import find_weights


class TransformersClient:
    """A model in this process; see `client.ModelClient` for the calls.

    Prompts are sorted by length and run in batches; the tokens that all prompts of a call
    start with are read once, and kept for the next call that starts with them. No code that
    comes with a model is run and no pickled weights are read.

    Parameters
    ----------
    settings : LLMSettings
        Name and revision of the model as for `weights.find_weights`; rows (prompts, or
        continuations to score) at a time. A prompt above `llm_max_prompt_tokens` is answered by
        the failure ``prompt_too_long``.
    dtype : str, optional
        ``float32``, ``bfloat16`` or ``float16``; by default float32 on a CPU, where bfloat16 is
        only faster with AMX, and bfloat16 on a GPU. Part of the model's identity.
    reuse_prefix : bool
        Read common starts once. Off only for measuring what it is worth.

    Raises
    ------
    UserError
        When the model cannot be found or loaded, or is too large for the memory.
    """

    free_to_try = True

    def __init__(
        self, settings: LLMSettings, *, dtype: str | None = None, reuse_prefix: bool = True
    ):
        folder, weights_hash = find_weights(settings.llm, settings.llm_revision)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._batch_size = settings.llm_batch_size
        self._reuse_prefix = reuse_prefix
        self._prefix = Prefix()
        # A GPU is given bfloat16 for its memory; nothing visible is lost by it.
        dtype = dtype or ("bfloat16" if self.device.type == "cuda" else "float32")
        self._tokenizer, model = load_pretrained(
            folder.path, settings.llm, "llm", AutoModelForCausalLM, dtype=getattr(torch, dtype)
        )
        too_large = (
            f"llm: {settings.llm}: the model cannot be loaded (it does not fit into the memory)"
        )
        with _refuse_out_of_memory(too_large):
            self._model = model.eval().requires_grad_(False).to(self.device)
        limit = getattr(model.config, "max_position_embeddings", None)
        longest = settings.llm_max_prompt_tokens
        self._max_prompt_tokens = min(longest, limit or longest)
        self._ends = self._end_tokens()
        self._special = sorted(
            set(self._tokenizer.all_special_tokens)
            | {t.content for t in self._tokenizer.added_tokens_decoder.values() if t.special},
            key=len,
            reverse=True,
        )
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend else sorted(self._tokenizer.get_vocab().items())
        self.identity: Mapping[str, object] = {
            "client": "transformers",
            "weights": weights_hash,
            "tokenizer": digest(vocabulary),
            "chat_template": digest(self._tokenizer.chat_template),
            "dtype": str(self._model.dtype).removeprefix("torch."),
        }
        self.source: Mapping[str, object] = {
            "llm": settings.llm,
            "revision": folder.revision,
            "device": self.device.type,
        }

    def _end_tokens(self) -> frozenset[int]:
        ends = {self._tokenizer.eos_token_id}
        declared = self._model.generation_config.eos_token_id
        ends.update(declared if isinstance(declared, list) else [declared])
        return frozenset(end for end in ends if end is not None)

    def generate(
        self, prompts: Sequence[Prompt], settings: Generation, on_answers: OnAnswers | None = None
    ) -> list[Reply]:
        """See `client.ModelClient.generate`."""
        ids = self._tokens(prompts)
        replies: list[Reply] = [
            Reply("", len(row), finish="failed", failure=PROMPT_TOO_LONG) for row in ids
        ]
        fitting = [i for i, row in enumerate(ids) if len(row) <= self._max_prompt_tokens]
        order = sorted(fitting, key=lambda index: (len(ids[index]), index))
        if on_answers and len(fitting) < len(ids):
            on_answers([(i, replies[i]) for i in sorted(set(range(len(ids))) - set(fitting))])
        if not order:
            return replies
        with self._memory_errors():
            prefix = self._shared([ids[index] for index in order])
            for batch in decoding.batches(order, self._batch_size):
                generated = decoding.generate(
                    self._model,
                    prefix,
                    [ids[index][len(prefix.ids) :] for index in batch],
                    settings.max_new_tokens,
                    self._ends,
                    self._chooser(settings, [ids[index] for index in batch]),
                )
                for index, tokens in zip(batch, generated, strict=True):
                    replies[index] = self._reply(ids[index], tokens, settings)
                if on_answers:
                    on_answers([(index, replies[index]) for index in batch])
        return replies

    def score(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[str]],
        on_answers: OnAnswers | None = None,
    ) -> list[Scores]:
        """See `client.ModelClient.score`; a prompt is read once for all its continuations."""
        ids = self._tokens(prompts)
        scores = [Scores((), (), len(row), PROMPT_TOO_LONG) for row in ids]
        fitting = [row for row in ids if len(row) <= self._max_prompt_tokens]
        with self._memory_errors():
            common = self._shared(fitting) if fitting else Prefix()
            for index, row in enumerate(ids):
                if len(row) <= self._max_prompt_tokens:
                    scores[index] = self._score(row, common, continuations[index])
                if on_answers:
                    on_answers([(index, scores[index])])
        return scores

    def _score(self, row: list[int], common: Prefix, texts: Sequence[str]) -> Scores:
        tokens = self._encode([self._disarmed(text) for text in texts])
        if self._reuse_prefix:
            prompt = decoding.extend(self._model, common, row[len(common.ids) :])
            sums = decoding.log_likelihoods(self._model, prompt, tokens, self._batch_size)
        else:
            sums = []
            for one in tokens:
                prompt = decoding.extend(self._model, Prefix(), row)
                sums += decoding.log_likelihoods(self._model, prompt, [one], 1)
        return Scores(tuple(sums), tuple(map(len, tokens)), len(row))

    def count_tokens(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """See `client.ModelClient.count_tokens`."""
        rows = self._tokens(prompts)
        return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))

    def _tokens(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        return self._encode([self._text(prompt) for prompt in prompts])

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        # The chat template writes the special tokens itself.
        encoded = self._tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        rows: list[list[int]] = encoded["input_ids"]
        return rows

    def _text(self, prompt: Prompt) -> str:
        system, user = self._disarmed(prompt.system), self._disarmed(prompt.user)
        if not self._tokenizer.chat_template:
            bos = self._tokenizer.bos_token or ""
            return bos + plain_text(Prompt(system, user))
        render = partial(
            self._tokenizer.apply_chat_template, add_generation_prompt=True, tokenize=False
        )
        turns = [{"role": "user", "content": user}]
        if system:
            try:
                return str(render([{"role": "system", "content": system}, *turns]))
            # Some templates raise on a system turn; what they raise is not of one type.
            except Exception:
                turns = [{"role": "user", "content": f"{system}\n\n{user}"}]
        return str(render(turns))

    def _disarmed(self, text: str) -> str:
        """Break up what the tokenizer would read as a special token: a title is only text."""
        for token in self._special:
            if len(token) > 1 and token in text:
                text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _shared(self, rows: list[list[int]]) -> Prefix:
        if not self._reuse_prefix:
            return Prefix()
        prefix = self._prefix
        common = decoding.common_prefix(rows)
        if common[: len(prefix.ids)] != prefix.ids:
            prefix = Prefix()
        # A single prompt has nothing in common with another: only the kept prefix is of use.
        if len(rows) > 1 and len(common) > len(prefix.ids):
            prefix = decoding.extend(self._model, prefix, common[len(prefix.ids) :])
            self._prefix = prefix
        return prefix

    def _chooser(self, settings: Generation, rows: list[list[int]]) -> decoding.Choose:
        choose = self._plain_chooser(settings, rows)
        if settings.repetition_penalty == 1:
            return choose
        penalty, used = settings.repetition_penalty, torch.empty(0)

        def penalised(logits: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
            nonlocal used
            if not len(used):  # bool [rows, vocabulary]: tokens of the prompt or the reply
                used = torch.zeros(
                    len(rows), logits.shape[-1], dtype=torch.bool, device=logits.device
                )
                for number, row in enumerate(rows):
                    used[number, row] = True
            logits, these = logits.float(), torch.tensor(numbers, device=logits.device)
            lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
            chosen = choose(torch.where(used[these], lowered, logits), numbers)
            used[these, chosen] = True
            return chosen

        return penalised

    def _plain_chooser(self, settings: Generation, rows: list[list[int]]) -> decoding.Choose:
        if settings.temperature == 0:
            return lambda logits, _: logits.argmax(-1)
        # One generator per row, seeded by its prompt: draws do not depend on the other rows.
        generators = []
        for row in rows:
            seed = hashlib.sha256(repr((settings.seed, row)).encode()).digest()
            generators.append(torch.Generator().manual_seed(int.from_bytes(seed[:8], "big") >> 1))

        def draw(logits: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
            probabilities = (logits.float() / settings.temperature).softmax(-1).cpu()
            drawn = [
                torch.multinomial(row, 1, generator=generators[number])
                for row, number in zip(probabilities, numbers, strict=True)
            ]
            return torch.cat(drawn).to(logits.device)

        return draw

    def _reply(self, prompt: list[int], tokens: list[int], settings: Generation) -> Reply:
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        finish = "length" if len(tokens) == settings.max_new_tokens else "stop"
        return Reply(text, len(prompt), len(tokens), finish)

    def _memory_errors(self) -> AbstractContextManager[None]:
        return _refuse_out_of_memory(
            f"llm_batch_size: {self._batch_size} prompts at a time do not fit into the "
            f"memory of {self.device.type}; lower it or llm_max_prompt_tokens"
        )


@contextmanager
def _refuse_out_of_memory(message: str) -> Iterator[None]:
    """Raise `UserError` with this message where the block runs out of memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(message) from error
