"""How much disk and time a build will take: ranges, each with where it comes from."""

from __future__ import annotations

from trtllm_builder.plan.model import Estimate
from trtllm_builder.plan.request import Request
from trtllm_builder.profile.names import CANARY_URL
from trtllm_builder.upstream.catalogue import Row

_CANARY_DISK = Estimate(
    60 * 10**6, 500 * 10**6, "measured: the workspace alone, and with all of our tools and a toolkit to install"
)
_CANARY_TIME = Estimate(5, 90, "measured on 2 cores: with a warm compile cache, and with everything to install")
_UNKNOWN = Estimate(0, 0, "not known: the catalogue has no row for this ref")


def disk_estimate(request: Request, row: Row | None) -> Estimate:
    """Bytes; 0 to 0 when nothing is known."""
    if request.directory is None and request.url == CANARY_URL:
        return _CANARY_DISK
    return Estimate(row.disk.low, row.disk.high, row.disk.source) if row else _UNKNOWN


def time_estimate(request: Request, row: Row | None) -> Estimate:
    """Seconds; 0 to 0 when nothing is known."""
    if request.directory is None and request.url == CANARY_URL:
        return _CANARY_TIME
    return Estimate(row.time.low, row.time.high, row.time.source) if row else _UNKNOWN
