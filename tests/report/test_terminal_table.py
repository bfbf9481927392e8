import io
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from llmbench.records import Outcome, Result, Timing
from llmbench.report.terminal_table import print_table
from llmbench.results.metrics import summarise
from llmbench.results.summary import BenchmarkSummary, Summary, TimeSplit
from llmbench.run.progress import Progress
from llmbench.system.console import Terminal
from llmbench.telemetry.engine_report import EngineReport
from llmbench.telemetry.records import EngineState, GpuSample, TelemetrySample
from tests.helpers.factories import result

TIMING = Timing(queued=0.0, finished=123.4, queue=1.5, ttft=12.5, decode=100.25, e2e=123.4, inter_token=0.25)


def slow_result(number: int, outcome: Outcome) -> Result:
    made = result(number, outcome, tokens=500)
    return replace(made, completions=(replace(made.completions[0], timing=TIMING),))


def closing(width: int, benchmarks: Mapping[str, BenchmarkSummary] | None = None) -> str:
    results = [slow_result(n, Outcome.CORRECT if n % 3 else Outcome.WRONG) for n in range(12)]
    summary = Summary("finished", "m", "documented", comparable=False)
    summary.benchmarks = dict(
        benchmarks or {name: summarise(results, 12, 1) for name in ("arithmetic", "math_full", "[red]gsm8k")}
    )
    summary.time_s = TimeSplit(
        total=90.0,
        import_=11.0,
        data=0.01,
        tokenizer=1.5,
        prepare=9.0,
        load=20.0,
        generate=50.0,
        grade_tail=4.0,
    )
    summary.engine = EngineReport("vllm", "0.27.1", "cuda", "bitsandbytes")
    terminal = Terminal(io.StringIO(), io.StringIO())
    stream = io.StringIO()
    terminal.out = Console(file=stream, width=width)
    print_table(terminal, summary, "runs/x")
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_closing_table_drops_columns_but_cuts_none(width: int) -> None:
    lines = closing(width).splitlines()
    table = [line for line in lines if line.startswith(("benchmark", "arithmetic", "math_full", "[red]"))]
    assert len(table) == 4
    assert all(len(line) <= width for line in table)
    assert "…" not in table[0]
    assert "accuracy" in table[0] or width == 40
    assert ("samples/s" in table[0]) == (width >= 100)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_number_of_the_closing_line_is_torn_from_its_unit(width: int) -> None:
    lines = closing(width).splitlines()
    last = lines[next(n for n, line in enumerate(lines) if line.startswith("time to score")) : -1]
    assert len(last) > 1 or width == 100
    assert all(line.endswith(",") for line in last[:-1])
    assert max(map(len, last)) <= width


def test_the_parts_of_the_closing_line_add_up_to_the_total() -> None:
    line = next(line for line in closing(200).splitlines() if line.startswith("time to score"))
    named = re.findall(r"(?:^|, )([a-z ]+) ([\d.]+) s\b", line)
    assert [name for name, _ in named] == [
        "time to score", "import", "tokenizer", "load", "generate", "grade the last", "other"
    ]  # fmt: skip
    total, *parts = (float(value) for _, value in named)
    assert sum(parts) == pytest.approx(total, abs=0.1)


def test_what_a_benchmark_adds_is_a_line_below_the_table() -> None:
    summary = summarise(
        [slow_result(1, Outcome.CORRECT)], 1, 1, details=lambda _: {"loose": 0.5, "kinds": {"a": {"n": 1}}}
    )
    assert "\nifeval: loose 50.0%.\n" in closing(80, {"ifeval": summary})


def test_the_longest_names_and_numbers_fit_a_hundred_columns_with_their_times() -> None:
    slow = replace(TIMING, e2e=987.6, finished=987.6)
    results = [
        replace(r, completions=(replace(r.completions[0], timing=slow),))
        for r in (slow_result(n, Outcome.CORRECT if n % 2 else Outcome.NO_ANSWER) for n in range(400))
    ]
    names = ("swe_bench_verified", "livecodebench")
    text = closing(100, {name: summarise(results, 500, 1) for name in names})
    heading, *rows = [line for line in text.splitlines() if line.startswith(("benchmark", *names))]
    assert [row.split()[0] for row in rows] == list(names)
    assert max(map(len, (heading, *rows))) <= 100
    assert all(word in heading for word in ("accuracy", "95% interval", "latency", "tokens/s", "time"))
    assert all("400/500" in row and "988 s" in row for row in rows)
    assert max(map(len, text.splitlines())) <= 100


