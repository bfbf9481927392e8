import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from llmbench.records import Completion, FinishReason, Result, Timing
from llmbench.report import run_page, score_charts, time_charts, tradeoff_charts
from llmbench.report.__main__ import main
from llmbench.report.comparison_page import shared
from llmbench.report.escaping import clipped, label, visible
from llmbench.report.point_labels import label_positions
from llmbench.report.run_entry import RunEntry
from llmbench.report.run_pairs import pairs_of
from llmbench.report.sample_data import row, segments
from llmbench.report.tradeoff_charts import labels_of, pareto
from llmbench.report.write import write_many, write_one
from llmbench.results.manifest import Manifest
from llmbench.results.metrics import summarise
from llmbench.results.reader import Run
from llmbench.results.stats import Distribution
from llmbench.results.stopping import StopEntry
from llmbench.results.summary import BenchmarkSummary, Summary, TimeSplit, Tokens
from llmbench.run.regrade import regrade_run
from llmbench.telemetry import read_trace
from llmbench.telemetry.records import EngineState, TelemetrySample
from tests.helpers.factories import result, timing
from tests.helpers.reports import figures_of, rows_of
from tests.helpers.runs import FORTY, MCQ, edited, make, patched, right_where, three


def test_every_run_leaves_a_report_that_says_what_its_summary_says(tmp_path: Path) -> None:
    run = make(tmp_path / "run", right_where(lambda r: r.sample_id.endswith("1")), *FORTY)
    html = (run / "report.html").read_text()
    found = json.loads((run / "summary.json").read_text())["benchmarks"]["arithmetic"]
    assert f"{100 * found['accuracy']:.1f}%" in html
    assert f"95% interval [{100 * found['ci95'][0]:.1f}, {100 * found['ci95'][1]:.1f}]" in html
    assert len(rows_of(html)) == 40
    again = write_one(run, tmp_path / "again.html").read_text()
    assert rows_of(again) == rows_of(html)


def test_no_report_where_none_is_wanted(tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "1", *FORTY, "report=false")
    assert not (run / "report.html").exists()


def test_a_report_that_cannot_be_made_costs_a_sentence_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise ValueError("no page today")

    monkeypatch.setattr("llmbench.report.write.report", fail)
    run = make(tmp_path / "run", lambda _: "1", *FORTY)
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert not (run / "report.html").exists()


def test_sealed_questions_are_shown_by_id_alone_unless_asked_for(tmp_path: Path) -> None:
    overrides = ("benchmark=gpqa", f"benchmarks.gpqa.data_files={MCQ}", "profile=published")
    run = make(tmp_path / "run", lambda _: "Surely a secret. Answer: C", *overrides)
    question = json.loads(MCQ.read_text().splitlines()[0])["Question"]
    html = (run / "report.html").read_text()
    rows = rows_of(html)
    assert len(rows) == 20
    assert all(not {"a", "g", "p", "s", "x"} & set(found) and found["sealed"] for found in rows)
    assert question[:40] not in html
    assert "secret" not in html
    shown = rows_of(write_one(run, tmp_path / "shown.html", show_sealed=True).read_text())
    assert any(question[:40] in found["p"] for found in shown)


@pytest.mark.slow
def test_a_thousand_long_samples_stay_below_eight_megabytes() -> None:
    import random

    draw = random.Random(0)
    kinds = ("$x^2$ and so", "```python\nprint(1)\n```")  # so that all that a page may carry is in it
    results = [
        result(
            n,
            text=" ".join([kinds[n % 2], *re.findall(".{10}", draw.randbytes(15_000).hex())]),
            fields={"level": n % 5},
        )
        for n in range(1000)
    ]
    summary = Summary(benchmarks={"b": BenchmarkSummary(n=1000)})
    html = run_page.report(RunEntry(Run(Path("r"), summary, Manifest(), results)))
    assert len(html.encode()) < 8_000_000
    assert "katex" in html
    assert "hljs" in html
    rows = rows_of(html)
    assert len(rows) == 1000
    assert 200 < len(rows[0]["s"][0][1]) < 20_000
    assert "characters are cut in this page" in html


