"""Long reasoning, through llmbench and through a bare `LLM.generate` of the same vLLM, in turn, each in a process of its own. Ratios come first.

    python -m tests.bench.long_outputs MODEL_DIR [--weights bf16|fp8] [--kv-cache auto|fp8] [--startup graphs|full|auto|eager] [SETTING …]
    python -m tests.bench.long_outputs --engine fake --requests 8 --longest 64

128 requests with prompts of 100 to 300 random tokens; their outputs are log-normal around 2,000 tokens and at most 8,192 (310,204 together).
Lengths are forced: weights may be random, and then nothing ends by itself. A run has one token limit for each benchmark, so the engine that the
run opens is given to it with another `submit`, which puts the prompt and the limit of this workload in place of a question's; loading is told
the true sum of the lengths. All else is a run as from the command line: prompts, loop, telemetry, grading, journal, summary.

The bare side (long_outputs_bare.py) has the same arguments as llmbench's, but for --startup auto, where it has vLLM's own default; its time to
score ends with the last token, since it scores nothing.
The share of the limit is that of its bandwidth (`results/generation`); a bare process does not say what its weights take, so llmbench's bytes count for both.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmbench.cli.compose import compose
from llmbench.config.choices import Startup
from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.factory import find_checkpoint, open_engine
from llmbench.engine.workload import Workload
from llmbench.records import Completion, FinishReason, Request, Timing
from llmbench.results.generation import generation
from llmbench.run import pipeline
from llmbench.run.engine_pool import EnginePool, Engines
from llmbench.run.options import RunOptions
from llmbench.telemetry.engine_report import EngineReport
from tests.bench import variants
from tests.bench.long_outputs_bare import Job, Row, endless
from tests.bench.variants import add_long_outputs, in_own_process, machine, parsed

NAME = "arithmetic"
MEDIAN, SIGMA, SEED = 2000, 0.7, 825
"""Of the lengths. The seed gives 310,204 tokens, as near as may be to the 310,208 of an earlier measurement whose lengths were not kept."""
PROMPT = (100, 300)
SIDES = ("llmbench", "bare")
MOST = 200
"""Questions that the benchmark makes."""


@dataclass(frozen=True, slots=True)
class Work:
    """Token ids to continue by so many tokens."""

    prompts: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, requests: int, longest: int) -> "Work":
        """The first requests of the workload, their lengths cut at the longest."""
        generator = random.Random(SEED)
        drawn = [generator.lognormvariate(math.log(MEDIAN), SIGMA) for _ in range(requests)]
        sizes = [generator.randint(*PROMPT) for _ in range(requests)]
        prompts = tuple(tuple(generator.randrange(1000, 40000) for _ in range(size)) for size in sizes)
        return cls(prompts, tuple(max(1, min(longest, round(length))) for length in drawn))


def settings(options: argparse.Namespace) -> Config:
    """The settings of both sides."""
    typed = [
        f"benchmark={NAME}", f"benchmarks.{NAME}.num_samples={options.requests}", f"benchmarks.{NAME}.max_tokens={options.longest}",
        "early_stopping=off", "sampling.ignore_eos=true", "report=false", "log_level=WARNING", f"engine={options.engine}", "model=qwen14b",
        f"model.quantization={'fp8' if options.weights == 'fp8' else 'null'}", f"model.kv_cache_dtype={options.kv_cache}",
        f"model.max_length={options.longest + 512}", f"batch_size={options.requests}",
    ]  # fmt: skip
    if options.engine == "vllm":
        typed += [f"model.path={options.model}", f"engine.startup={options.startup}"]
    return compose([*typed, *options.settings])


def forced(work: Work, opened: ModelEngine) -> ModelEngine:
    """Has an engine do this workload, whatever it is asked: the first request is the workload's first, and so on."""
    numbers: dict[str, int] = {}
    submit, load = opened.submit, opened.load

    def submit_forced(request: Request, *, first: bool = False) -> None:
        number = numbers.setdefault(request.id, len(numbers))
        sampling = replace(request.sampling, max_tokens=work.lengths[number], ignore_eos=True)
        submit(replace(request, prompt_ids=work.prompts[number], sampling=sampling), first=first)

    def load_forced(workload: Workload, notice: Any) -> None:  # noqa: ANN401
        true = replace(workload, output_tokens=sum(work.lengths), longest=max(work.lengths))
        load(replace(true, prompt_tokens=PROMPT[1]), notice)

    opened.submit, opened.load = submit_forced, load_forced  # type: ignore[method-assign]
    return opened


