"""The store of the response cache."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.engine.cache import store
from llmbench.engine.cache.store import Answers, CachedAnswer
from llmbench.records import Completion, FinishReason
from tests.helpers.paths import ROOT


def answer(text: str, reason: FinishReason, stop: str | None, ids: tuple[int, ...]) -> CachedAnswer:
    return CachedAnswer.of(Completion("b/1/0", text, ids, len(ids), 20, 16, reason, stop))


KEPT = answer("It is 7.", FinishReason.STOP_STRING, "Answer:", (5, 6, 151_643))


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def sized(number: int, size: int) -> CachedAnswer:
    """One that does not pack well."""
    ids = tuple((number * 7919 + place * place * 104_729) % 150_000 for place in range(size))
    return answer(str(number), FinishReason.LENGTH, None, ids)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(list(FinishReason)),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.integers(0, 200_000)).map(tuple),
)
def test_an_answer_is_given_back_as_it_was(
    text: str, reason: FinishReason, stop: str | None, ids: tuple[int, ...]
) -> None:
    kept = answer(text, reason, stop, ids)
    assert CachedAnswer.unpack(kept.pack()) == kept


@pytest.mark.parametrize("value", [b"", b"?", b"QUJD", KEPT.pack()[:-8], KEPT.pack()[8:], b"eJyLBgAAXABd"])
def test_a_damaged_answer_is_none(value: bytes, tmp_path: Path) -> None:
    with Answers(tmp_path / "a") as opened:
        opened.put(key(1), KEPT)
        opened.flush()
        opened._db.execute("UPDATE answers SET value = ?", (value,))
        assert opened.get(key(1)) is None
        opened.put(key(1), KEPT)
        assert opened.get(key(1)) == KEPT


def test_what_is_kept_is_there_for_the_next(tmp_path: Path) -> None:
    with Answers(tmp_path / "a" / "b" / "c") as first:
        first.put(key(1), KEPT)
        assert first.get(key(1)) == KEPT  # before it is written
        assert first.get(key(2)) is None
        first.flush()
        with Answers(first.path) as second:
            assert second.get(key(1)) == KEPT


def test_beyond_the_bound_those_go_that_were_not_used_for_longest(tmp_path: Path) -> None:
    bound = 1 << 20
    with Answers(tmp_path / "a", bound) as opened:
        for number in range(1000):
            opened.put(key(number), sized(number, 1000))
            if number % 50 == 0:
                assert opened.get(key(0)) is not None
                opened.flush()
        opened.flush()
        there = [number for number in range(1000) if opened.get(key(number)) is not None]
        assert there[0] == 0  # used again and again
        assert there[1:] == list(range(1001 - len(there), 1000))
        assert 50 < len(there) < 900
    assert opened.path.stat().st_size <= bound + (64 << 10)


def test_a_bound_that_was_lowered_gives_the_space_back(tmp_path: Path) -> None:
    with Answers(tmp_path / "a", 1 << 30) as opened:
        for number in range(1000):
            opened.put(key(number), sized(number, 1000))
    assert opened.path.stat().st_size > 3 << 20
    with Answers(opened.path, 1 << 20) as lowered:
        lowered.flush()
        assert 0 < lowered.statistics().entries < 500
    assert opened.path.stat().st_size <= (1 << 20) + (64 << 10)


def test_hits_are_counted_over_all_processes(tmp_path: Path) -> None:
    for _ in range(3):
        with Answers(tmp_path / "a") as opened:
            opened.put(key(1), KEPT)
            opened.get(key(1))
            opened.get(key(2))
    with Answers(tmp_path / "a") as opened:
        found = opened.statistics()
        assert (found.entries, found.hits, found.output_tokens) == (1, 3, 9)
        opened.clear()
        found = opened.statistics()
        assert (found.entries, found.hits, found.output_tokens) == (0, 0, 0)
        opened.put(key(1), KEPT)
        opened.flush()
        assert opened.statistics().entries == 1


WRITER = """
import sys
from pathlib import Path
from llmbench.engine.cache.store import Answers
from tests.engine.test_cache_store import key, sized
path, first, count, flushed = Path(sys.argv[1]), *map(int, sys.argv[2:])
with Answers(path) as opened:
    print("open", flush=True)
    for number in range(first, first + count):
        opened.put(key(number), sized(number, 200))
        if number % flushed == 0:
            opened.flush()
"""


def writer(path: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), *map(str, numbers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_one_opens_while_another_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.01)
    with Answers(tmp_path / "a") as writing:
        writing.put(key(1), KEPT)
        writing.flush()
        writing._db.execute("BEGIN IMMEDIATE")
        with Answers(tmp_path / "a") as opened:
            assert opened.get(key(1)) == KEPT
            writing._db.execute("ROLLBACK")


@pytest.mark.slow
def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with writer(path, 0, 600, 3) as one, writer(path, 300, 600, 3) as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    with Answers(path) as opened:
        assert opened.statistics().entries == 900
        assert all(opened.get(key(number)) == sized(number, 200) for number in range(900))


@pytest.mark.parametrize("entries", [1, 40, 300])
def test_a_process_that_is_killed_leaves_whole_answers_only(entries: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with writer(path, 0, 1_000_000, 7) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "open\n"
        with Answers(path) as opened:
            until = time.monotonic() + 60
            while opened.statistics().entries < entries:
                assert time.monotonic() < until
        one.send_signal(signal.SIGKILL)
    with Answers(path) as opened:
        assert opened._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = opened._db.execute("SELECT key, value FROM answers").fetchall()
        assert len(stored) >= entries
        for name, value in stored:
            assert CachedAnswer.unpack(value) == sized(int.from_bytes(name, "big"), 200)


def test_many_answers_are_written_before_they_take_memory(tmp_path: Path) -> None:
    with Answers(tmp_path / "a") as opened:
        for number in range(store.FLUSH_ENTRIES + 1):
            opened.put(key(number), KEPT)
        with Answers(opened.path) as other:
            assert other.statistics().entries == store.FLUSH_ENTRIES
