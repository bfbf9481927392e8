"""`predictions.jsonl`, as the official harness takes it, and the harness itself where Docker and its package are at hand.

Fields: https://github.com/SWE-bench/SWE-bench (`instance_id`, `model_name_or_path`, `model_patch`). The harness is swebench 5's
`swebench.harness.run_evaluation`; it keeps finished instances under `logs/` of the folder it runs in, and so can be resumed.
"""

import importlib.util
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmbench.benchmarks.swe.scoring import PatchVerdict, scored, verdict_of
from llmbench.records import Outcome, Result, Score
from llmbench.system import files
from llmbench.system.redaction import is_secret_variable

log = logging.getLogger(__name__)

FILE = "predictions.jsonl"
REPORT = "harness.json"
RUN_ID = "llmbench"


def write(folder: Path, results: Sequence[Result], model: str) -> Path:
    """Writes a prediction for each question, as a whole: an empty patch where none was found, of several answers the first."""
    patches: dict[str, str] = {}
    for result in sorted(results, key=lambda r: (r.sample_id, r.repeat)):
        patches.setdefault(result.sample_id, result.score.answer or "")
    rows = [
        {"instance_id": name, "model_name_or_path": model, "model_patch": patch}
        for name, patch in patches.items()
    ]
    path = folder / FILE
    files.replace(path, (json.dumps(row).encode() + b"\n" for row in rows))
    return path


def command(path: Path, options: Mapping[str, Any]) -> list[str]:
    """What starts the harness."""
    return [
        sys.executable, "-m", "swebench.harness.run_evaluation", "--dataset_name", str(options["dataset"]), "--split", "test",
        "--predictions_path", str(path.resolve()), "--max_workers", str(options["harness_workers"]), "--run_id", RUN_ID,
        "--report_dir", str(path.resolve().parent),
    ]  # fmt: skip


def missing() -> str | None:
    """Why the harness cannot run here; None where it can."""
    if importlib.util.find_spec("swebench") is None:
        return "the package swebench is not installed"
    docker = shutil.which("docker")
    if docker is None:
        return "there is no Docker"
    done = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=60)
    return "Docker does not answer" if done.returncode else None


def evaluate(path: Path, model: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Runs the harness and reads its report; None where it wrote none. What it says goes into `harness.log`."""
    environment = {k: v for k, v in os.environ.items() if not is_secret_variable(k)}
    with os.fdopen(files.opened_to_add(path.parent / "harness.log"), "ab") as output:
        subprocess.run(
            command(path, options),
            cwd=path.parent,
            stdout=output,
            stderr=output,
            env=environment,
            check=False,
        )
    written = path.parent / f"{model.replace('/', '__')}.{RUN_ID}.json"
    try:
        report = json.loads(files.read(written, files.JSON_BYTES))
        written.replace(path.parent / REPORT)
    except (OSError, ValueError) as error:
        log.warning("the harness left no report: %s", error)
        return None
    return report if isinstance(report, dict) else None


def with_report(results: Sequence[Result], report: Mapping[str, Any]) -> dict[str, Score]:
    """The scores that the harness's report gives: by question, of those it ran to the end."""
    resolved, unresolved = set(report.get("resolved_ids") or ()), set(report.get("unresolved_ids") or ())
    given = {}
    for result in results:
        patch = result.score.answer
        if patch is not None and result.sample_id in resolved | unresolved:
            verdict = PatchVerdict.RESOLVED if result.sample_id in resolved else PatchVerdict.UNRESOLVED
            given[result.sample_id] = scored(verdict, patch, "as the official harness says")
    return given


def details(results: Sequence[Result]) -> dict[str, Any]:
    """Rates of patches found, applying and resolved, from 0 to 1; None where it is not known of any."""
    verdicts = [verdict_of(result.score) for result in results]
    found = [verdict for verdict in verdicts if verdict is not None]
    checked = [verdict for verdict in found if verdict is not PatchVerdict.UNCHECKED]
    tested = [verdict for verdict in verdicts if verdict in {PatchVerdict.RESOLVED, PatchVerdict.UNRESOLVED}]
    no_patch = sum(r.score.outcome in {Outcome.NO_ANSWER, Outcome.TRUNCATED} for r in results)
    applies = sum(verdict is not PatchVerdict.NOT_APPLYING for verdict in checked)
    return {
        "patch_found": len(found) / len(results) if results else None,
        "applies": applies / (len(checked) + no_patch) if checked else None,
        "resolved": sum(v is PatchVerdict.RESOLVED for v in tested) / len(results) if tested else None,
        "tested": len(tested),
        "verdicts": {v.value: found.count(v) for v in PatchVerdict if v in found},
    }


def instead(path: Path, options: Mapping[str, Any], why: str) -> str:
    """The sentence for a run whose tests somebody else must run."""
    words = command(path, options)
    words[0] = "python"
    return (
        f"swe_bench: no repository's tests ran for these patches ({why}), so none is called resolved. "
        f"On a machine with Docker: pip install swebench && {shlex.join(words)}"
    )
