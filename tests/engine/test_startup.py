import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench.config.choices import Startup
from llmbench.engine.vllm import startup_history
from llmbench.engine.vllm.startup import compile_cache_filled
from llmbench.engine.vllm.startup_history import (
    HistoryEntry,
    Key,
    Measured,
    Work,
    choose,
    observed,
    read_history,
    remember,
)
from llmbench.engine.workload import Took
from llmbench.system.decoding import decode
from tests.helpers.factories import H100, measured_start

BF16 = dataclasses.replace(H100, quantization=None)
EAGER, GRAPHS, FULL = Startup.eager, Startup.graphs, Startup.full
GUIDE = Work(40, 40, 25 * 160 + 15 * 96, 160)
"""The guide's workload, with up to 32 tokens each to ask for the answer."""


def after(*runs: HistoryEntry, key: Key = H100) -> list[HistoryEntry]:
    """A history whose first run, which is left out, was slow in every way."""
    return [measured_start(EAGER, 500, 5, key), *runs]


def chosen(
    *works: Work, key: Key = H100, history: list[HistoryEntry] | None = None, filled: bool = False
) -> Startup:
    return choose(works, key, Measured.of(key, history or []), compile_cache_filled=filled)[0]


# Steps


def test_requests_that_all_run_at_once_take_as_many_steps_as_the_longest() -> None:
    assert GUIDE.steps() == 160
    assert Work.of([7], 1).steps() == 7
    assert Work.of([], 4).steps() == 0


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 20))
def test_steps_lie_between_what_no_order_beats_and_what_every_order_keeps(
    lengths: list[int], batch_size: int
) -> None:
    steps = Work.of(lengths, batch_size).steps()
    places = [0] * batch_size
    for length in sorted(lengths, reverse=True):  # a queue, the longest first
        places[places.index(min(places))] += length
    assert steps >= max(*lengths, sum(lengths) / batch_size)
    assert steps <= sum(lengths) / batch_size + max(lengths) + 1
    assert steps == pytest.approx(max(places), abs=max(lengths) / 2 + 1)