def test_a_completion_is_shown_in_its_pieces() -> None:
    first = Completion("b/1/0", "I add. ", (), 3, 9, 0, FinishReason.STOP_STRING, "Therefore", timing())
    more = Completion("b/1/0+", "4}", (), 2, 20, 12, FinishReason.STOP, None, timing(3.0))
    elicited = result(text="I add. Therefore\n\\boxed{4}", completions=(first, more), elicited=True)
    assert segments(elicited) == [
        ("text", "I add. "),
        ("stop", "Therefore"),
        ("cue", "\n\\boxed{"),
        ("elicited", "4}"),
    ]
    cut = result(text="I add. ", completions=(first,))
    assert segments(cut) == [("text", "I add. "), ("stop", "Therefore")]
    odd = result(text="something else", completions=(first, more), elicited=True)
    assert segments(odd) == [("text", "something else")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m", "a⟨U+001B⟩[31m"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\nb\tc", "a\nb\tc"),
        ("数学 é", "数学 é"),
    ],
)
def test_what_hides_or_turns_text_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_long_texts_keep_their_beginning_and_their_end() -> None:
    short = clipped("a" * 900 + "b" * 100, 300)
    assert short.startswith("a" * 200)
    assert short.endswith("b" * 100)
    assert "700 characters are left out" in short


def test_labels_are_no_html() -> None:
    assert label("<b>&") == "&lt;b&gt;&amp;"
    assert len(label("x" * 100)) == 60


def test_the_parts_of_the_time_add_up_to_the_whole() -> None:
    load_parts: dict[str, float | None] = {"weights": 5.0, "compile": 1.0}
    times = TimeSplit(total=20.0, import_=3.0, load=8.0, load_parts=load_parts, generate=6.0, grade_tail=0.5)
    summary = Summary(time_s=times)
    found = time_charts.parts(summary, [phased(n, n + 0.1, n + 0.5, n + 2.0) for n in range(4)])
    assert sum(found.values()) == pytest.approx(20.0)
    assert found["weights"] == 5.0
    assert found["other load"] == pytest.approx(2.0)
    assert found["generate"] == pytest.approx(6.0)
    assert "prefill" not in found  # requests read their prompts at any time: another plot tells when
    late = time_charts.parts(summary, [phased(0.0, 0.0, 0.5, end) for end in (1.0, 1.0, 5.0)])
    assert (late["generate"], late["tail"]) == pytest.approx((2.0, 4.0))


def test_a_run_that_stopped_early_has_no_tail_since_requests_were_dropped() -> None:
    results = [phased(0.0, 0.0, 0.5, end) for end in (1.0, 1.0, 5.0)]
    stopped = replace(summarise(results, 3, 1), stopping=StopEntry(3, 200, "narrow"))
    summary = Summary(time_s=TimeSplit(total=8.0, generate=6.0), benchmarks={"math": stopped})
    assert time_charts.parts(summary, results) == pytest.approx({"generate": 6.0, "other": 2.0})
    found = time_charts.requests_over_time(summary, results)
    assert found is not None
    assert "dropped" in found["note"]


def phased(queued: float, scheduled: float, first: float, last: float) -> Result:
    (done,) = result().completions
    return result(completions=(replace(done, timing=Timing.of(queued, scheduled, first, last, 10)),))


def test_the_time_of_requests_is_split_by_what_each_was_doing() -> None:
    results = [phased(10.0, 10.0, 11.0, 15.0), phased(10.0, 14.0, 15.0, 16.0)]
    found = time_charts.requests_over_time(Summary(), results)
    assert found is not None
    shares = [trace["name"].rpartition(") ")[2] for trace in found["data"]]
    assert shares == ["45.5%", "18.2%", "36.4%"]  # decode 4 + 1, prefill 1 + 1, queue 0 + 4, of 11 s
    moments = {at: place for place, at in enumerate(found["data"][0]["x"])}
    assert list(moments) == [0.0, 1.0, 4.0, 5.0, 6.0]
    drawn = {trace["name"].partition(" (")[0]: trace["y"] for trace in found["data"]}
    assert drawn["waiting"] == [1, 1, 0, 0, 0]
    assert drawn["reading the prompt"] == [1, 0, 1, 0, 0]
    assert drawn["writing"] == [0, 1, 1, 1, 0]
    assert "11 s" in found["note"]


