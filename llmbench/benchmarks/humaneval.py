"""HumanEval: 164 functions to be written from their docstring (Chen et al., 2021, https://arxiv.org/abs/2107.03374).

Data: openai/openai_humaneval, split test.
A row: {"task_id": "HumanEval/0", "prompt": "def has_close_elements(…", "entry_point": "has_close_elements",
"canonical_solution": "    for idx, …", "test": "def check(candidate): …"}
Protocol: zero-shot; the last closed fenced block with the function, else the function outside fences, else its body (the rules are
in `llmbench/answers/function.py`); the data's `check` must pass, with 3 s of CPU time for loading the program and all calls (each loads it anew, which counts once; arguments come when it is loaded). `check` runs in a sandbox of its own and reaches the candidate,
in another, only by its arguments and values: a candidate cannot change what checks it. A value is compared as Python's `==` does
(`llmbench/sandbox/runner/values.py`): ranges, iterators and views of dicts come to the check as such, Decimals and fractions as numbers;
an object of a class of its own equals nothing, whatever the class says, but can be iterated over.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmbench import sandbox
from llmbench.answers.function import function_program
from llmbench.benchmarks import programs
from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.programs import Judged, ProgramBenchmark, ProgramVerdict
from llmbench.records import Sample
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status
from llmbench.sandbox.container import BrokenBoxError, printable
from llmbench.sandbox.runner.values import loads

CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "cpu_s": programs.are_seconds,
}
ASK = "Complete this Python function. Answer with one code block that holds the whole function and everything it needs."
TEXTS = ("prompt", "entry_point", "test")
STORED = ("prompt", "entry_point", "test", "cpu_s")
CHECK_S, CALLS_S = 10, 120.0
"""Of CPU time, and in any case, for the check to compare values and ask for more."""


class HumanEval(ProgramBenchmark):
    """Functions that the model writes, checked by the data's own program."""

    columns = ("task_id", "prompt", "entry_point", "test")

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by `task_id`.

        Raises:
            DataError: A row lacks a field.
            ConfigError: An option is refused.
        """
        check_options("humaneval", options, CHECKS)
        found = []
        for index, row in enumerate(rows):
            for column in TEXTS:
                text_of(row, column, index)
            texts = {column: str(row[column]) for column in TEXTS}
            fields = {**row, **texts, "cpu_s": float(options.get("cpu_s", 3))}
            found.append(
                Sample(text_of(row, "task_id", index), fields, str(row.get("canonical_solution") or ""))
            )
        return found

    def question(self, sample: Sample) -> str:
        """What to do, and the function's head."""
        return f"{ASK}\n\n```python\n{sample.fields['prompt'].rstrip()}\n```"

    def worked_example(self, sample: Sample) -> str:
        """The canonical solution as a code block."""
        return f"```python\n{sample.fields['prompt'].rstrip()}\n{sample.target.rstrip()}\n```"

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The program: see `llmbench.answers.function`; None where nothing gives the function a body."""
        fields = sample.fields
        return function_program(fields["prompt"], fields["entry_point"], text, complete=complete)

    def judged(self, sample: Sample, code: str) -> Judged:
        """Runs the data's check."""
        fields = sample.fields
        limits = Limits(cpu_s=fields["cpu_s"], idle_s=fields["cpu_s"])
        with sandbox.preload(limits) as box:
            loaded = box.run(Program(code, as_main=False))
            if loaded.status is not Status.DONE:
                return Judged(ProgramVerdict(loaded.status.value), loaded.why)
            candidate = Candidate(box, code, fields["entry_point"], loaded.cpu_s or 0.0)
            for _ in range(2):
                try:
                    return _checked(fields, candidate)
                except BrokenBoxError as error:
                    why = str(error)
            if candidate.called and box.works():
                return Judged(ProgramVerdict.RUNTIME_ERROR, f"its value ends the check: {printable(why)}")
            return Judged(ProgramVerdict.REFUSED, f"the check broke: {why}")

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What grading needs."""
        return {key: sample.fields[key] for key in STORED}


class Candidate:
    """A program whose function is called: with what it took so far."""

    def __init__(self, box: SandboxBox, code: str, name: str, load_s: float) -> None:
        """Takes the program and what loading it took once."""
        self._box, self._code, self._name = box, code, name
        self.load_s, self.calls_s, self.called = load_s, 0.0, False

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU time: each call's own, and once the longest that loading took, which every call repeats."""
        return self.load_s + self.calls_s

    def call(self, arguments: Sequence[Any]) -> Ran:
        """Loads the program anew and calls its function."""
        ran = self._box.run(Program(self._code, call=self._name, arguments=arguments, method_first=False))
        self.load_s = max(self.load_s, ran.load_s or 0.0)
        self.calls_s += (ran.cpu_s or 0.0) - (ran.load_s or 0.0)
        self.called = True
        return ran


def _checked(fields: Mapping[str, Any], candidate: Candidate) -> Judged:
    """Lets the check run, and answers its calls with the candidate's values.

    Raises:
        BrokenBoxError: The sandbox of the check does not answer.
    """
    helpers = f"{fields['prompt'].rstrip()}\n    pass\n"
    check = {"checks": True, "header": helpers, "code": fields["test"], "name": fields["entry_point"]}
    candidate.calls_s, last = 0.0, Ran(Status.DONE)
    with SandboxBox() as checker:
        told = checker.ask({**check, "cpu_s": CHECK_S, "memory_bytes": checker.limits.memory_bytes}, CALLS_S)
        while "call" in told:
            last = candidate.call(loads(told["call"]))
            if candidate.cpu_s > fields["cpu_s"]:
                why = f"more than {fields['cpu_s']:g} s of CPU time"
                return Judged(ProgramVerdict.TIME_LIMIT, why, cpu_s=candidate.cpu_s)
            status = "done" if last.status is Status.DONE else "ended"
            told = checker.ask({"status": status, "value": last.encoded}, CALLS_S)
    if told.get("status") == "done":
        return Judged(ProgramVerdict.PASSED, cpu_s=candidate.cpu_s)
    if told.get("status") == "ended":
        return Judged(ProgramVerdict(last.status.value), last.why, cpu_s=candidate.cpu_s)
    return Judged(ProgramVerdict.WRONG_ANSWER, printable(str(told.get("why", ""))), cpu_s=candidate.cpu_s)
