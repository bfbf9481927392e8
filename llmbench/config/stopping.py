"""Checks of the settings `stop_when.*`."""

from llmbench.config.bounds import check, check_least
from llmbench.config.groups import StopSettings
from llmbench.errors import ConfigError


def validate_stopping(stop: StopSettings) -> None:
    """Refuses settings under which no run could stop.

    Raises:
        ConfigError: Names the setting, the value and what it may be.
    """
    if stop.ci_width is not None and stop.compare is not None:
        raise ConfigError(
            f"stop_when.ci_width={stop.ci_width} is refused with stop_when.compare={stop.compare}: a run stops for one of both; leave one out."
        )
    if stop.margin is not None and stop.compare is None:
        raise ConfigError(
            f"stop_when.margin={stop.margin} is refused without stop_when.compare=RUN, the run whose difference it is a margin of."
        )
    share = "a share between 0 and 1, such as 0.05 for 5 points, or null"
    for name, value in (("ci_width", stop.ci_width), ("margin", stop.margin)):
        check(value is None or 0 < value < 1, f"stop_when.{name}", value, share)
    check(0.5 <= stop.level < 1, "stop_when.level", stop.level, "at least 0.5 and below 1, such as 0.95")  # noqa: PLR2004
    check_least("stop_when.", stop, 1, "min_questions")