def test_the_time_to_the_first_token_says_that_it_holds_the_wait() -> None:
    results = [phased(0.0, 4.0, 5.0, 9.0)]
    found = {figure["name"]: figure for figure in score_charts.distributions(results)}
    assert {"latency", "ttft", "queue", "prefill", "decode"} <= set(found)
    assert "waiting included" in found["ttft"]["title"]
    summary = summarise(results, 1, 1)
    assert (summary.queue_s.p50, summary.prefill_s.p50, summary.ttft_s.p50, summary.decode_s.p50) == (
        4,
        1,
        5,
        4,
    )


def test_percentiles_are_plain_numbers_and_shares_have_an_axis_without_cores() -> None:
    (latency, *_) = score_charts.distributions([phased(0.0, 1.0, 2.0, 2430.4), phased(0.0, 1.0, 2.0, 2430.5)])
    assert "p95 2,430" in json.dumps(latency)
    engine = EngineState(running=1.0, kv_cache_use=0.5)
    found = time_charts.timeline([TelemetrySample(t=t, cpu_share=3.5, engine=engine) for t in (0.0, 1.0)])
    assert found is not None
    axes = {trace["name"]: trace["yaxis"] for trace in found["data"]}
    assert axes["CPU cores"] != axes["KV cache"]


def test_a_plot_by_subject_says_that_its_intervals_claim_too_much_with_stop_when() -> None:
    results = [result(number, fields={"subject": "ab"[number % 2]}) for number in range(4)]
    ((ordinary,), (stopped,)) = score_charts.by_group(results), score_charts.by_group(results, ["b"])
    assert ordinary["note"] == "With 95% intervals; in brackets how many questions."
    assert "which hold only for a number of questions that was fixed beforehand" in stopped["note"]


