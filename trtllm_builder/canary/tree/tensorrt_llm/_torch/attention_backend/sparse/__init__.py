from .dsa import Indexer

__all__ = ["Indexer"]
