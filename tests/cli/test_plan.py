"""`python -m llmbench.plan`: the table and its sentences, JSON, lengths from earlier runs, and what is refused."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from llmbench import plan as plans
from llmbench.config.choices import Device, Startup
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.vllm import startup_history
from llmbench.engine.vllm.startup import history_key
from llmbench.plan import main
from llmbench.records import Request
from llmbench.system import hardware
from llmbench.system.hardware import Gpu
from tests.helpers.commands import python
from tests.helpers.factories import measured_start
from tests.helpers.paths import ROOT
from tests.helpers.runs import make, patched
from tests.helpers.settings import compose

MATH = ("benchmark=math", "model=qwen14b", "profile=published")


pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "gpus", tuple)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> "Said":
    return Said(capsys)


class Said:
    """Runs the command and reads what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *typed: str) -> str:
        status = main(typed)
        out, err = self._capsys.readouterr()
        assert status == 0, err
        return out

    def json(self, *typed: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("--json", *typed))
        return found

    def refused(self, *typed: str) -> str:
        assert main(typed) == 1
        out, err = self._capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        return err


def rows(found: dict[str, Any], tensor: int = 1) -> list[dict[str, Any]]:
    return [each for each in found["forecasts"] if each["tensor_parallel_size"] == tensor]


def test_each_number_of_replicas_and_tensor_parallel_size_has_a_row(said: Said) -> None:
    found = said.json(*MATH, "gpus=6", "gpu=H100")
    layouts = [(each["replicas"], each["tensor_parallel_size"]) for each in found["forecasts"]]
    assert layouts == [(1, 1), (2, 1), (4, 1), (6, 1), (1, 2), (2, 2), (3, 2), (1, 4)]
    typed = said.json(*MATH, "gpus=6", "gpu=H100", "engine.tensor_parallel_size=2")
    assert [(each["replicas"], each["gpus"]) for each in typed["forecasts"]] == [(1, 2), (2, 4), (3, 6)]


def test_the_table_has_its_figures_and_says_where_they_come_from(said: Said) -> None:
    text = said(*MATH, "gpus=2", "gpu=H100")
    assert "qwen14b (bfloat16) on up to 2 x H100" in text
    assert "GPU-hours" in text
    assert "…" not in text
    assert "Rates: constants measured with a 14B model on one H100" in text
    assert "math: 500 answers, median 512 tokens, 90% up to 1,422, longest 2,048 (no earlier run" in text
    assert "Fastest: " in text


def test_a_run_that_may_stop_early_has_an_upper_bound(said: Said) -> None:
    assert "upper bounds" in said(*MATH, "gpus=1", "gpu=H100", "stop_when.ci_width=0.1")
    assert "upper bounds" not in said(*MATH, "gpus=1", "gpu=H100")


def test_a_thinking_budget_that_no_earlier_run_had_is_said_not_to_be_in_the_figures(said: Said) -> None:
    told = said(*MATH, "gpus=1", "gpu=H100", "sampling.thinking_budget=512")
    assert "sampling.thinking_budget=512 is known of no earlier run" in told
    assert "sampling.thinking_budget" not in said(*MATH, "gpus=1", "gpu=H100")


def test_a_sweep_is_planned_as_one_run_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main((*MATH, "gpus=1", "gpu=H100", "+sweep=batch_size")) == 0
    assert "sweep= is left out" in capsys.readouterr().err


def test_settings_count_as_for_a_run(said: Said) -> None:
    others = [word for word in MATH if not word.startswith("benchmark=")]

    def answers(*more: str) -> int:
        asked = others if any(word.startswith("benchmark=") for word in more) else MATH
        return sum(each["n"] for each in said.json(*asked, "gpus=1", "gpu=H100", *more)["lengths"])

    assert answers() == 500
    assert answers("limit=20") == 20
    assert answers("sampling.repeats=4") == 2000
    assert answers("benchmark=[math,gpqa]") == 698
    assert answers("suite=fastest", "benchmark=aime") == 30
    assert said.json(*MATH, "gpus=1", "gpu=H100", "batch_size=16")["forecasts"][0]["running"] == 16


