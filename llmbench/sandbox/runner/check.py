"""Executes the data's own check of a function, which asks for each call over this process's streams: the function is elsewhere."""

import json
import math
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .job import Job, why
from .values import dumps, loads


def check(job: Job, say: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Executes the check, under limits of its own: it computes with values that nobody trusts.

    Args:
        job: `code`, which defines `check`; `header`, which is executed before; `name`, the candidate's; limits `cpu_s` and
            `memory_bytes`.
        say: Asks for a call.

    Returns:
        `status`: `done` or `failed`, with `why`; or the finding on a call that gave no value.
    """

    def candidate(*arguments: object) -> Any:  # noqa: ANN401 - what the candidate gives
        say({"call": dumps(list(arguments))})
        told = json.loads(sys.stdin.readline())
        if told["status"] != "done":
            raise Ended(told)
        return loads(told["value"], math.inf)

    class Ended(Exception):  # noqa: N818 - the candidate's end is not this code's error
        """The candidate gave no value."""

    def end(*_: object) -> None:
        raise TimeoutError(f"the check takes more than {job['cpu_s']} s")

    signal.signal(signal.SIGXCPU, end)
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_s"], job["cpu_s"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    scope: dict[str, Any] = {"__name__": "check"}
    try:
        exec(job["header"], scope)  # noqa: S102
        exec(job["code"], scope)  # noqa: S102
        scope[job["name"]] = candidate  # a check may also call it by its name
        scope["check"](candidate)
    except Ended as ended:
        return dict(ended.args[0])
    except BaseException as error:  # noqa: BLE001 - a check may raise anything
        return {"status": "failed", "why": why(error)}
    return {"status": "done", "why": ""}