def test_a_run_from_before_held_back_requests_were_counted_still_reports(tmp_path: Path) -> None:
    """Its `running` were all requests in the engine, its `waiting` those that llmbench held back; its summary has no prefill."""

    def older(row: dict[str, Any]) -> dict[str, Any]:
        if row["engine"] is not None:
            row["engine"] = {"running": 2, "waiting": 7} | dict.fromkeys(
                row["engine"].keys() - {"running", "waiting", "queued"}
            )
        return row

    run = make(tmp_path / "run", lambda _: "12 " * 30, *FORTY, "limit=8", "batch_size=2", step_s=0.01)
    rows = [older(json.loads(line)) for line in (run / "trace.jsonl").read_text().splitlines()]
    (run / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = json.loads((run / "summary.json").read_text())
    del summary["time_s"]["requests"], summary["benchmarks"]["arithmetic"]["prefill_s"]
    (run / "summary.json").write_text(json.dumps(summary))
    states = [sample.engine for sample in read_trace(run / "trace.jsonl") if sample.engine is not None]
    assert states
    assert {(state.running, state.waiting, state.queued) for state in states} == {(2, None, 7)}
    assert main([str(run)]) == 0
    html = (run / "report.html").read_text()
    assert "not known which of the running ones waited" in html
    assert "What the requests were doing" in html


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    assert pareto([(3.0, 0.5), (1.0, 0.2), (2.0, 0.5), (4.0, 0.9), (5.0, 0.8)]) == [1, 2, 3]


def test_what_runs_share_is_said_once() -> None:
    found = [
        ("a", "math: 98% were cut off."),
        ("a", "Slow."),
        ("b", "math: 100% were cut off."),
        ("b", "Odd."),
        ("c", "math: 99% were cut off."),
        ("c", "Odd."),
    ]
    assert shared(found, 3) == ["All runs: math: 98 to 100% were cut off.", "b, c: Odd.", "a: Slow."]
    assert shared([(str(n), "Odd.") for n in range(6)], 7) == ["0, 1, 2, 3, 2 more: Odd."]
    assert shared([("a", "Odd.")], 1) == ["a: Odd."]


def test_labels_of_a_sweep_are_its_values() -> None:
    assert labels_of(["batch_size=4", "batch_size=16"]) == (["4", "16"], "Labels are values of batch_size.")
    assert labels_of(["batch_size=4", "limit=3"]) == (["batch_size=4", "limit=3"], "")
    assert labels_of(["one<", "two"])[0] == ["one&lt;", "two"]


def test_no_two_runs_have_the_same_label() -> None:
    product = [f"batch_size={size} model.quantization={kind}" for size in (4, 8) for kind in ("null", "fp8")]
    shown, note = labels_of(product)
    assert shown == ["4, null", "4, fp8", "8, null", "8, fp8"]
    assert "batch_size, model.quantization" in note
    long = [f"a-very-long-name-of-a-folder-of-runs-{n}-with-more-behind-it" for n in range(3)]
    assert len(set(labels_of(long)[0])) == 3


def test_labels_cover_neither_points_nor_each_other() -> None:
    crowd = [(10.0, 0.0), (10.1, 0.0), (10.2, 1.0), (40.0, 0.0), (1.0, 100.0)]
    found = label_positions(crowd, ["batch_size=128"] * 5, [4], 46.0)
    assert found[3] is not None
    assert found[4] is not None
    assert found[:3].count(None) >= 1
    assert label_positions(crowd[:1], ["x"], [0], 46.0) == ["bottom right"]
    assert label_positions(crowd[3:4], ["limit=40 batch_size=128"], [0], 46.0) == [
        "top left"
    ]  # not beyond the edge


def test_names_of_runs_are_short_and_none_is_there_twice(tmp_path: Path) -> None:
    paths = [f"model.path=/srv/checkpoints/of/a/rather/long/training/step-{n}" for n in (1000, 2000)]
    runs = [make(tmp_path / str(n), lambda _: "7", *FORTY[:2], path) for n, path in enumerate(paths)]
    html = write_many(runs, tmp_path / "two.html").read_text()
    names = re.findall(r'<td data-sort="(model\.path=[^"]+)"', html)
    assert [name.rpartition("/")[2] for name in names] == ["step-1000", "step-2000"]
    assert all("…" in name and len(name) < 60 for name in names)
    assert "left out here" not in html

    again = make(tmp_path / "again", lambda _: "7", *FORTY[:2])
    (tmp_path / "other").mkdir()
    shutil.copytree(again, tmp_path / "other" / "again")
    html = write_many([again, tmp_path / "other" / "again"], tmp_path / "same.html").read_text()
    assert re.findall(r'<td data-sort="(again[^"]*)">', html) == ["again", "again (2)"]
    assert 'href="#samples"' not in html  # nothing flipped: there are no samples to skip to


def test_a_benchmark_that_only_some_runs_have_is_one_setting_that_differs(tmp_path: Path) -> None:
    run_page = make(tmp_path / "one", lambda _: "7", *FORTY[:2])
    both = make(
        tmp_path / "both",
        lambda _: "7",
        "benchmark=[arithmetic,gpqa]",
        f"benchmarks.gpqa.data_files={MCQ}",
        "limit=40",
        "seed=3",
    )
    html = write_many([run_page, both], tmp_path / "two.html").read_text()
    assert "Settings that differ: seed, sampling.seed, benchmarks.gpqa." in html


def test_only_runs_that_differ_in_batch_size_alone_are_joined_by_a_line(tmp_path: Path) -> None:
    runs = [make(tmp_path / n, lambda _: "7", *FORTY, f"batch_size={n}") for n in ("2", "8")]
    other = make(tmp_path / "16", lambda _: "7", *FORTY, "batch_size=16", "seed=3")
    sweep = figures_of(write_many(runs, tmp_path / "sweep.html").read_text())
    assert sweep["speed"]["data"][0]["mode"].startswith("lines")
    assert sweep["memory"]["data"][0]["y"] == ["2", "8"]
    assert sweep["memory"]["note"] == "Labels are values of batch_size."
    mixed = figures_of(write_many([*runs, other], tmp_path / "mixed.html").read_text())
    assert "lines" not in mixed["speed"]["data"][0]["mode"]


def test_an_unfinished_run_says_so_first() -> None:
    sentences = run_page.problems(
        RunEntry(Run(Path("r"), Summary("interrupted", warnings=["w"]), Manifest(), []))
    )
    assert sentences == ["The run was interrupted. These are the results it had by then.", "w"]
    (failed,) = run_page.problems(
        RunEntry(Run(Path("r"), Summary("failed", error="It broke."), Manifest(), []))
    )
    assert failed == "The run failed: It broke. These are the results it had by then."


def test_runs_are_shown_together_with_the_questions_that_flipped(tmp_path: Path) -> None:
    runs = three(tmp_path)
    html = write_many(list(runs.values()), tmp_path / "many.html").read_text()
    assert "3 runs" in html
    rows = rows_of(html)
    assert {found["run"] for found in rows} == {"third", "most", "close"}
    linked = re.findall(r'href="#sample=([^"]+)"', html)
    keys = {
        "/".join(quote(str(found[name]), safe="!*'()~") for name in ("run", "b", "i", "r")) for found in rows
    }
    assert linked
    assert set(linked) <= keys


def test_a_hostile_summary_hides_nothing_in_a_page_of_several_runs(tmp_path: Path) -> None:
    runs = list(three(tmp_path).values())
    hidden = "finished\x1b[2J\u202e\u200b"
    patched(runs[1], "summary.json", status=hidden, model=hidden)
    html = write_many(runs, tmp_path / "many.html").read_text()
    assert not set(html) & {"\x1b", "\u202e", "\u200b"}
    assert "finished⟨U+001B⟩[2J⟨U+202E⟩" in html


def test_a_run_graded_again_has_a_page_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path / "run", right_where(lambda _: True), *FORTY)
    wrong = edited(run, tmp_path / "wrong", lambda row: row | {"outcome": "wrong", "value": 0.0})
    assert main([str(wrong), "--regraded"]) == 1
    assert "python -m llmbench.regrade" in capsys.readouterr().err
    regrade_run(wrong, workers=1)
    assert main([str(wrong), "--regraded"]) == 0
    html = (wrong / "report.regraded.html").read_text()
    assert {found["o"] for found in rows_of(html)} == {"correct"}
    assert "Graded again after the run" in html
    assert (wrong / "report.html").read_bytes() == (run / "report.html").read_bytes()
    assert main([str(wrong), str(run), "--regraded"]) == 1


