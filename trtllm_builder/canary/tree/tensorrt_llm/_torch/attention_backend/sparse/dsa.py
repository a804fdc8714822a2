from tensorrt_llm import deep_gemm
from tensorrt_llm.deep_gemm import get_num_sms


class Indexer:
    """Stands for the one place where DeepGEMM is imported without a guard."""

    def __init__(self):
        self.num_sms = get_num_sms()
        self.library = deep_gemm
