"""The canary: the shape of TensorRT-LLM's package, small enough to build in a minute. It is not TensorRT-LLM."""
import tensorrt_llm._torch.attention_backend.sparse as _sparse  # noqa: F401  (upstream imports its models here)

from ._common import _init
from .llmapi import LLM
from .version import __version__

__all__ = ["LLM", "__version__"]

_init()

print(f"[TensorRT-LLM] TensorRT LLM version: {__version__}")
