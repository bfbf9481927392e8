import io

import pytest
from rich.console import Console

from llmbench.engine.base import EngineReport
from llmbench.records import Completion, FinishReason, Outcome, Result, Score, Timing
from llmbench.summary import Summary, summarise
from llmbench.terminal import Progress, Terminal

TIMING = Timing(queued=0.0, finished=123.4, queue=1.5, ttft=12.5, decode=100.25, e2e=123.4, inter_token=0.25)


def result(number: int, outcome: Outcome) -> Result:
    done = Completion(f"b/{number}/0", "x", (), 500, 100, 0, FinishReason.STOP, None, TIMING)
    score = Score(float(outcome is Outcome.CORRECT), "1", outcome)
    return Result("b", str(number), 0, "1", "?", "", "x", (done,), score)


def closing(width: int) -> str:
    results = [result(n, Outcome.CORRECT if n % 3 else Outcome.WRONG) for n in range(12)]
    summary = Summary("finished", "m", "documented", comparable=False)
    summary.benchmarks = {
        name: summarise(results, 12, 1) for name in ("arithmetic", "math_full", "[red]gsm8k")
    }
    summary.engine = EngineReport("vllm", "0.27.1", "cuda", "bitsandbytes")
    terminal = Terminal(io.StringIO(), io.StringIO())
    stream = io.StringIO()
    terminal.out = Console(file=stream, width=width)
    terminal.table(summary, "runs/x")
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


def test_without_a_terminal_progress_is_plain_lines() -> None:
    err = io.StringIO()
    with Progress(Terminal(io.StringIO(), err), {"b": 2}) as progress:
        progress.add(result(1, Outcome.CORRECT))
        progress.show(10)
        progress.add(result(2, Outcome.WRONG))
        progress.note(20)
    first, last = err.getvalue().splitlines()
    assert first.startswith("b 1/2 100.0 % right")
    assert last.startswith("b 2/2 50.0 % right")
    assert "\x1b" not in err.getvalue()


def test_what_a_prompt_holds_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    Terminal(out, io.StringIO()).text("[bold]a\x1b[31mb\x07")
    assert out.getvalue() == "[bold]a\\x1b[31mb\\x07\n"
