"""All signatures. On one line of a log the first that matches counts, so the particular stand before the general."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.causes import (
    compilers,
    configuring,
    downloads,
    general,
    machine,
    memory,
    missing,
    pythons,
    stopped,
    upstreams,
)

SIGNATURES = (
    *stopped.SIGNATURES,
    *memory.SIGNATURES,
    *machine.SIGNATURES,
    *upstreams.SIGNATURES,
    *compilers.SIGNATURES,
    *downloads.SIGNATURES,
    *pythons.SIGNATURES,
    *missing.SIGNATURES,
    *configuring.SIGNATURES,
    *general.SIGNATURES,
)
