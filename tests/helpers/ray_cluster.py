"""A Ray cluster of two nodes on this machine, as a program: it writes its address, and ends at the end of its input.

When a line comes it kills the second node, and writes how many workers of llmbench were on it: Ray places those that need nothing at random.
"""

import sys
from tempfile import TemporaryDirectory

import psutil
from ray.cluster_utils import Cluster


def main() -> None:
    """Runs until the input ends."""
    with TemporaryDirectory(prefix="cluster-", dir="/tmp") as folder:  # names of sockets must be short
        head = {"num_cpus": 2, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(num_cpus=1)
        say(cluster.address)
        for _ in sys.stdin:
            raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
            workers = [each for each in raylet.children() if "ray::Worker" in each.cmdline()[0]]
            cluster.remove_node(second, allow_graceful=False)
            say(f"removed {len(workers)}")
        cluster.shutdown()


def say(text: str) -> None:
    """Writes a line, for who started it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
