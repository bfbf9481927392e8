"""A table of cases as one test: most cases take less time than pytest takes to keep a test of its own for each."""

from collections.abc import Callable, Mapping
from typing import TypeVar

Case = TypeVar("Case")


def each_of(cases: Mapping[str, Case]) -> Callable[[Callable[[Case], None]], Callable[[], None]]:
    """Makes one test of a check: it is called with each case, and all that fail are raised together under their names."""

    def one_test(check: Callable[[Case], None]) -> Callable[[], None]:
        def test() -> None:
            assert cases
            failures = {name: failure for name, case in cases.items() if (failure := _failure(check, case))}
            for name, failure in failures.items():
                failure.add_note(f"case {name}")
            if failures:  # pytest shows fifteen exceptions of a group, so the message has all names
                message = f"{len(failures)} of {len(cases)} cases fail: {'; '.join(failures)}"
                raise ExceptionGroup(message, [*failures.values()])

        test.__doc__ = check.__doc__
        return test

    return one_test


def _failure(check: Callable[[Case], None], case: Case) -> Exception | None:
    try:
        check(case)
    except Exception as error:  # noqa: BLE001 - the other cases are looked at all the same
        return error
    return None