def test_that_not_all_of_many_runs_are_compared_is_said(tmp_path: Path) -> None:
    first = make(tmp_path / "0", lambda _: "7", *FORTY[:2])
    runs = [Path(shutil.copytree(first, tmp_path / str(n))) for n in range(1, 14)]
    said = "Of 13 pairs the 12 with the most questions in common are compared"
    assert said not in write_many(runs, tmp_path / "thirteen.html").read_text()
    assert said in write_many([first, *runs], tmp_path / "fourteen.html").read_text()


def entries(*typed: str) -> list[RunEntry]:
    """Runs that were typed so; `fails` answered nothing, `other` a question that the rest were not asked, `more` one more than these."""
    answered = {"fails": [], "other": [result(2)], "more": [result(), result(3)]}
    return [
        RunEntry(
            Run(
                Path("run"),
                Summary(),
                Manifest(overrides=[word for word in of_one.split() if word not in answered]),
                next((found for word, found in answered.items() if word in of_one.split()), [result()]),
            )
        )
        for of_one in typed
    ]


PAIRS = {
    "one setting": (["b=4", "b=8", "b=16"], [(0, 1), (0, 2)]),
    "two settings": (["b=4 q=x", "b=4 q=y", "b=8 q=x", "b=8 q=y"], [(0, 1), (0, 2), (1, 3), (2, 3)]),
    "none that differs in one": (["b=4 q=x", "b=8 q=y", "b=16 q=z"], [(0, 1), (0, 2)]),
    "where the run is written": (["b=4 hydra.run.dir=a", "b=8 hydra.run.dir=c"], [(0, 1)]),
    "what one run typed alone": (["", "b=8", "b=8 q=y"], [(0, 1), (1, 2)]),
    "the same": (["b=4", "b=4"], [(0, 1)]),
    "the first value's job failed": (["b=4 fails", "b=8", "b=16"], [(1, 2)]),
    "the first job left no folder": (["b=4 q=y", "b=8 q=x", "b=8 q=y"], [(0, 2), (1, 2)]),
    "nothing in common": (["b=4", "b=8 other"], []),
    "most in common first": (["b=4 more", "b=8", "b=16 more"], [(0, 2), (0, 1)]),
}


@pytest.mark.parametrize(("typed", "pairs"), PAIRS.values(), ids=PAIRS)
def test_runs_are_compared_that_differ_in_one_setting(typed: list[str], pairs: list[tuple[int, int]]) -> None:
    assert pairs_of(entries(*typed)) == pairs


