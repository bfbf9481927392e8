import json
import re
import shutil
from pathlib import Path

import pytest

from llmbench.report.run_list import list_runs
from llmbench.runs import main
from tests.helpers.runs import FORTY, make, patched


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    one = make(folder / "one", lambda _: "7", *FORTY, "seed=1")
    patched(one, "manifest.json", started="2026-01-01T00:00:00+0000")
    sweep = folder / "multi" / "2026-01-02_00-00-00"
    sweep.mkdir(parents=True)
    two = make(sweep / "0", lambda _: "7", *FORTY, "batch_size=4")
    patched(two, "manifest.json", started="2026-01-02T00:00:00+0000")
    return folder


def test_runs_and_a_sweeps_jobs_are_listed_newest_first(runs: Path) -> None:
    newest, oldest = list_runs(runs)
    assert newest.folder.endswith("multi/2026-01-02_00-00-00/0")
    assert oldest.folder.endswith("one")
    assert newest.settings == ("batch_size=4",)
    assert oldest.settings == ("seed=1",)
    assert newest.scores["arithmetic"].n == 40
    assert newest.time_s is not None


def test_newest_is_newest_in_whatever_zone_it_was_begun(runs: Path) -> None:
    patched(runs / "one", "manifest.json", started="2026-01-01T23:30:00-0800")  # 7:30 on the next day in UTC
    assert [Path(run.folder).name for run in list_runs(runs)] == ["one", "0"]


def test_a_run_without_summary_is_listed_as_running(runs: Path) -> None:
    (runs / "one" / "summary.json").unlink()
    assert [run.status for run in list_runs(runs)] == ["finished", "running"]


def test_a_broken_folder_is_listed_as_such(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "one" / "summary.json").write_text("{torn")
    (runs / "half").mkdir()
    (runs / "half" / "manifest.json").write_text("{}")
    (runs / "odd").mkdir()
    for name in ("manifest.json", "summary.json"):
        (runs / "odd" / name).write_text('{"benchmarks": [1], "overrides": 3}')
    assert main([str(runs)]) == 0
    text = capsys.readouterr().out
    assert text.count("unreadable") == 3
    assert "summary.json: No such file" in " ".join(text.split())


LONG = "benchmarks.arithmetic.options.whatever=" + "x" * 300


def test_on_a_terminal_the_list_fits_it_and_steers_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(runs / "one", "summary.json", model="[red]long" * 20 + "\x1b[31m")
    patched(runs / "one", "manifest.json", overrides=[LONG])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert main([str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    folders = [line for line in lines if line.startswith("  ") and line.endswith(("/one", "/0"))]
    assert [line.strip() for line in folders] == [
        run.folder for run in list_runs(runs)
    ]  # whole, to be copied
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert (
        max(len(line) for line, raw in zip(plain[:-1], lines[:-1], strict=True) if raw not in folders) <= 100
    )
    assert "\x1b[31m" not in "".join(lines)
    assert "2 runs" in plain[-1]


def test_without_a_terminal_each_run_is_one_line_with_whole_settings_and_folder(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["batch_size=32", "model.quantization=bitsandbytes", "early_stopping=off"]
    patched(runs / "one", "manifest.json", overrides=typed)
    assert main([str(runs)]) == 0
    heading, *lines, last = capsys.readouterr().out.splitlines()
    assert heading.split()[-2:] == ["settings", "folder"]
    assert [line.split()[-1] for line in lines] == [run.folder for run in list_runs(runs)]
    one = next(line for line in lines if line.endswith("/one"))
    assert " ".join(typed) in one
    assert "\x1b" not in "".join(lines)
    assert last.startswith("2 runs")


def test_without_a_terminal_no_setting_is_left_out_or_taken_for_markup(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [LONG, "stop=[/]", *(f"seed{n}=[red]" for n in range(6))]
    patched(runs / "one", "manifest.json", overrides=typed)
    assert main([str(runs)]) == 0
    assert " ".join(typed) in capsys.readouterr().out


def test_a_narrow_terminal_shows_the_model_and_the_end_of_a_long_setting(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "benchmarks.arithmetic.data_files=/a/long/way/to/the/data/questions-2.jsonl"
    patched(runs / "one", "summary.json", model="some/model-7b")
    patched(runs / "one", "manifest.json", overrides=[path])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    assert main([str(runs)]) == 0
    text = capsys.readouterr().out
    assert "some/model-7b" in text
    assert "uestions-2.jsonl" in text


def test_the_list_is_sorted_chosen_and_cut(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patched(runs / "one", "summary.json", model="other", time_s={"total": 0.001})
    assert main([str(runs), "--json", "--sort", "time"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["model"] == "other"
    assert main([str(runs), "--json", "--model", "other"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert main([str(runs), "--json", "--limit", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert main([str(runs), "--benchmark", "aime"]) == 0
    assert "0 of 2 runs" in capsys.readouterr().out


def test_copies_in_a_trackers_store_are_no_runs(runs: Path) -> None:
    shutil.copytree(runs / "one", runs / "mlartifacts" / "0123" / "artifacts")
    assert len(list_runs(runs)) == 2


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [(("--limit", "-1"), "from 1"), (("--limit", "0"), "from 1"), (("--status", "done"), "finished")],
)
def test_what_cannot_be_meant_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], hint: str
) -> None:
    assert main([str(runs), *arguments]) == 1
    assert hint in capsys.readouterr().err


def test_a_thousand_runs_are_all_there(runs: Path) -> None:
    for number in range(1000):
        shutil.copytree(
            runs / "one", runs / f"copy{number}", ignore=shutil.ignore_patterns("*.html", "*.jsonl", "*.log")
        )
    assert len(list_runs(runs)) == 1002


def test_a_folder_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err
