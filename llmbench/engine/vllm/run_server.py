"""`vllm serve` in a process that ends with the one that started it, however that ends; its own processes end with it."""

import sys

from llmbench.engine.vllm.internals.serve import serve
from llmbench.system.processes import end_with_parent, follow, followed

if __name__ == "__main__":
    end_with_parent()
    follow()  # also where the parent has ended already
    with followed():
        serve(sys.argv[1:])
