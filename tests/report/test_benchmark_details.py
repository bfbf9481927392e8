"""What a benchmark adds to its accuracy, at the terminal and in the page."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from llmbench.report.benchmark_details import MOST_ROWS, facts, line, tables
from tests.helpers.paths import DATA
from tests.helpers.runs import make

IFEVAL: dict[str, Any] = {
    "accuracy_is": "prompt_level_strict",
    "prompt_level_loose": 0.5,
    "inst_level_strict": 0.625,
    "inst_level_loose": 1.0,
    "groups": {"keywords": {"n": 3, "strict": 0.25, "loose": 1.0}},
}
PATCHES: dict[str, Any] = {
    "patch_found": 0.5,
    "applies": None,
    "tested": 1200,
    "verdicts": {"resolved": 3, "not_applying": 1},
}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (
            IFEVAL,
            "accuracy is prompt level strict, prompt level loose 50.0%, inst level strict 62.5%, inst level loose 100.0%",
        ),
        (PATCHES, "patch found 50.0%, tested 1,200; verdicts resolved 3, not_applying 1"),
        ({"verdicts": {}}, ""),
        (
            {"mean_s": 12.5, "whole": True, "rows": [1, 2], "of": {"a": {"b": {"c": 1}}}},
            "mean s 12.5, whole True",
        ),
        ({}, ""),
        (None, ""),
    ],
)
def test_single_values_and_counts_are_one_line(details: dict[str, Any] | None, expected: str) -> None:
    assert line(details) == expected


def texts(table: dict[str, Any]) -> list[list[str]]:
    return [[cell["text"] for cell in row] for row in table["rows"]]


def test_mappings_are_tables_and_sort_by_their_values() -> None:
    (groups,) = tables("ifeval", IFEVAL)
    assert (groups["title"], groups["columns"]) == ("ifeval: groups", ["name", "n", "strict", "loose"])
    assert texts(groups) == [["keywords", "3", "25.0%", "100.0%"]]
    assert [cell["sort"] for cell in groups["rows"][0]] == ["keywords", "3", "0.25", "1.0"]
    (verdicts,) = tables("swe", PATCHES)
    assert (verdicts["columns"], texts(verdicts)) == (
        ["name", "value"],
        [["resolved", "3"], ["not_applying", "1"]],
    )
    assert facts(PATCHES)[:2] == [("patch found", "50.0%"), ("applies", "-")]


def test_what_is_no_table_or_too_long_is_left_to_the_summary() -> None:
    long = {str(place): place for place in range(MOST_ROWS + 1)}
    assert tables("b", {"long": long, "deep": {"a": {"b": {"c": 1}}}, "list": [1], "none": None}) == []
    assert tables("b", {"uneven": {"a": {"x": 1}, "b": {"y": 0.5}}})[0]["columns"] == ["name", "x", "y"]


def test_what_a_name_holds_cannot_steer_the_reader() -> None:
    assert line({"a\u202eb": 1}) == "a⟨U+202E⟩b 1"
    assert len(line({"x" * 1000: 1})) < 100


def test_the_four_scores_of_ifeval_are_in_the_page(tmp_path: Path) -> None:
    path = DATA / "ifeval_sample.jsonl"
    settings = (
        "benchmark=ifeval",
        "engine=fake",
        "profile=published",
        f"benchmarks.ifeval.data_files={path}",
    )
    run = make(tmp_path / "run", lambda _: "A short answer, <b>no more</b>.", *settings)
    html = (run / "report.html").read_text()
    details = json.loads((run / "summary.json").read_text())["benchmarks"]["ifeval"]["details"]
    shown = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))
    for name in ("prompt_level_loose", "inst_level_strict", "inst_level_loose"):
        assert shown[name.replace("_", " ")] == f"{100 * details[name]:.1f}%"
    table = html[html.index("<h2>ifeval: instructions</h2>") :].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert {unescape(row[0]): int(row[1]) for row in rows} == {
        name: of["n"] for name, of in details["instructions"].items()
    }


def test_a_run_without_details_has_no_such_section(tmp_path: Path) -> None:
    html = (make(tmp_path / "run", lambda _: "1") / "report.html").read_text()
    assert "What the benchmarks add" not in html
