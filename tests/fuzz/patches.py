"""Looks for patches and programs in mutated texts, and has git check what it finds."""

import tempfile
import time
from pathlib import Path
from random import Random

from llmbench.answers import code_block, code_blocks, patch
from llmbench.benchmarks.swe import prompt
from llmbench.benchmarks.swe.runner import judge
from tests.fuzz.common import Report, attempt, edit, mutate
from tests.helpers.swe import OUTPUTS, ROWS

LIMIT_S, CHECK_S = 5.0, 20.0
GIT_EVERY = 20
"""It is a repository and up to a dozen processes."""
PARTS = (
    "<patch>", "</patch>", "<diff>", "```diff\n", "```\n", "~~~", "diff --git a/x b/x\n", "--- a/x\n+++ b/x\n", "@@ -1,2 +1,2 @@\n",
    "@@ -99999999999,1 +0,0 @@\n", "rename from a\nrename to ../../b\n", "new file mode 120000\n", "deleted file mode 100644\n",
    "GIT binary patch\nliteral 4\n", "/dev/null", "+", "-", " ", "\\ No newline at end of file\n", "\r\n", "\x00", "<think>", "</think>",
    "--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+x\n", '--- "a/\\001"\n', "index 0000000..1111111 160000\n", "    ", "> ",
)  # fmt: skip


def find(text: str) -> None:
    """What is looked for in every text; a patch must be one that git can read as bytes."""
    for found in (code_block(text), *code_blocks(text)):
        if found is not None and not found.strip():
            raise AssertionError("an empty block")
    found = patch(text)
    if found is not None and not found.endswith("\n"):
        raise AssertionError("a patch without its last line end")
    prompt.fit(text, lambda shorter: len(shorter) < len(text) // 2)


def check(text: str, name: str, folder: Path) -> None:
    """Lets git look at it."""
    row = ROWS[name]
    found = judge.judge({"patch": patch(text) or text, "files": prompt.files_of(row)}, folder)
    if set(found) != {"applies", "applied_with", "passed", "failed", "why"} or found["passed"] is not None:
        raise AssertionError(f"{found}")


def run(seconds: float, seed: int) -> Report:
    """Mutates until the time is over."""
    generator, report = Random(seed), Report()
    texts = [str(output.get("output") or output.get("text") or output) for output in OUTPUTS]
    end = time.monotonic() + seconds
    while time.monotonic() < end and not report.enough:
        text = mutate(generator.choice(texts), generator)
        for _ in range(generator.randrange(5)):
            text = edit(text, generator, PARTS)
        report.count(attempt(lambda text=text: find(text), LIMIT_S), repr(text))  # type: ignore[misc]
        if report.cases % GIT_EVERY == 0:
            name = generator.choice(list(ROWS))
            with tempfile.TemporaryDirectory() as folder:
                outcome = attempt(lambda text=text, name=name, f=folder: check(text, name, Path(f)), CHECK_S)  # type: ignore[misc]
                if {path.name for path in Path(folder).iterdir()} - {"repository", "model.patch"}:
                    outcome = "files beside the repository"
            report.count(outcome, f"git {text!r}")
    return report