def test_a_run_that_is_compared_with_none_is_named(tmp_path: Path) -> None:
    one = make(tmp_path / "one", lambda _: "7", *FORTY, "batch_size=4")
    other = edited(one, tmp_path / "other", lambda row: row | {"id": "another-" + row["id"]})
    html = write_many([one, other], tmp_path / "page.html").read_text()
    assert "Not compared, as no other run answered the same questions: one, other." in html
    assert "not compared" not in html
    assert str(tmp_path) not in html


def test_why_a_job_failed_is_said_once_on_a_sweeps_page(tmp_path: Path) -> None:
    run = make(tmp_path / "0", lambda _: "7", *FORTY)
    patched(run, "summary.json", status="failed", error="It broke.")
    failed = {"job 0": "It broke.", "job 1": "It is odd.", "job 2": "It is odd."}
    html = write_many([run], tmp_path / "page.html", failed=failed).read_text()
    assert html.count("It broke.") == 1
    assert "<li>job 1, job 2: It is odd.</li>" in html


def test_settings_that_differ_stand_below_the_names_of_their_runs(tmp_path: Path) -> None:
    runs = [make(tmp_path / str(size), lambda _: "7", *FORTY, f"batch_size={size}") for size in (4, 8)]
    html = write_many(runs, tmp_path / "page.html").read_text()
    heading = '<th scope="col">batch_size=4</th><th scope="col">batch_size=8</th>'
    assert heading in html
    assert '<th scope="row">batch_size</th><td>4</td><td>8</td>' in html[html.index(heading) :]


def test_labels_of_speeds_that_are_alike_do_not_cover_each_other() -> None:
    of_one = BenchmarkSummary(n=1, time_s=1.0, latency_s=Distribution(mean=1.0), tokens=Tokens(output=100))
    alike = Summary(benchmarks={"b": of_one}, time_s=TimeSplit(generate=1.0))
    runs = [replace(entry, run=replace(entry.run, summary=alike)) for entry in entries(*["a=1"] * 9)]
    plot = tradeoff_charts.speed(runs, [f"batch_size={n}" for n in range(9)])
    assert plot is not None
    (points,) = plot["data"]
    shown = [at for text, at in zip(points["text"], points["textposition"], strict=True) if text]
    assert shown
    assert len(shown) == len(set(shown))
    assert len(points["hovertext"]) == 9


def test_a_page_of_runs_links_each_runs_own_page_and_says_which_run_is_better(tmp_path: Path) -> None:
    right = make(tmp_path / "right & 1", right_where(lambda _: True), *FORTY, "batch_size=4")
    wrong = make(tmp_path / "wrong", right_where(lambda _: False), *FORTY, "batch_size=8")
    (wrong / "report.html").unlink()
    (tmp_path / "pages").mkdir()
    html = write_many([right, wrong], tmp_path / "pages" / "both.html").read_text()
    assert re.findall(r'href="(\.\.[^"]+)"', html) == ["../right%20%26%201/report.html"]
    assert "batch_size=8 against batch_size=4: better on 0 questions, worse on 40" in html
    assert "0.0% with batch_size=8, 100.0% with batch_size=4, on 40 questions" in html
    assert "Better with batch_size=4: 40" in html


def test_the_command_writes_reports_of_runs_and_of_sweeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = three(tmp_path)
    (runs["third"] / "report.html").unlink()
    assert main([str(runs["third"])]) == 0
    assert (runs["third"] / "report.html").is_file()
    assert main([str(tmp_path)]) == 0
    assert "3 runs" in (tmp_path / "report.html").read_text()
    assert main([str(runs["third"]), str(runs["most"]), "--to", str(tmp_path / "two.html")]) == 0
    assert "2 runs" in (tmp_path / "two.html").read_text()
    assert main([str(tmp_path / "nothing")]) == 1
    assert "holds neither a run nor a sweep" in capsys.readouterr().err


def test_a_sealed_row_keeps_what_tells_nothing() -> None:
    found = row(result(), 100, sealed=True)
    assert found["n"] == [100, 10, 0]
    assert found["o"] == "correct"
    assert "p" not in found
