from tensorrt_llm import deep_gemm_cpp_tllm  # noqa: F401


def get_num_sms():
    return 1
