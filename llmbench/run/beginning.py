"""What a run's folder holds when the run begins. Imports nothing, since `--help` needs it."""

from enum import Enum


class Beginning(Enum):
    """What the run's folder holds when the run begins."""

    NEW = "new"
    """Nothing of a run."""
    KILLED_AT_START = "killed at start"
    """A run that was killed before it had asked anything."""
    CONTINUED = "continued"
    """This run so far, of a process that this one has replaced."""
    RESUMED = "resumed"
    """This run so far, of an earlier attempt."""

    @property
    def has_results(self) -> bool:
        """Whether results may be there, which are not asked for again."""
        return self in (Beginning.CONTINUED, Beginning.RESUMED)
