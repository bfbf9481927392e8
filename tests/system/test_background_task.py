import pytest

from llmbench.errors import ModelError
from llmbench.system.background_task import Background


def refuse() -> int:
    raise ModelError("no chat template")


def test_the_result_and_its_seconds_come_back() -> None:
    work = Background("test", lambda: 7)
    assert work.result() == 7
    assert work.seconds >= 0


def test_a_failure_is_raised_where_the_result_is_wanted() -> None:
    with pytest.raises(ModelError, match="no chat template"):
        Background("test", refuse).result()
