"""`python -m llmbench.plan NAME=VALUE …`: what a run will take, by the number of replicas and of GPUs for each, before it is started.

Needs no GPU and loads no model. Exit status: 0 planned, 1 not, 130 interrupted.
"""

import sys
from collections.abc import Sequence

from llmbench.system.commandline import Parser, guarded


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.plan",
        description="Says what a run will take before it is started: time, memory, energy and GPU-hours by the number of replicas and "
        "tensor parallelism.",
    )
    parser.add_argument(
        "settings",
        metavar="NAME=VALUE",
        nargs="*",
        help="settings as for a run: benchmark=, model=, profile=, batch_size=, limit=, sampling.repeats=; engine.tensor_parallel_size= "
        "plans for that size alone. And gpus= (how many; all of this machine) and gpu= (which kind, such as H100; this machine's)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; seconds, bytes and joules, null where unknown"
    )
    chosen = parser.parse_args(arguments)
    from llmbench.cli.plan import plan

    plan(chosen.settings, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(None))
