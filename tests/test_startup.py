import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbench import startup
from llmbench.config import Startup
from llmbench.startup import Entry, Key, Work, choose, observed, predict, read_history, remember

H100 = Key("NVIDIA H100 80GB HBM3", "Qwen/Qwen2.5-14B-Instruct", "bitsandbytes", "bfloat16", "0.26.0")
BF16 = dataclasses.replace(H100, quantization=None)
CPU = Key("cpu", "smollm2", None, "bfloat16", "0.27.1")
EAGER, GRAPHS, FULL = Startup.eager, Startup.graphs, Startup.full
GUIDE = Work(40, 40, 25 * 160 + 15 * 96, 160)
"""The guide's workload, with up to 32 tokens each to ask for the answer."""


def ran(
    how: Startup, load_s: float, step_s: float = 0.03, key: Key = H100, cache: str | None = None
) -> Entry:
    return observed(key, how, GUIDE, [160] * 40, load_s=load_s, generate_s=160 * step_s, compile_cache=cache)


def after(*runs: Entry, key: Key = H100) -> list[Entry]:
    """A history whose first run, which is left out, was slow in every way."""
    return [ran(EAGER, 500, 5, key), *runs]


@st.composite
def works(draw: st.DrawFn, batch_sizes: st.SearchStrategy[int] = st.integers(1, 512)) -> Work:  # noqa: B008
    requests, longest = draw(st.integers(1, 20_000)), draw(st.integers(1, 40_000))
    tokens = draw(st.integers(longest, requests * longest))
    return Work(requests, draw(batch_sizes), tokens, longest)


def more(work: Work, requests: int, tokens: int, longest: int) -> Work:
    return Work(
        work.requests + requests,
        work.batch_size,
        work.output_tokens + tokens + requests,
        work.longest + longest,
    )


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


# Without history


def test_the_jobs_of_a_sweep_are_predicted_one_by_one() -> None:
    alone = [Work.of([32] * 48, size) for size in (4, 32)]
    apart = [predict(one, H100, [], compile_cache_filled=False, ignore_eos=True) for one in alone]
    both = predict(alone[0], H100, [], compile_cache_filled=False, ignore_eos=True, also=alone[1:])
    for way, found in both.items():
        assert found.load_s == apart[0][way].load_s
        assert found.generate_s == pytest.approx(sum(one[way].generate_s for one in apart))


def test_small_batches_of_a_sweep_make_graphs_worth_their_time() -> None:
    fp8 = dataclasses.replace(H100, quantization="fp8")
    works = [Work.of([32] * 48, size) for size in (4, 8, 16, 32, 64, 128)]
    assert choose(works[-1], fp8, [], compile_cache_filled=False).startup is EAGER
    assert choose(works[0], fp8, [], compile_cache_filled=False, also=works[1:]).startup is GRAPHS


def test_the_priors_are_what_an_h100_measured() -> None:
    found = predict(GUIDE, H100, [], compile_cache_filled=False)
    assert found[EAGER].load_s == 19.0
    assert 14.8 < found[EAGER].generate_s < 18.9
    assert found[GRAPHS].load_s == pytest.approx(23.2)
    assert found[GRAPHS].generate_s == pytest.approx(5.0, rel=0.05)
    assert found[FULL].load_s == pytest.approx(78.8)
    assert found[FULL].generate_s == pytest.approx(5.0, rel=0.1)
    assert predict(GUIDE, H100, [], compile_cache_filled=True)[FULL].load_s == pytest.approx(28)
    bf16 = predict(GUIDE, BF16, [], compile_cache_filled=False)[EAGER]
    assert bf16.load_s == 16.7
    assert bf16.generate_s == pytest.approx(5.4, rel=0.03)


def test_more_work_is_worth_more_preparation() -> None:
    assert choose(Work(4, 4, 128, 32), H100, [], compile_cache_filled=True).startup is EAGER
    assert choose(GUIDE, H100, [], compile_cache_filled=True).startup is GRAPHS
    long = Work(20_000, 256, 20_000 * 4096, 32_768)
    assert choose(long, H100, [], compile_cache_filled=False).startup is FULL


def test_weights_whose_kernels_start_faster_need_graphs_later() -> None:
    assert choose(GUIDE, BF16, [], compile_cache_filled=False).startup is EAGER
    assert choose(Work(40, 40, 40 * 1024, 1024), BF16, [], compile_cache_filled=False).startup is GRAPHS


