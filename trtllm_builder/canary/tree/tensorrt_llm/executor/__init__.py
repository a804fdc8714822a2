from .executor import GenerationExecutor

__all__ = ["GenerationExecutor"]
