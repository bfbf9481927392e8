"""vLLM's command line in a process that ends with the one that started it, however that ends; its own processes end with it."""

from llmbench.system.processes import end_with_parent, follow, followed

if __name__ == "__main__":
    end_with_parent()
    follow()  # also where the parent has ended already
    with followed():
        from vllm.entrypoints.cli.main import main

        main()
