"""SWE-bench rows and texts that the tests share."""

import json
from pathlib import Path
from typing import Any

from tests.helpers.paths import DATA

SYNTHETIC = DATA / "swebench_synthetic.jsonl"
ROWS: dict[str, dict[str, Any]] = {
    row["instance_id"]: row for row in map(json.loads, SYNTHETIC.read_text().splitlines())
}
OUTPUTS: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "swebench_synthetic_outputs.jsonl").read_text().splitlines()
]
CALC, URL, TAG = ROWS
OPTIONS = {"retrieval": "oracle", "harness": "off"}


def tagged(patch: str) -> str:
    return f"The fix:\n<patch>\n{patch}</patch>"


def new_file(path: str, content: str, mode: str = "100644") -> str:
    lines = content.split("\n")
    end = "" if content.endswith("\n") else "\n\\ No newline at end of file"
    added = "\n".join(f"+{line}" for line in (lines[:-1] if not end else lines))
    count = len(lines) - (not end)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{count} @@\n{added}{end}\n"
    )


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
