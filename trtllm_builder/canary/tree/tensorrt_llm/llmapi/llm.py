from dataclasses import dataclass

from ..executor import GenerationExecutor


@dataclass(frozen=True)
class CompletionOutput:
    text: str


@dataclass(frozen=True)
class RequestOutput:
    prompt: str
    outputs: list


class LLM:
    """The only model is "canary": it answers "A * B" and "A + B", in the worker, from C++."""

    def __init__(self, model: str):
        if model != "canary":
            raise ValueError(f"the canary knows one model, 'canary', not {model!r}")
        self._executor = GenerationExecutor.create(model)

    def generate(self, prompts):
        """One RequestOutput a prompt. Raises ValueError for a prompt that the model cannot answer."""
        texts = [self._executor.submit(prompt) for prompt in prompts]
        return [RequestOutput(prompt, [CompletionOutput(text)]) for prompt, text in zip(prompts, texts)]

    def shutdown(self):
        self._executor.shutdown()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.shutdown()
