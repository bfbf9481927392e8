"""The grading workers that outlive a run: the jobs of a sweep share them where they can."""

import os
from collections.abc import Iterable
from typing import Any

from llmbench.run.grading import Grader

MOST_WORKERS = 16
"""That run programs; each may take as much memory as a program's limit."""


class GraderPool:
    """Holds one set of grading workers."""

    def __init__(self) -> None:
        """Holds nothing yet."""
        self.planned: frozenset[str] = frozenset()
        """Modules that jobs to come need; workers that are started import them too."""
        self._grader: Grader[Any] | None = None
        self._modules: frozenset[str] = frozenset()
        self._runs = "bwrap", False

    def get(self, modules: Iterable[str], sandbox: str = "bwrap", *, runs_code: bool = False) -> Grader[Any]:
        """Returns workers that have imported these modules and use this sandbox; those of the job before, if they have.

        Where they run programs there is one for each core, behind everything else that wants it.
        """
        wanted = frozenset(modules) | self.planned
        if (sandbox, runs_code) != self._runs:
            self.close()
        self._runs = sandbox, runs_code
        if self._grader is not None and not (wanted <= self._modules and self._grader.usable):
            self.close()
        if self._grader is None:
            workers = max(1, min(MOST_WORKERS, os.cpu_count() or 1)) if runs_code else None
            self._grader = Grader(sorted(wanted), workers)
            self._modules = wanted
            self._grader.__enter__()
        return self._grader

    def close(self, *, at_once: bool = False) -> None:
        """Ends the workers: when they are done, or at once."""
        grader, self._grader = self._grader, None
        if grader is not None:
            grader.close(at_once=at_once or bool(grader.unfinished))