def test_steps_of_equal_lengths_are_exact_on_average() -> None:
    counts = range(81, 121)  # all ways to fill the last batch of 40
    exact = [-(-count // 40) * 128 for count in counts]
    assert sum(Work.of([128] * count, 40).steps() for count in counts) == pytest.approx(sum(exact), rel=0.003)


# The choice


def test_more_work_is_worth_more_preparation() -> None:
    assert chosen(Work(4, 4, 128, 32), filled=True) is EAGER
    assert chosen(GUIDE, filled=True) is GRAPHS
    long = Work(20_000, 256, 20_000 * 4096, 32_768)
    assert chosen(long) is FULL


def test_weights_whose_kernels_start_faster_need_graphs_later() -> None:
    assert chosen(GUIDE, key=BF16) is EAGER
    assert chosen(Work(40, 40, 40 * 1024, 1024), key=BF16) is GRAPHS


def test_a_compile_cache_that_is_filled_makes_compiling_worth_it_earlier() -> None:
    work = Work(40, 40, 40 * 20_000, 20_000)
    assert (chosen(work), chosen(work, filled=True)) == (GRAPHS, FULL)


def test_compiling_fp8_weights_saves_more_a_step_and_is_dearer() -> None:
    fp8 = dataclasses.replace(H100, quantization="fp8")
    long, longer = (Work(128, 128, 128 * steps // 4, steps) for steps in (8192, 32_768))
    assert (chosen(long, key=fp8), chosen(long, key=fp8, filled=True)) == (GRAPHS, GRAPHS)
    assert (chosen(longer, key=fp8), chosen(longer, key=fp8, filled=True)) == (GRAPHS, FULL)


def test_a_cache_that_is_measured_as_cheap_has_long_outputs_compiled() -> None:
    fp8 = dataclasses.replace(H100, quantization="fp8")
    runs = [measured_start(GRAPHS, 14, key=fp8), measured_start(FULL, 20, key=fp8, cache="filled")]
    history = after(*runs, key=fp8)
    assert chosen(Work(128, 128, 310_204, 8192), key=fp8, filled=True, history=history) is FULL
    assert chosen(Work(128, 128, 128 * 2048, 2048), key=fp8, filled=True, history=history) is GRAPHS


def test_the_jobs_of_a_sweep_count_together() -> None:
    jobs = [Work.of([32] * 48, size) for size in (128, 64, 32, 16)]
    assert chosen(jobs[0]) is EAGER
    assert chosen(*jobs) is GRAPHS


def test_the_reason_says_what_is_saved_and_what_it_costs() -> None:
    nothing = Measured.of(H100, [])
    _, said = choose([GUIDE], H100, nothing, compile_cache_filled=False)
    assert said == "about 160 steps: CUDA graphs save 12 s for 4.2 s"
    _, said = choose([Work(4, 4, 128, 32)], H100, nothing, compile_cache_filled=False)
    assert said == "about 32 steps: CUDA graphs would save 2.4 s and cost 4.2 s"


def test_what_this_machine_measured_replaces_the_figures_of_another() -> None:
    assert (
        chosen(GUIDE, history=after(measured_start(EAGER, 19), measured_start(GRAPHS, 60))) is EAGER
    )  # 41 s for graphs
    assert (
        chosen(GUIDE, history=after(measured_start(EAGER, 19, 0.03), measured_start(GRAPHS, 23, 0.029)))
        is EAGER
    )  # 1 ms a step
    assert (
        chosen(GUIDE, history=after(measured_start(EAGER, 19, 0.1), measured_start(GRAPHS, 23, 0.03)))
        is GRAPHS
    )


def test_a_cold_first_run_does_not_keep_a_start_from_being_taken_again() -> None:
    """200 requests of 256 tokens: one cold run with graphs (28.6 s of loading) had made `auto` take eager, 4 s slower."""
    work = Work(200, 200, 200 * 256, 256)
    for key in (H100, BF16):
        assert chosen(work, key=key, history=[measured_start(GRAPHS, 28.6, key=key)]) is GRAPHS
        assert (
            chosen(
                work,
                key=key,
                history=[measured_start(GRAPHS, 57, key=key), measured_start(GRAPHS, 23, key=key)],
            )
            is GRAPHS
        )


def test_steps_are_compared_at_one_batch_size() -> None:
    history = after(
        measured_start(EAGER, 19, 0.01, batch_size=1), measured_start(GRAPHS, 23, 0.05, batch_size=256)
    )
    assert chosen(GUIDE, history=history) is GRAPHS


def test_other_models_devices_and_versions_teach_nothing() -> None:
    others = [dataclasses.replace(H100, **{name: "other"}) for name in ("device", "model", "version")]
    for key in others:
        history = after(
            measured_start(EAGER, 1, 0.001, key=key), measured_start(GRAPHS, 900, 1, key=key), key=key
        )
        assert chosen(GUIDE, history=history) is GRAPHS


works = st.builds(
    lambda requests, batch_size, longest, share: Work(
        requests, batch_size, round(longest * (1 + (requests - 1) * share)), longest
    ),
    st.integers(1, 20_000),
    st.integers(1, 512),
    st.integers(1, 40_000),
    st.floats(0, 1),
)


@given(works, st.integers(0, 10**6), st.booleans())
def test_more_work_never_asks_for_less_preparation(work: Work, more: int, filled: bool) -> None:  # noqa: FBT001
    order = (EAGER, GRAPHS, FULL)
    larger = dataclasses.replace(work, output_tokens=work.output_tokens + more, longest=work.longest + more)
    assert order.index(chosen(work, filled=filled)) <= order.index(chosen(larger, filled=filled))


# What was measured


def test_medians_of_the_newest_warm_runs_are_kept() -> None:
    runs = after(
        *(measured_start(GRAPHS, load) for load in (99, 99, 20, 21, 22, 23, 24)),
        measured_start(FULL, 80, cache="empty"),
    )
    found = Measured.of(H100, runs)
    assert found.load_s == {(GRAPHS, None): 22, (FULL, "empty"): 80}
    assert found.step_s[GRAPHS, 40] == pytest.approx(0.03)


def test_without_runs_nothing_is_known() -> None:
    for history in ([], [measured_start(GRAPHS, 23)], after(measured_start(EAGER, 19, key=BF16), key=BF16)):
        assert Measured.of(H100, history) == Measured({}, {})


def test_a_run_that_generated_nothing_tells_of_loading_alone() -> None:
    run = observed(H100, EAGER, None, 40, Took([], 0, 19.0, 0.0))
    found = Measured.of(H100, after(run))
    assert (found.load_s, found.step_s) == ({(EAGER, None): 19.0}, {})


# The file


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "startup.jsonl"
    runs = [measured_start(EAGER, 19), measured_start(FULL, 79, key=BF16, cache="empty")]
    for run in runs:
        remember(run, file)
    assert read_history(file) == runs


def test_the_history_stands_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path))
    assert read_history() == []
    remember(measured_start(EAGER, 19))
    assert len(read_history()) == 1
    assert (tmp_path / "startup.jsonl").is_file()


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    file, entry = tmp_path / "startup.jsonl", measured_start(EAGER, 19)
    remember(entry, file)
    good = file.read_bytes()
    bad = [
        good[:50],
        b"[]",
        b"7",
        b"\xff\xfe",
        good.replace(b'"load_s":19', b'"load_s":null'),
        good.replace(b'"load_s":19', b'"load_s":1e999'),
        good.replace(b'"eager"', b'"warp"'),
        good.replace(b'"compile_cache":null', b'"compile_cache":[]'),
        good.replace(b'"batch_size":40,', b""),
        good.replace(b'"device"', b'"gadget"'),
    ]
    assert all(line != good for line in bad)
    file.write_bytes(b"\n".join([*bad, good]) + b"\n\n")
    assert read_history(file) == [entry]


def test_a_line_that_was_torn_costs_the_next_run_nothing(tmp_path: Path) -> None:
    file, entry = tmp_path / "startup.jsonl", measured_start(EAGER, 1)
    file.write_bytes(b'{"key": ')
    remember(entry, file)
    assert read_history(file) == [entry]


@given(st.binary(max_size=300))
def test_no_line_is_too_strange(line: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(line)
        file.flush()
        assert read_history(Path(file.name)) == []


def test_only_the_newest_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    remember(measured_start(EAGER, 1), file)
    file.write_bytes(file.read_bytes() * 900)
    assert len(read_history(file)) == startup_history.KEPT_LINES


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with caplog.at_level("DEBUG"):
        remember(measured_start(EAGER, 19), blocked / "startup.jsonl")
        assert read_history(blocked / "startup.jsonl") == []
    assert "cannot be written" in caplog.text
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


APPEND = """
import sys
from pathlib import Path
from llmbench.config.choices import Startup
from llmbench.engine.vllm.startup_history import Key, Took, observed, remember
for number in range(200):
    key = Key("cpu", sys.argv[2], None, "bfloat16", str(number))
    entry = observed(key, Startup.eager, None, 1, Took([1], 1, 1, 1))
    remember(entry, Path(sys.argv[1]))
"""


def test_two_processes_append_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    both = [subprocess.Popen([sys.executable, "-c", APPEND, str(file), name]) for name in ("one", "two")]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    found = [decode(line, HistoryEntry).key for line in file.read_bytes().splitlines()]
    for name in ("one", "two"):
        assert [key.version for key in found if key.model == name] == [str(n) for n in range(200)]


def test_importing_is_light() -> None:
    code = (
        "import sys; import llmbench.engine.vllm.startup_history, llmbench.run.preflight; "
        "print(sorted({'torch', 'vllm', 'transformers', 'datasets', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_home_folder_nothing_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "VLLM_CACHE_ROOT"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert not compile_cache_filled()
