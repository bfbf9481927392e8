"""HumanEval: 164 functions to be written from their docstring (Chen et al., 2021, https://arxiv.org/abs/2107.03374).

Data: openai/openai_humaneval, split test.
A row: {"task_id": "HumanEval/0", "prompt": "def has_close_elements(…", "entry_point": "has_close_elements",
"canonical_solution": "    for idx, …", "test": "def check(candidate): …"}
Protocol: zero-shot; the last closed fenced block with the function, else the function outside fences, else its body (the rules are
in `llmbench/answers/function.py`), else the last block that defines something else, which is wrong. The data's `check` must pass, with
3 s of CPU time for loading the program and all calls (each loads it anew, which counts once; arguments come when it is loaded). `check`
runs in a sandbox of its own and reaches the candidate, in another, only by its arguments and values: a candidate cannot change what
checks it. A value is compared as Python's `==` does (`llmbench/sandbox/runner/values.py`): ranges, iterators and views of dicts come to
the check as such, Decimals and fractions as numbers;
an object of a class of its own equals nothing, whatever the class says, but can be iterated over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from llmbench import sandbox
from llmbench.answers.function import function_program
from llmbench.benchmarks import programs
from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.candidate import Calls, Candidate, asserts
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.programs import Judged, ProgramBenchmark, ProgramVerdict
from llmbench.errors import DataError, shortened
from llmbench.records import Sample
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status
from llmbench.sandbox.container import BrokenBoxError, printable

ASK = "Complete this Python function. Answer with one code block that holds the whole function and everything it needs."
SHOWN = 40
"""Characters of a test that a sentence shows."""
TEXTS = ("prompt", "entry_point", "test")
CHECK_S, CALLS_S = 10, 120.0
"""Of CPU time, and in any case, for the check to compare values and ask for more."""


@dataclass(frozen=True, slots=True)
class Check:
    """The data's own program, which defines `check(candidate)`.

    Attributes:
        header: What is executed before it.
        code: The program.
        name: By this, too, it finds the candidate.
        cpu_s: Seconds of CPU time that it may take itself; None for `CHECK_S`.
    """

    header: str
    code: str
    name: str = "candidate"
    cpu_s: int | None = None


class HumanEval(ProgramBenchmark):
    """Functions that the model writes, checked by the data's own program.

    Attributes:
        name: The benchmark's own, for messages.
        checks: The options that there are, and what their values may be.
        cpu_s: Seconds of CPU time for all calls, where options say nothing else.
        stored: What the journal keeps of a sample; `test`, which may be megabytes, up to `programs.JOURNAL_CHARACTERS`.
    """

    columns: tuple[str, ...] = ("task_id", "prompt", "entry_point", "test")
    name = "humaneval"
    checks: Mapping[str, Callable[[Any], bool]] = MappingProxyType({"cpu_s": programs.are_seconds})
    cpu_s = 3.0
    stored: tuple[str, ...] = ("prompt", "entry_point", "test", "cpu_s")

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples named by `task_id`.

        Raises:
            DataError: A row lacks a field, or its test asserts nothing or cannot be read.
            ConfigError: An option is refused.
        """
        check_options(self.name, options, self.checks)
        return [self.sample(row, index, options) for index, row in enumerate(rows)]

    def sample(self, row: Row, index: int, options: Mapping[str, Any]) -> Sample:
        """Returns the sample of a row."""
        for column in TEXTS:
            text_of(row, column, index)
        texts = {column: str(row[column]) for column in TEXTS}
        fields = {**row, **texts, "cpu_s": float(options.get("cpu_s", self.cpu_s))}
        name = text_of(row, "task_id", index)
        self._check_asserts(name, texts["test"])
        return Sample(name, fields, str(row.get("canonical_solution") or ""))

    def _check_asserts(self, name: str, test: str) -> None:
        """Refuses the test of a task that any program would pass."""
        if not asserts(test):
            raise DataError(
                f"{self.name}: the test of task {name}, {shortened(test.strip(), SHOWN)!r}, is no assertion; fix the row."
            )

    def question(self, sample: Sample) -> str:
        """What to do, and the function's head."""
        return f"{ASK}\n\n```python\n{sample.fields['prompt'].rstrip()}\n```"

    def worked_example(self, sample: Sample) -> str:
        """The canonical solution as a code block."""
        return f"```python\n{sample.fields['prompt'].rstrip()}\n{sample.target.rstrip()}\n```"

    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        """The program: see `llmbench.answers.function`, else the last closed block that defines something else; None without either."""
        fields = sample.fields
        found = function_program(fields["prompt"], fields["entry_point"], text, complete=complete)
        return found or programs.other_program(text)

    def calls(self, sample: Sample, code: str) -> Calls:
        """What the check calls."""
        return Calls(code, sample.fields["entry_point"])

    def check(self, sample: Sample) -> Check:
        """The check, with the functions that the prompt brings."""
        fields = sample.fields
        return Check(f"{fields['prompt'].rstrip()}\n    pass\n", fields["test"], fields["entry_point"])

    def judged(self, sample: Sample, code: str) -> Judged:
        """Runs the data's check."""
        fields = sample.fields
        if fields.get("test") is None:
            return Judged(ProgramVerdict.REFUSED, programs.NOT_KEPT)
        if lack := programs.lacks(code, fields["entry_point"]):
            return Judged(ProgramVerdict.RUNTIME_ERROR, lack)
        calls, limits = self.calls(sample, code), Limits(cpu_s=fields["cpu_s"], idle_s=fields["cpu_s"])
        with sandbox.preload(limits) as box:
            loaded = box.run(Program(code, calls.header, as_main=False))
            if loaded.status is not Status.DONE:
                return Judged(ProgramVerdict(loaded.status.value), loaded.why)
            candidate, check = Candidate(box, calls, loaded.cpu_s or 0.0), self.check(sample)
            for _ in range(2):
                try:
                    return _checked(check, fields, candidate)
                except BrokenBoxError as error:
                    why = str(error)
            if candidate.called and box.works():
                return Judged(ProgramVerdict.RUNTIME_ERROR, f"its value ends the check: {printable(why)}")
            return Judged(ProgramVerdict.REFUSED, f"the check broke: {why}")

    def stored_fields(self, sample: Sample) -> dict[str, Any]:
        """What grading needs; a large check is left out."""
        kept = {key: sample.fields[key] for key in self.stored}
        if len(kept["test"]) > programs.JOURNAL_CHARACTERS:
            del kept["test"]
        return kept