def test_data_is_read_only_where_its_size_is_not_known(said: Said, tmp_path: Path) -> None:
    found = said.json("benchmark=arithmetic", "profile=published", "gpus=1", "gpu=H100")
    assert found["lengths"][0]["n"] == 200, "made on the spot"
    rows = tmp_path / "own.jsonl"
    rows.write_text(
        "".join(json.dumps({"problem": f"{n}?", "answer": str(n), "id": n}) + "\n" for n in range(7))
    )
    own = said.json(
        "benchmark=aime",
        "model=qwen14b",
        "profile=published",
        f"benchmarks.aime.data_files={rows}",
        "gpu=H100",
    )
    assert own["lengths"][0]["n"] == 7


def test_what_gains_nothing_is_said_with_the_reason(said: Said) -> None:
    many = (
        "benchmark=aime",
        "model=r1_qwen14b",
        "profile=published",
        "gpus=512",
        "gpu=H100",
        "engine.tensor_parallel_size=1",
    )
    text, found = said(*many), said.json(*many)
    (enough,) = found["enough"]
    assert 1 < enough["replicas"] < 512
    assert f"With TP 1 more than {enough['replicas']} replicas gain nothing" in text
    assert enough["longest_answer_s"] > 0.8 * (enough["total_s"] - 60)


def test_what_does_not_fit_is_said_with_the_way_out(said: Said) -> None:
    text = said(*MATH, "gpus=2", "gpu=RTX4090")
    assert "TP 1 does not fit" in text
    assert "take engine.tensor_parallel_size=2" in text
    assert "the data sheet of RTX 4090, an estimate" in text
    none = said(*MATH, "gpus=1", "gpu=L4")
    assert "or set model.quantization" in none
    assert "Fastest" not in none


