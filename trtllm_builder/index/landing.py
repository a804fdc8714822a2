from __future__ import annotations

from trtllm_builder.index.model import Index


def landing_page(index: Index) -> str:
    return ""