def test_without_a_terminal_progress_is_plain_lines() -> None:
    err = io.StringIO()
    with Progress(Terminal(io.StringIO(), err), {"b": 2}) as progress:
        progress.add(result(1, Outcome.CORRECT))
        progress.note(10)
        progress.show()
        progress.add(result(2, Outcome.WRONG))
        progress.note(20)
    first, last = err.getvalue().splitlines()
    assert first.startswith("b 1/2 100.0% right")
    assert last.startswith("b 2/2 50.0% right")
    assert "\x1b" not in err.getvalue()


def test_when_all_is_answered_progress_says_nothing_of_requests_that_it_saw_before() -> None:
    err = io.StringIO()
    with Progress(Terminal(io.StringIO(), err), {"b": 1}) as progress:
        progress.look(looked(gpu=False))
        progress.add(result(1, Outcome.CORRECT))
    (last,) = err.getvalue().splitlines()
    assert last == "b 1/1 100.0% right, - tokens/s"


@pytest.mark.parametrize("done", [1, 63, 64, 199])
def test_progress_foretells_no_time(done: int) -> None:
    err = io.StringIO()
    progress = Progress(Terminal(io.StringIO(), err), {"b": 200})
    progress.look(looked(gpu=False))
    for number in range(done):
        progress.add(result(number, Outcome.CORRECT))
    progress.note(10)
    progress.show()
    (line,) = err.getvalue().splitlines()
    assert line.startswith(f"b {done}/200 100.0% right, ")
    assert " left" not in line


def test_what_a_prompt_holds_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    Terminal(out, io.StringIO()).text("[bold]a\x1b[31mb\x07")
    assert out.getvalue() == "[bold]a\\x1b[31mb\\x07\n"


def looked(*, gpu: bool) -> TelemetrySample:
    gpus = (GpuSample(memory_bytes=40 << 30, utilization=0.93, power_w=412.0),) if gpu else ()
    engine = EngineState(running=64.0, waiting=3.0, queued=29.0, kv_cache_use=0.41)
    return TelemetrySample(1.0, rss_bytes=2 << 30, cpu_share=1.9, gpus=gpus, engine=engine)


def live(width: int, sample: TelemetrySample | None) -> list[str]:
    stream = io.StringIO()
    terminal = Terminal(io.StringIO(), io.StringIO())
    terminal.err = Console(file=stream, width=width, height=30, force_terminal=True, color_system=None)
    names = {"swe_bench_verified": 500, "livecodebench": 175, "[red]own": 30}
    with Progress(terminal, names) as progress:
        for number in range(4):
            given = replace(
                result(number, Outcome.TRUNCATED if number else Outcome.CORRECT), benchmark="livecodebench"
            )
            progress.add(given)
        if sample is not None:
            progress.look(sample)
        stream.truncate(0)
        progress.note(1000)
        progress.show()
        shown = stream.getvalue()
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).strip("\r\x00") for line in shown.splitlines()]


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("gpu", [False, True])
def test_the_live_display_shows_machine_requests_and_validity_in_its_width(width: int, *, gpu: bool) -> None:
    lines = live(width, looked(gpu=gpu))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert ("GPU memory 40.0 GiB, GPU 93%, 412 W" in text) == gpu
    assert ("memory 2.0 GiB, CPU 1.9 cores" in text) != gpu
    assert "64 running, 3 waiting, 29 queued" in text
    assert "no answer 75%, cut off 75%, errors 0%" in text
    assert "[red]own" in text
    assert len(lines) == len(live(width, None))


def test_without_a_look_nothing_is_shown_as_zero() -> None:
    text = "\n".join(live(100, None))
    assert "GPU" not in text
    assert "running" not in text
