"""The journal: checksums, what is damaged and what is kept, appending while the disk refuses, and the lock of a folder."""

import errno
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.errors import RunError
from llmbench.results import journal
from llmbench.results.journal import line_of, parse, repair
from llmbench.results.manifest import JOURNAL, Manifest
from llmbench.results.reader import load_run, read_journal
from llmbench.results.run_folder import RunFolder
from llmbench.results.serialization import from_row, to_row
from llmbench.results.summary import Summary
from llmbench.system.lock import FolderLock
from tests.helpers.damage import CHANGES
from tests.helpers.factories import RICH_RESULT

LINES = [line_of(to_row(replace(RICH_RESULT, sample_id=str(number)))) for number in range(4)]
WHOLE = b"".join(LINES)
START = len(WHOLE) - len(LINES[-1]) - len(LINES[-2])
"""Where the last two lines begin."""


def ids(content: bytes) -> list[str]:
    return [result.sample_id for result in parse(content, from_row).items]


def test_a_line_tells_its_checksum_last() -> None:
    assert LINES[0].endswith(b'"}\n')
    assert b',"crc32":"' in LINES[0][-25:]
    assert parse(WHOLE, from_row).damage is None
    assert ids(WHOLE) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("change", CHANGES)
def test_damage_anywhere_in_the_last_two_lines_costs_those_at_most(change: str) -> None:
    good = {line.rstrip(b"\n") for line in LINES}
    whole_lines = b"".join(LINES[:3]).rstrip(b"\n")
    for at in range(START, len(WHOLE)):
        damaged = CHANGES[change](WHOLE, at)
        found = parse(damaged, from_row)
        assert set(found.lines) <= good | {b""}, at  # nothing false is taken for a result
        assert [r.sample_id for r in found.items][:2] == ["0", "1"], at
        lost = {"0", "1", "2", "3"} - {r.sample_id for r in found.items}
        between_lines = WHOLE.startswith(damaged) and damaged.rstrip(b"\n") in (
            WHOLE[: START - 1],
            whole_lines,
        )
        assert not lost or found.damage is not None or between_lines, at


@given(st.binary(max_size=400), st.integers(0, 3))
def test_whatever_stands_in_the_file_no_result_is_made_up(junk: bytes, where: int) -> None:
    content = b"".join(LINES[:where]) + junk + b"\n" + b"".join(LINES[where:])
    assert set(ids(content)) <= {"0", "1", "2", "3"}


def test_lines_of_before_there_were_checksums_are_read_but_not_mixed_in() -> None:
    old = line_of(to_row(RICH_RESULT))
    old = old[: old.rindex(b',"crc32"')] + b"}\n"
    assert ids(old + old) == ["1", "1"]
    assert parse(old + WHOLE, from_row).damage is not None


def test_repairing_keeps_what_is_good_and_puts_the_rest_aside(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    broken = LINES[1].replace(b"two", b"2wo")
    path.write_bytes(LINES[0] + broken + LINES[2] + LINES[3][:50])
    damage = repair(path, from_row)
    assert damage is not None
    assert (damage.lines, damage.torn) == ((2, 4), False)
    assert path.read_bytes() == LINES[0] + LINES[2]
    assert (tmp_path / "samples.damaged.jsonl").read_bytes() == broken + LINES[3][:50] + b"\n"
    assert repair(path, from_row) is None


def test_a_damaged_journal_names_the_line_and_the_way_out(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as store:
        store.write_summary(Summary("finished", "m", "p", comparable=False))
        store.write_manifest(Manifest())
        for number in range(3):
            store.append(replace(RICH_RESULT, sample_id=str(number)))
    path = tmp_path / JOURNAL
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"two', b'"2wo', 1))
    with pytest.raises(RunError, match=r"line 1, .* checksum differs.*resume="):
        list(read_journal(tmp_path))
    path.write_bytes(content[:-9])
    assert [result.sample_id for result in load_run(tmp_path).results] == ["0", "1"]
    assert "ends within a line" in load_run(tmp_path).notes[0]


FOR_EVER = 10**9


def stubborn(monkeypatch: pytest.MonkeyPatch, times: int, number: int = errno.ENOSPC) -> list[int]:
    """A disk that takes half of a write and then refuses, so many times."""
    left, write, refused = [times], os.write, []

    def half(file: int, data: bytes) -> int:
        if left[0] and len(data) > 100:
            left[0] -= 1
            refused.append(len(data))
            if len(refused) % 2 and times < FOR_EVER:
                return write(file, data[: len(data) // 2])
            raise OSError(number, os.strerror(number))
        return write(file, data)

    monkeypatch.setattr("llmbench.results.journal.os.write", half)
    return refused


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_disk_that_refuses_is_one_sentence_and_what_it_took_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.append(replace(RICH_RESULT, sample_id="0"))
        stubborn(monkeypatch, FOR_EVER, number)
        with pytest.raises(RunError, match=os.strerror(number)):
            store.append(replace(RICH_RESULT, sample_id="1"))
        monkeypatch.undo()
    assert [r.sample_id for r in read_journal(tmp_path / "run")] == ["0"]


def test_a_line_that_was_written_in_part_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(tmp_path / "run") as store:
        store.append(replace(RICH_RESULT, sample_id="0"))
        assert stubborn(monkeypatch, 2) == []
        with pytest.raises(RunError, match="cannot be written"):  # half of it is
            store.append(replace(RICH_RESULT, sample_id="1"))
        store.append(replace(RICH_RESULT, sample_id="2"))
    assert [r.sample_id for r in read_journal(tmp_path / "run")] == ["0", "2"]
    assert (tmp_path / "run" / JOURNAL).read_bytes().endswith(b"\n")


def test_a_journal_in_whose_place_another_file_came_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmbench.results.journal.SYNC_S", 0.0)
    run = tmp_path / "run"
    store = RunFolder(run)
    store.append(RICH_RESULT)
    (run / JOURNAL).rename(run / "aside")
    (run / JOURNAL).write_bytes(b"")
    with pytest.raises(RunError, match="another file now"):
        store.sync_if_due()
    store.__exit__(None, None, None)


def test_lines_are_on_the_disk_within_a_second_without_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(file)
        fsync(file)

    monkeypatch.setattr("llmbench.results.journal.os.fsync", noted)
    with RunFolder(tmp_path / "run") as store:
        store.append(RICH_RESULT)
        store.sync_if_due()
        assert not synced
        monkeypatch.setattr(journal, "SYNC_S", 0.0)
        store.sync_if_due()
        assert len(synced) == 1
        store.sync_if_due()  # there is nothing more to bring there
        assert len(synced) == 1


HOLD = """
import sys, time
from pathlib import Path
from llmbench.system.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_process_at_a_time_writes_a_folder_and_death_frees_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(RunError, match=f"process {other.pid} on "), FolderLock(tmp_path):
                pass
        with pytest.raises(RunError, match="another process"):
            RunFolder(tmp_path)
        other.kill()
        other.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            with FolderLock(tmp_path), FolderLock(tmp_path):
                break
        except RunError:
            assert time.monotonic() < deadline


def test_a_lock_is_held_until_the_last_holder_of_the_process_leaves(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    code = "import sys; from pathlib import Path; from llmbench.system.lock import FolderLock; FolderLock(Path(sys.argv[1])).__enter__()"
    again = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(again, check=False, capture_output=True).returncode == 1
    second.__exit__(None, None, None)
    assert subprocess.run(again, check=False, capture_output=True).returncode == 0