def through_llmbench(config: Config, work: Work, folder: Path) -> dict[str, Any]:
    """A whole run: seconds from the start of the process to its score, of generating, and how that went."""

    def opened(config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        without_model = config.engine.name == "fake"
        engine = endless(max(work.lengths)) if without_model else open_engine(config, checkpoint)
        return forced(work, engine)

    with EnginePool(Engines(open_engine=opened), process_ends=True) as pool:
        summary = pipeline.run(config, folder, RunOptions(pool=pool))
    tokens, times = summary.benchmarks[NAME].tokens.output, summary.time_s
    assert tokens == sum(work.lengths)
    assert times.generation is not None
    assert summary.engine is not None
    return {
        "total_s": times.total,
        "generate_s": times.generate,
        "output_tokens": tokens,
        "generation": asdict(times.generation),
        "report": asdict(summary.engine) | {"memory": asdict(summary.memory), "load_s": times.load},
    }


def arguments(config: Config, requests: int) -> dict[str, Any] | None:
    """What a bare `LLM` is called with: the arguments that llmbench gives it, and statistics, which have the times. None: the fake engine."""
    if config.engine.name == "fake":
        return None
    from llmbench.engine.vllm import loading
    from llmbench.engine.vllm.checks import pick_device
    from llmbench.engine.vllm.startup import plan_startup

    checkpoint, device = find_checkpoint(config), pick_device(config)
    assert checkpoint is not None
    own = (
        replace(config, engine=replace(config.engine, startup=Startup.full))
        if config.engine.startup is Startup.auto
        else config
    )
    work = Workload(requests, 1, requests, batch_size=requests)
    plan = plan_startup(own, checkpoint, device, work, lambda _: requests)
    return (
        loading.model_arguments(own, checkpoint, device, work, plan)
        | {"disable_log_stats": False}
        | own.engine.args
    )


def bare(job: Job, work: Work, found: dict[str, Any]) -> dict[str, Any]:
    """What a process without llmbench measured, with how generating went by its stamps."""
    made = [
        Completion(
            str(number),
            "",
            (),
            row.tokens,
            row.prompt_tokens,
            0,
            FinishReason.LENGTH,
            None,
            Timing.of(*row.stamps, row.tokens),
        )
        for number, row in enumerate(Row(**row) for row in found.pop("rows"))
    ]
    tokens = sum(completion.output_tokens for completion in made)
    assert tokens == sum(work.lengths)
    how = generation(made, EngineReport("bare"), found["generate_s"], None)
    assert how is not None
    return found | {
        "output_tokens": tokens,
        "generation": asdict(how),
        "report": {"arguments": job.arguments},
    }


def measure(side: str, config: Config, work: Work) -> dict[str, Any]:
    """Runs one side in a process of its own, and returns what it measured."""
    if side == "llmbench":
        measured: dict[str, Any] = in_own_process(side, "long_outputs", sys.argv[1:])
        return measured
    job = Job(arguments(config, len(work.lengths)), list(map(list, work.prompts)), list(work.lengths))
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.json"
        given.write_text(json.dumps(asdict(job)))
        return bare(job, work, in_own_process(side, "long_outputs_bare", [str(given)]))


def show(rounds: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Prints the ratios and what they are made of, and returns it all."""

    def median(side: str, *names: str) -> float | None:
        values = []
        for each in rounds:
            value: Any = each[side]
            for name in names:
                value = None if value is None else value.get(name)
            values.append(value)
        return None if None in values else statistics.median(values)

    def figures(side: str) -> dict[str, float | None]:
        tokens, generate_s = median(side, "output_tokens"), median(side, "generate_s")
        own = median("llmbench", "generation", "limit", "share"), median("llmbench", "generate_s")
        least_s = own[0] * own[1] if own[0] is not None and own[1] is not None else None
        return {
            "tokens_per_s": tokens / generate_s if tokens and generate_s else None,
            "time_to_score_s": median(side, "total_s"),
            "generate_s": generate_s,
            "share_of_limit": _ratio(least_s, generate_s),
            "tail_s": median(side, "generation", "tail"),
            "last_tenth_s": median(side, "generation", "last_tenth"),
            "steps": median(side, "generation", "steps"),
            "step_s": median(side, "generation", "step"),
        }

    of = {side: figures(side) for side in SIDES}
    ratios = {
        name: _ratio(of["llmbench"][name], of["bare"][name])
        for name in ("tokens_per_s", "time_to_score_s", "tail_s")
    }
    print(f"llmbench / bare vLLM (more tokens/s and less time are better): {_line(ratios)}")
    print(f"share of the limit: {_line({side: of[side]['share_of_limit'] for side in SIDES})}")
    for side in SIDES:
        print(f"{side}: {_line(of[side])}")
    return {"ratios": ratios, "figures": of, "rounds": list(rounds)}


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _line(values: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def main() -> None:
    """Measures and prints."""
    parser = variants.parser("long_outputs", __doc__)
    add_long_outputs(parser, 128)
    options = parsed(parser)
    if not 1 <= options.requests <= MOST:
        parser.error(f"--requests is 1 to {MOST}")
    config, work = settings(options), Work.of(options.requests, options.longest)
    if options.into is not None:
        with tempfile.TemporaryDirectory() as folder:
            measured = through_llmbench(config, work, Path(folder) / "run")
        options.into.write_text(json.dumps(measured, default=str))
        return
    rounds = []
    for number in range(options.rounds):
        order = SIDES if number % 2 == 0 else SIDES[::-1]
        rounds.append({side: measure(side, config, work) for side in order})
    found_all = show(rounds)
    print(json.dumps({name: value for name, value in vars(options).items() if name != "into"} | found_all))
    print(machine())


if __name__ == "__main__":
    main()
