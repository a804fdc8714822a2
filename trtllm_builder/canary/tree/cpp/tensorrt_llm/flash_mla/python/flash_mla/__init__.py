from tensorrt_llm import flash_mla_cpp_tllm  # noqa: F401
