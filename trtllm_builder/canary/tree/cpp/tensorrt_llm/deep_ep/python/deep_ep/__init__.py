from tensorrt_llm import deep_ep_cpp_tllm  # noqa: F401