def _checked(check: Check, fields: Mapping[str, Any], candidate: Candidate) -> Judged:
    """Lets the check run, and answers its calls with the candidate's values.

    Raises:
        BrokenBoxError: The sandbox of the check does not answer.
    """
    job = {"checks": True, "header": check.header, "code": check.code, "name": check.name}
    last, cpu_s = Ran(Status.DONE), check.cpu_s or CHECK_S
    limit_s = max(CALLS_S, 5.0 * cpu_s)
    candidate.begin()
    with SandboxBox() as checker:
        told = checker.ask({**job, "cpu_s": cpu_s, "memory_bytes": checker.limits.memory_bytes}, limit_s)
        while "call" in told:
            last = candidate.call(told["call"])
            if candidate.cpu_s > fields["cpu_s"]:
                why = f"more than {fields['cpu_s']:g} s of CPU time"
                return Judged(ProgramVerdict.TIME_LIMIT, why)
            status = "done" if last.status is Status.DONE else "ended"
            told = checker.ask({"status": status, "value": last.encoded}, limit_s)
    if told.get("status") == "done":
        return Judged(ProgramVerdict.PASSED)
    if told.get("status") == "ended":
        return Judged(ProgramVerdict(last.status.value), last.why)
    return Judged(ProgramVerdict.WRONG_ANSWER, printable(str(told.get("why", ""))))