def test_a_cpu_has_no_graphs_and_compiles_only_for_hours_of_work() -> None:
    choice = choose(GUIDE, CPU, [], compile_cache_filled=True)
    assert set(choice.predictions) == {EAGER, FULL}
    assert choice.startup is EAGER
    assert choice.predictions[FULL].load_s == 67
    assert choose(Work(20_000, 32, 20_000 * 1024, 1024), CPU, [], compile_cache_filled=False).startup is FULL


def test_the_reason_says_what_each_would_take_and_how_it_is_known() -> None:
    choice = choose(GUIDE, H100, [], compile_cache_filled=False)
    assert choice.basis == "measured on an H100"
    assert choice.reason == (
        "CUDA graphs finish first: 28 s against 36 s eager and 84 s compiled, as measured on an H100"
    )
    choice = choose(GUIDE, H100, after(ran(GRAPHS, 18.0), ran(GRAPHS, 18.2)), compile_cache_filled=False)
    assert choice.basis == "2 earlier runs"
    assert choice.reason.endswith(", by 2 earlier runs here")
    assert choose(GUIDE, H100, [ran(EAGER, 20)], compile_cache_filled=False).basis == "1 earlier run"


def test_totals_that_would_read_alike_are_told_apart() -> None:
    history = after(ran(EAGER, 20.0, 0.1), ran(GRAPHS, 31.0, 0.03))
    reason = choose(GUIDE, H100, history, compile_cache_filled=False).reason
    assert reason.startswith("CUDA graphs finish first: 35.8 s against 36.0 s eager and ")


STEP_ORDER = [EAGER, GRAPHS, FULL]


@given(
    works(),
    st.integers(0, 5000),
    st.integers(0, 10**7),
    st.integers(0, 5000),
    st.sampled_from([H100, BF16, CPU]),
    st.booleans(),
)
def test_more_work_never_asks_for_less_preparation(  # noqa: PLR0917
    work: Work,
    requests: int,
    tokens: int,
    longest: int,
    key: Key,
    filled: bool,  # noqa: FBT001
) -> None:
    less = choose(work, key, [], compile_cache_filled=filled).startup
    bigger = more(work, requests, tokens, longest)
    assert STEP_ORDER.index(choose(bigger, key, [], compile_cache_filled=filled).startup) >= STEP_ORDER.index(
        less
    )


@given(
    works(st.integers(1, 64)),
    st.integers(0, 10**7),
    st.lists(
        st.tuples(
            st.sampled_from(STEP_ORDER),
            st.floats(1, 200),
            st.floats(0.001, 1),
            st.sampled_from([None, "filled", "empty"]),
        ),
        max_size=12,
    ),
)
def test_with_history_too_more_work_never_goes_to_slower_steps(
    work: Work, tokens: int, runs: list[tuple[Startup, float, float, str | None]]
) -> None:
    history = [ran(how, load, step, cache=cache) for how, load, step, cache in runs]
    first = choose(work, H100, history, compile_cache_filled=True)
    bigger = dataclasses.replace(work, output_tokens=work.output_tokens + tokens)
    then = choose(bigger, H100, history, compile_cache_filled=True)
    assert first.predictions[then.startup].generate_s <= first.predictions[first.startup].generate_s * (
        1 + 1e-9
    )


# With history


def test_own_runs_replace_the_prior() -> None:
    history = after(*[ran(GRAPHS, load, step) for load, step in [(18, 0.03), (50, 0.2), (17, 0.032)]])
    found = predict(GUIDE, H100, history, compile_cache_filled=False)[GRAPHS]
    assert found.load_s == pytest.approx(18)
    assert found.generate_s == pytest.approx(160 * 0.032)


def test_only_the_newest_runs_count() -> None:
    history = after(*[ran(GRAPHS, 90)] * 20, *[ran(GRAPHS, 18)] * 5)
    assert predict(GUIDE, H100, history, compile_cache_filled=False)[GRAPHS].load_s == pytest.approx(18)


def test_a_start_that_was_not_seen_moves_with_the_one_that_was() -> None:
    usual = predict(GUIDE, H100, [], compile_cache_filled=False)
    found = predict(GUIDE, H100, after(ran(EAGER, 9.0, 0.21)), compile_cache_filled=False)
    ratio = found[EAGER].generate_s / usual[EAGER].generate_s
    assert found[EAGER].generate_s == pytest.approx(160 * 0.21)
    for how in (GRAPHS, FULL):
        assert found[how].load_s == pytest.approx(usual[how].load_s - 10)
        assert found[how].generate_s == pytest.approx(usual[how].generate_s * ratio)


