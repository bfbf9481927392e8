"""`vllm serve`, run in this process. As a program it ends with the process that started it, and so do its own processes."""

import importlib
import sys
from collections.abc import Sequence

from llmbench.system.processes import end_with_parent, follow, followed

WORKERS_START = "VLLM_WORKER_MULTIPROC_METHOD"
"""The environment variable that says how worker processes are started; vLLM's command line sets it to `spawn` (vllm/envs.py, since 0.26)."""


def serve(arguments: Sequence[str]) -> None:
    """Runs `vllm serve` with a command line's words, by `ServeSubcommand` and `FlexibleArgumentParser` (since 0.26).

    vLLM's `main` does the same, but looks up its version under the name `vllm`, which the build for CPUs does not have.
    """
    command = importlib.import_module("vllm.entrypoints.cli.serve").ServeSubcommand()
    parser = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser(prog="vllm")
    command.subparser_init(parser.add_subparsers(required=True, dest="subparser"))
    parsed = parser.parse_args(list(arguments))
    command.validate(parsed)
    command.cmd(parsed)


if __name__ == "__main__":
    end_with_parent()
    follow()  # also where the parent has ended already
    with followed():
        serve(sys.argv[1:])
