"""What one compiler is expected to take: measured in earlier builds, else by its kind; and whether that fits here."""

from __future__ import annotations

from trtllm_builder.gate.learned import Learned
from trtllm_builder.gate.weights import kinds
from trtllm_builder.host.memory import Memory
from trtllm_builder.plan.peaks import for_gpus
from trtllm_builder.units import format_size

_SHOWN = ("cutlass", "cuda", "c++")


def expected_of_one(learned: Learned) -> str:
    """A sentence for the plan's notes."""
    table = kinds()
    by_kind = ", ".join(f"{format_size(table[name].memory)} ({name})" for name in _SHOWN)
    if not learned.entries:
        return f"one compiler is expected to take, by its kind: {by_kind}; no peak is learned yet"
    (source, *_), most = max(learned.entries.items(), key=lambda pair: (pair[1].peak, pair[0]))
    return (
        f"one compiler is expected to take what it took before: {len(learned.entries)} peaks are learned, the largest "
        f"{format_size(most.peak)} ({source}); others by kind: {by_kind}"
    )


def too_large(learned: Learned, memory: Memory, architectures: tuple[int, ...]) -> str:
    """A warning where a file that was measured for the same GPUs can never fit here; "" for none."""
    peaks = [(one.peak, source) for (source, *_), one in for_gpus(learned, architectures).entries.items()]
    if not peaks:
        return ""
    peak, source = max(peaks)
    tightest = min(memory.limits, key=lambda limit: limit.limit, default=None)
    limit = min(tightest.limit, memory.total) if tightest else memory.total
    if not limit or peak <= limit:
        return ""
    why = tightest.source if tightest and tightest.limit == limit else "all of this machine"
    return (
        f"{source} took {format_size(peak)} when it was compiled before, and no more than {format_size(limit)} can be "
        f"had here ({why}): its compiler will be killed"
    )
