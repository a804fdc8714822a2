import os
from functools import cache


@cache
def enable_worker_single_process_for_tp1() -> bool:
    return os.environ.get("TLLM_WORKER_USE_SINGLE_PROCESS", "0") == "1"
