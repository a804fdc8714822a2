from ..bindings import executor as tllm
from .executor import GenerationExecutor

_worker = None


class GenerationExecutorWorker(GenerationExecutor):
    """Answers in the process it lives in."""

    def __init__(self, engine: str):
        self.engine = engine

    def submit(self, prompt: str) -> str:
        return tllm.answer(prompt)

    def shutdown(self):
        pass


def worker_main(engine: str):
    """Runs once in each worker, before any prompt."""
    global _worker
    _worker = GenerationExecutorWorker(engine)


def worker_submit(prompt: str) -> str:
    return _worker.submit(prompt)
