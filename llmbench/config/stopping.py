"""Checks of the settings `stop_when.*`."""

from llmbench.config.groups import StopSettings
from llmbench.errors import ConfigError

MOST_WIDTH, LEAST_LEVEL = 1.0, 0.5


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
    for name, value in (("ci_width", stop.ci_width), ("margin", stop.margin)):
        if value is not None and not 0 < value < MOST_WIDTH:
            raise ConfigError(
                f"stop_when.{name}={value} is refused: stop_when.{name} must be a share between 0 and 1, such as 0.05 for 5 points, or null."
            )
    if not LEAST_LEVEL <= stop.level < 1:
        raise ConfigError(
            f"stop_when.level={stop.level} is refused: stop_when.level must be at least {LEAST_LEVEL} and below 1, such as 0.95."
        )
    if stop.min_questions < 1:
        raise ConfigError(
            f"stop_when.min_questions={stop.min_questions} is refused: stop_when.min_questions must be a whole number from 1."
        )
