def main():
    """Upstream's engine compiler has this name too, and so would hide trtllm-builder's command of the same name."""
    print("This is the canary's trtllm-build: it compiles no engines.")