def test_measured_runs_of_this_kind_of_gpu_are_found(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose([*MATH, "engine.startup=graphs"])
    found = tuple(Gpu(index, "NVIDIA H100 80GB HBM3", 80 << 30, "580") for index in range(2))
    monkeypatch.setattr(hardware, "gpus", lambda: found)
    key = history_key(config, Checkpoint("Qwen/Qwen2.5-14B-Instruct", None, local=False), Device.cuda)
    for load_s in (60.0, 31.0):
        startup_history.remember(measured_start(Startup.graphs, load_s, key=key))
    here = said.json(*MATH, "engine.startup=graphs")
    assert [(each["replicas"], each["source"]) for each in rows(here)] == [
        (1, "measured on this machine"),
        (2, "measured on this machine"),
    ], "the GPUs are this machine's"
    assert rows(here)[0]["load_s"] == 31
    assert "Rates with TP 2: measured on this machine (1 run with TP 1; " in said(
        *MATH, "engine.startup=graphs"
    )
    monkeypatch.setattr(hardware, "gpus", tuple)
    elsewhere = said.json(*MATH, "engine.startup=graphs", "gpu=H100")
    assert rows(elsewhere)[0]["source"] == "measured on a machine of this kind"
    assert rows(said.json(*MATH, "gpu=H200"))[0]["source"] == "stated constants"


def test_the_documents_show_what_is_printed(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_checkpoint", lambda _config: None)  # whatever this machine's hub cache holds
    page = (ROOT / "docs" / "scaling.md").read_text()
    shown = re.findall(r"^    python -m llmbench\.plan (.*)\n\n((?:    .*\n)+)", page, re.MULTILINE)
    assert len(shown) == 3
    for command, printed in shown:
        lines = said(*shlex.split(command)).splitlines()
        assert [line.rstrip() for line in lines] == [line[4:].rstrip() for line in printed.splitlines()]


# Lengths


def answer(request: Request) -> str:
    return "word " * (9 if request.sample_id.endswith("0") else 3)


def earlier(folder: Path, *overrides: str, engine: str = "vllm", **report: object) -> Path:
    """A run of the default model, called one of vLLM's."""
    make(folder, answer, "benchmark=arithmetic", "engine=fake", "limit=40", "early_stopping=off", *overrides)
    summary = json.loads((folder / "summary.json").read_text())
    named = summary["engine"] | {"name": engine} | report
    return patched(folder, "summary.json", model="smollm2", engine=named)


HERE = ("benchmark=arithmetic", "limit=80", "early_stopping=off", "gpu=H100")


def test_lengths_come_from_earlier_runs_of_the_model(said: Said, tmp_path: Path) -> None:
    run = earlier(tmp_path / "runs" / "one")
    (lengths,) = said.json(*HERE)["lengths"]
    assert lengths["source"] == f"40 answers of {Path('runs', 'one')}"
    assert (lengths["n"], lengths["median"], lengths["longest"]) == (80, 4, 10), "a token ends each"
    assert run.name in said(*HERE)
    assert "no earlier run" in said(*HERE, "model=qwen14b")
    assert "no earlier run" in said(*HERE, "runs_dir=elsewhere")
    assert "runs to its limit" in said(*HERE, "sampling.ignore_eos=true")


def test_runs_that_say_nothing_about_lengths_are_left_out(said: Said, tmp_path: Path) -> None:
    earlier(tmp_path / "runs" / "fake", engine="fake")
    earlier(tmp_path / "runs" / "cut", "benchmarks.arithmetic.max_tokens=3")
    earlier(tmp_path / "runs" / "otherwise", "early_stopping=cut")
    earlier(tmp_path / "runs" / "shorter", "sampling.answer_tokens=2")
    broken = earlier(tmp_path / "runs" / "broken")
    (broken / "samples.jsonl").write_text("{}\n{}\n")
    assert "no earlier run" in said(*HERE)
    assert "40 answers of runs/cut" in said(*HERE, "benchmarks.arithmetic.max_tokens=3")


def test_a_lower_limit_cuts_earlier_lengths(said: Said, tmp_path: Path) -> None:
    earlier(tmp_path / "runs" / "one")
    (lengths,) = said.json(*HERE, "benchmarks.arithmetic.max_tokens=5")["lengths"]
    assert (lengths["median"], lengths["longest"]) == (4, 5)


# What is refused


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("gpus=0", "gpu=H100"), "gpus=0 is refused: gpus must be a whole number from 1 to 100000."),
        (("gpus=some", "gpu=H100"), "gpus=some is refused"),
        (("gpus=8", "gpu=H300"), "gpu=H300 is refused: the GPUs whose memory and speed are known are H100, "),
        (("gpus=8",), "This machine has no GPU; say which one is planned for, such as gpu=H100"),
        (("gpus=2", "gpu=H100", "engine.tensor_parallel_size=4"), "needs 4 GPUs, more than gpus=2"),
        (
            ("gpus=1", "gpu=H100", "engine.pipeline_parallel_size=2"),
            "with engine.pipeline_parallel_size=2 is refused",
        ),
        (("gpus=1", "gpu=H100", "engine=fake"), "engine=fake is refused: only runs of vLLM"),
        (("gpus=1", "gpu=H100", "batch_sise=2"), "batch_sise"),
        (("gpus=1", "gpu=H100", "batch_size=4,8"), "batch_size=4,8 holds several values"),
        (("gpu=A100", "gpu=H100"), "gpu is given twice, as gpu=A100 and as gpu=H100; give it once."),
        (("gpu=H100", "limit=1", "limit=2"), "limit is given twice"),
        (("gpus=1", "gpu=H100", "model.path=/nowhere"), "There is no checkpoint folder /nowhere"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_sentence(
    said: Said, typed: tuple[str, ...], sentence: str
) -> None:
    assert sentence in said.refused(*MATH, *typed)


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """vLLM, torch, transformers and data sets take seconds to import."""
    heavy = "{'vllm', 'torch', 'transformers', 'datasets'}"
    code = (
        "import sys; from llmbench.plan import main; "
        f"status = main(['benchmark=math', 'model=qwen14b', 'gpus=8', 'gpu=H100']); print(sorted({heavy} & set(sys.modules)), status)"
    )
    done = python("-c", code, folder=tmp_path)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
