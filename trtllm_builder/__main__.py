from trtllm_builder.cli.app import main

main()
