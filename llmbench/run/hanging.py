"""What happens to a run whose engine hangs in this process, where only the end of the process can end that."""

import logging
import threading
from contextlib import suppress

from llmbench.results.manifest import LOG
from llmbench.run.loop import EvaluationLoop
from llmbench.run.run_record import RunRecord
from llmbench.system import redaction
from llmbench.system.signals import leave

log = logging.getLogger(__name__)

FAILED = 1
"""The exit status of a run that failed."""
LEAVE_S = 60.0
"""For a run that cannot go on to write what it has, before its process ends all the same."""


def leave_hanging(reason: str, *, record: RunRecord, loop: EvaluationLoop) -> None:
    """Ends the process whose main thread hangs in the engine; in the watch's thread. A library's caller is warned and keeps its process."""
    if not record.options.replaceable:
        record.warn([f"{reason}; only the end of this process can end it, and what was journalled is kept."])
        return
    threading.Timer(LEAVE_S, leave, (FAILED,)).start()
    summary, terminal = record.summary, record.terminal
    try:
        summary.status, summary.error = "failed", f"{reason}; only the process's end could end that."
        log.error("%s", summary.error)
        loop.collect()
        record.add_up()
        with suppress(Exception, SystemExit):  # nobody may read it any more
            loop.progress.leave()
            terminal.notice(f"llmbench: {summary.error} `{summary.resume}` resumes it.")
        record.write()
        record.options.publish(record.files.folder)
        redaction.scrub(record.files.folder / LOG)
    except Exception:
        log.exception("what was left to write could not be written")
    finally:
        leave(FAILED)
