"""From a YAML profile to a verified single-device TensorRT-LLM wheel."""

__version__ = "0.1.0"