def test_a_start_that_was_not_seen_never_comes_out_below_zero() -> None:
    history = after(ran(FULL, 20, cache="empty"))
    found = predict(GUIDE, H100, history, compile_cache_filled=False)
    assert found[FULL].load_s == pytest.approx(20)
    assert 0 < found[EAGER].load_s < found[GRAPHS].load_s < 20


def test_a_compiled_start_counts_by_the_state_of_its_cache() -> None:
    history = after(ran(FULL, 100, cache="empty"), ran(FULL, 30, cache="filled"), ran(FULL, 999))
    assert predict(GUIDE, H100, history, compile_cache_filled=False)[FULL].load_s == pytest.approx(100)
    assert predict(GUIDE, H100, history, compile_cache_filled=True)[FULL].load_s == pytest.approx(30)


def test_the_first_run_of_all_is_cold_and_does_not_keep_a_start_from_being_taken_again() -> None:
    history = [ran(GRAPHS, 50.7), ran(EAGER, 19.0, 0.105)]
    assert choose(GUIDE, H100, history[:1], compile_cache_filled=False).startup is GRAPHS
    assert choose(GUIDE, H100, history, compile_cache_filled=False).startup is GRAPHS


def test_other_models_devices_and_versions_teach_nothing() -> None:
    others = [
        dataclasses.replace(H100, **{name: "other"})
        for name in ("device", "model", "quantization", "dtype", "version")
    ]
    history = [ran(GRAPHS, 400, key=key) for key in others]
    assert choose(GUIDE, H100, history, compile_cache_filled=False) == choose(
        GUIDE, H100, [], compile_cache_filled=False
    )


def test_history_changes_the_choice() -> None:
    slow_graphs = after(*[ran(GRAPHS, 60)] * 3, *[ran(EAGER, 19, 0.06)] * 3)
    assert choose(GUIDE, H100, slow_graphs, compile_cache_filled=False).startup is EAGER
    on_cpu = after(ran(FULL, 5, 0.01, CPU, "filled"), ran(EAGER, 4, 0.02, CPU), key=CPU)
    assert choose(GUIDE, CPU, on_cpu, compile_cache_filled=True).startup is FULL


def test_outputs_that_end_early_shorten_what_is_expected() -> None:
    work = Work(400, 40, 400 * 2048, 2048)
    run = observed(H100, GRAPHS, work, [500] * 400, load_s=20, generate_s=150)
    assert run.steps == Work(400, 40, 400 * 500, 500).steps()
    found = predict(work, H100, [run], compile_cache_filled=False)[GRAPHS]
    assert found.generate_s == pytest.approx(150)
    to_the_limit = predict(work, H100, [run], compile_cache_filled=False, ignore_eos=True)[GRAPHS]
    assert to_the_limit.generate_s == pytest.approx(150 / run.steps * work.steps())


def test_how_early_outputs_end_is_learned_from_limits_of_that_size() -> None:
    work = Work(400, 40, 400 * 2048, 2048)
    run = observed(H100, GRAPHS, work, [500] * 400, load_s=20, generate_s=150)
    assert predict(GUIDE, H100, [run], compile_cache_filled=False)[GRAPHS].generate_s == pytest.approx(
        150 / run.steps * 160
    )
    bound = observed(H100, GRAPHS, work, [2048] * 400, load_s=20, generate_s=600, ignore_eos=True)
    both = predict(work, H100, [run, bound], compile_cache_filled=False)[GRAPHS]
    assert both.generate_s == pytest.approx(600 / bound.steps * run.steps)


def test_a_run_that_generated_nothing_teaches_loading_alone() -> None:
    run = observed(H100, GRAPHS, GUIDE, [], load_s=10, generate_s=0)
    found = predict(GUIDE, H100, [run], compile_cache_filled=False)[GRAPHS]
    assert found.load_s == pytest.approx(10)
    assert found.generate_s == predict(GUIDE, H100, [], compile_cache_filled=False)[GRAPHS].generate_s


