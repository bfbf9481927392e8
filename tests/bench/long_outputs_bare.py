"""The bare side of `long_outputs`: one `LLM` and one `generate` as a person would write them. Imports little before vLLM, whose start counts.

python -m tests.bench.long_outputs_bare GIVEN.json --into FOUND.json
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbench.system import clock

if TYPE_CHECKING:
    from llmbench.engine.fake import FakeEngine


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: the arguments of `LLM` (None: the engine without a model), and token ids to continue by so many tokens each."""

    arguments: dict[str, Any] | None
    prompts: list[list[int]]
    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Row:
    """A request that is done; `stamps`: queued, scheduled, first and last token, in seconds of a monotonic clock."""

    prompt_tokens: int
    tokens: int
    stamps: tuple[float, float, float, float]


def through_vllm(job: Job) -> tuple[float, list[Row]]:
    """Seconds of generating, and the requests."""
    from vllm import LLM, SamplingParams

    llm = LLM(**job.arguments or {})
    params = [SamplingParams(temperature=0.0, max_tokens=length, ignore_eos=True) for length in job.lengths]
    prompts: Any = [{"prompt_token_ids": ids} for ids in job.prompts]
    begun = time.monotonic()
    outputs: Any = llm.generate(prompts, params, use_tqdm=False)
    generate_s = time.monotonic() - begun
    rows = []
    for output in outputs:
        at = output.metrics
        stamps = (at.queued_ts, at.scheduled_ts, at.first_token_ts, at.last_token_ts)
        rows.append(Row(len(output.prompt_token_ids), len(output.outputs[0].token_ids), stamps))
    return generate_s, rows


def endless(longest: int) -> "FakeEngine":
    """The engine without a model; it has more to say than any limit lets it."""
    from llmbench.engine.fake import FakeEngine

    return FakeEngine(reply=lambda _: " word" * (longest + 1))


def through_fake(job: Job) -> tuple[float, list[Row]]:
    """The same of the engine without a model, asked by hand."""
    from llmbench.engine.fake import WordTokenizer
    from llmbench.engine.workload import Workload
    from llmbench.records import Request, Sampling

    count, longest = len(job.lengths), max(job.lengths)
    engine, work, done = endless(longest), Workload(count, longest, sum(job.lengths), batch_size=count), []
    engine.load(work, print)
    engine.begin(WordTokenizer(), work, loaded=True, notice=print)
    for number, (ids, length) in enumerate(zip(job.prompts, job.lengths, strict=True)):
        engine.submit(Request(str(number), "", str(number), 0, tuple(ids), Sampling(length, ignore_eos=True)))
    begun = time.monotonic()
    while engine.unfinished:
        done += engine.step()
    generate_s, rows = time.monotonic() - begun, []
    for completion in done:
        at = completion.timing
        assert at is not None
        stamps = (at.queued, at.queued + at.queue, at.queued + at.ttft, at.finished)
        rows.append(Row(completion.prompt_tokens, completion.output_tokens, stamps))
    return generate_s, rows


def main() -> None:
    """Does the job and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("given", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    chosen = parser.parse_args()
    job = Job(**json.loads(chosen.given.read_text()))
    generate_s, rows = through_fake(job) if job.arguments is None else through_vllm(job)
    total_s = clock.since_start()
    chosen.into.write_text(
        json.dumps({"total_s": total_s, "generate_s": generate_s, "rows": [asdict(row) for row in rows]})
    )


if __name__ == "__main__":
    main()
