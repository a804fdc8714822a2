"""What a TensorRT-LLM checkout offers: catalogue, probe, GPU target mapping."""