def test_the_forecast_is_set_beside_what_came() -> None:
    choice = choose(GUIDE, H100, after(ran(GRAPHS, 20, 0.05)), compile_cache_filled=False)
    found = startup.forecast(choice, GRAPHS, load_s=30, generate_s=5)
    assert found is not None
    assert found.predicted_s == pytest.approx(28)
    assert found.took_s == 35
    assert found.relative_error == pytest.approx(-0.2)
    assert found.basis == "1 earlier run"
    nothing = startup.forecast(choice, GRAPHS, load_s=0, generate_s=0)
    assert nothing is not None
    assert nothing.relative_error is None
    on_cpu = choose(GUIDE, CPU, [], compile_cache_filled=False)
    assert startup.forecast(on_cpu, GRAPHS, load_s=1, generate_s=1) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (4.21, "4.2 s"), (9.97, "10 s"), (38.4, "38 s"), (720, "12 min"), (12_600, "3.5 h")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert startup.duration(seconds) == text


def test_rates_between_measured_batch_sizes() -> None:
    table = startup.TOKENS_PER_S["bitsandbytes"]
    assert [startup.tokens_per_s(table, size) for size in (1, 32, 256, 1000)] == pytest.approx(
        [97, 1145, 4373, 4373]
    )
    assert 1145 < startup.tokens_per_s(table, 40) < 1431  # at most in proportion


# The file


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "startup.jsonl"
    runs = [ran(EAGER, 19), ran(FULL, 79, key=BF16, cache="empty")]
    for run in runs:
        remember(run, file)
    assert read_history(file) == runs


def test_the_history_stands_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path))
    assert read_history() == []
    remember(ran(EAGER, 19))
    assert len(read_history()) == 1
    assert (tmp_path / "startup.jsonl").is_file()


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    remember(ran(EAGER, 19), file)
    good = file.read_bytes()
    bad = [
        good[:50],
        b"[]",
        b"7",
        b"\xff\xfe",
        good.replace(b'"load_s":19', b'"load_s":null'),
        good.replace(b'"load_s":19', b'"load_s":-1'),
        good.replace(b'"load_s":19', b'"load_s":1e999'),
        good.replace(b'"eager"', b'"warp"'),
        good.replace(b'"compile_cache":null', b'"compile_cache":[]'),
        good.replace(b'"requests":40,', b""),
        good.replace(b'"device"', b'"gadget"'),
    ]
    assert all(line != good for line in bad)
    file.write_bytes(b"\n".join([*bad, good]) + b"\n\n")
    assert read_history(file) == [ran_again(good)]


def ran_again(line: bytes) -> Entry:
    found = startup._entry(line)
    assert found is not None
    return found


def test_a_line_torn_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    remember(ran(EAGER, 19), file)
    file.write_bytes(file.read_bytes()[:-20])
    remember(ran(GRAPHS, 23), file)
    assert [run.startup for run in read_history(file)] == [GRAPHS]


@given(st.binary(max_size=300))
def test_no_line_is_too_strange(line: bytes) -> None:
    assert startup._entry(line) is None


def test_the_file_is_trimmed_to_its_newest_lines(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    remember(ran(EAGER, 1), file)
    line = file.read_bytes()
    file.write_bytes(line * startup.MOST_LINES)
    remember(ran(GRAPHS, 23), file)
    assert file.read_bytes().count(b"\n") == startup.KEPT_LINES
    assert read_history(file)[-1].startup is GRAPHS
    assert [path.name for path in tmp_path.iterdir()] == ["startup.jsonl"]


def test_only_the_newest_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    remember(ran(EAGER, 1), file)
    file.write_bytes(file.read_bytes() * 900)
    assert len(read_history(file)) == startup.KEPT_LINES


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with caplog.at_level("DEBUG"):
        remember(ran(EAGER, 19), blocked / "startup.jsonl")
        assert read_history(blocked / "startup.jsonl") == []
    assert "cannot be written" in caplog.text
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


APPEND = """
import sys
from pathlib import Path
from llmbench.config import Startup
from llmbench.startup import Key, Work, observed, remember
for number in range(200):
    key = Key("cpu", sys.argv[2], None, "bfloat16", str(number))
    entry = observed(key, Startup.eager, Work(1, 1, 1, 1), [1], load_s=1, generate_s=1)
    remember(entry, Path(sys.argv[1]))
"""


def test_two_processes_append_side_by_side(tmp_path: Path) -> None:
    file = tmp_path / "startup.jsonl"
    both = [subprocess.Popen([sys.executable, "-c", APPEND, str(file), name]) for name in ("one", "two")]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    found = [ran_again(line).key for line in startup._lines(file)]
    for name in ("one", "two"):
        assert [key.version for key in found if key.model == name] == [str(n) for n in range(200)]


def test_importing_is_light() -> None:
    code = (
        "import sys; import llmbench.startup, llmbench.preflight; "
        "print(sorted({'torch', 'vllm', 'transformers', 'datasets', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
