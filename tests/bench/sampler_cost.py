"""What telemetry costs: CPU time of a process that only samples, as a share of one core. Prints one line of JSON,
with the CPU time of each question to NVML in microseconds.

python -m tests.bench.sampler_cost [--seconds 20]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from llmbench.system import hardware
from llmbench.telemetry import Sampler, nvml
from llmbench.telemetry.records import EngineState


def main() -> None:
    """Samples for a while, with a trace and an engine to watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, Sampler() as sampler:
        sampler.write(Path(folder) / "trace.jsonl")
        sampler.watch_engine(lambda: EngineState(running=1, waiting=0))
        sampler.begin()
        cpu, wall = time.process_time(), time.monotonic()
        time.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        share = cpu / wall
        sampler.end()
        samples = sampler.totals().samples
    questions = {}
    for reader in nvml.readers(1):
        for name, question in nvml._QUESTIONS.items():
            cpu = time.thread_time()
            for _ in range(20):
                reader._ask(question)
                time.sleep(0.05)
            questions[name] = round((time.thread_time() - cpu) / 20 * 1e6)
    gpus = [gpu.name for gpu in hardware.gpus()]
    print(
        json.dumps(
            {
                "share_of_a_core": share,
                "samples_per_s": samples / wall,
                "gpus": gpus,
                "question_us": questions,
            }
        )
    )


if __name__ == "__main__":
    main()
