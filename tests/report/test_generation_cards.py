"""How generating went, on a run's page."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.report.generation_cards import drafted, generation_cards
from llmbench.results.generation import Generation, StepLimit
from llmbench.results.manifest import GpuModel, Machine
from llmbench.results.reader import load_run
from llmbench.run.generation_speed import how_generated
from llmbench.telemetry.engine_report import EngineReport, Speculation
from tests.helpers.factories import result

LIMIT = StepLimit(0.0069, 0.62, 3350.0, 14_500_000_000, 98_304)
FOUND = Generation(98.0, 12.5, 8.25, 128, 8191, 0.0135, LIMIT)
LOADED = EngineReport("vllm", device="cuda", step_weights_bytes=10**9, kv_bytes_per_token=10)


def test_the_tail_the_step_and_the_limit_are_shown() -> None:
    tail, step, limit = generation_cards(FOUND)
    assert tail == (
        "tail of generating",
        "12.5 s",
        "after 98 s with over half of the 128 at most running; the last tenth of the requests takes 8.25 s",
    )
    assert step == ("decode step", "13.5 ms", "on average of 8,191 steps")
    assert limit == (
        "bandwidth limit",
        "62%",
        "of generating: the memory needs 6.9 ms a step at 3,350 GB/s (14.5 GB of weights, 98,304 bytes a token of KV cache)",
    )


def test_what_is_not_known_is_not_shown() -> None:
    assert [card[0] for card in generation_cards(replace(FOUND, limit=None))] == [
        "tail of generating",
        "decode step",
    ]
    assert [card[0] for card in generation_cards(replace(FOUND, steps=None, limit=None))] == [
        "tail of generating"
    ]
    assert generation_cards(None) == []


def test_speculation_is_told_in_words() -> None:
    assert drafted(Speculation.of(100, 500, 310)) == (
        "62.0% of 500 drafted tokens accepted, in 100 drafts: 310 tokens without a step of their own"
    )
    assert drafted(Speculation.of(0, 0, 0)).startswith("- of 0 drafted tokens")


def test_a_run_says_how_generating_went(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    typed = ["benchmark=arithmetic", "engine=fake", "limit=12", "batch_size=4", f"hydra.run.dir={folder}"]
    assert main(typed) == 0
    found = load_run(folder).summary.time_s.generation
    assert found is not None
    assert found.most_running == 4
    assert found.full > found.tail
    assert found.last_tenth is not None
    assert found.steps is not None
    assert found.steps > 12
    assert found.limit is None
    page = (folder / "report.html").read_text()
    assert "tail of generating" in page
    assert "decode step" in page
    assert "bandwidth limit" not in page


def test_a_run_that_did_not_end_says_nothing_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    typed = ["benchmark=arithmetic", "engine=fake", "limit=12", f"hydra.run.dir={folder}"]
    assert main([*typed, "batch_size=4", "engine.args={break_after: 5}"]) == 1
    summary = load_run(folder).summary
    assert summary.time_s.generation is None
    assert "tail of generating" not in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("device", "gpus", "bandwidth"),
    [
        ("cuda", ["NVIDIA H100 80GB HBM3"], 3350.0),
        ("cuda", ["NVIDIA A100 80GB PCIe"], 1935.0),
        ("cuda", ["NVIDIA A100-PCIE-40GB"], 1555.0),
        ("cuda", ["NVIDIA A100-SXM4-80GB"], 2039.0),
        ("cuda", ["NVIDIA GeForce RTX 4090"], 1008.0),
        ("cuda", ["NVIDIA GeForce RTX 4090 Laptop GPU"], None),
        ("cuda", ["NVIDIA H100 80GB HBM3 (MIG)"], None),
        ("cuda", ["NVIDIA Graphics Device"], None),
        ("cuda", [None], None),
        ("cuda", [], None),
        ("cpu", ["NVIDIA H100 80GB HBM3"], None),
    ],
)
def test_the_bandwidth_is_that_of_the_gpu_by_its_name(
    device: str, gpus: list[str | None], bandwidth: float | None
) -> None:
    machine = Machine(gpus=[GpuModel(name) for name in gpus])
    found = how_generated([result()], replace(LOADED, device=device), machine, 2.0)
    assert found is not None
    assert (found.limit and found.limit.bandwidth_gb_s) == bandwidth
