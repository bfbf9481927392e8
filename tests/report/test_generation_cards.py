"""How generating went, on a run's page."""

from dataclasses import replace
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.report.generation_cards import generation_cards, generation_facts
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
    assert generation_cards(FOUND) == [
        ("tail of generating", "12.5 s", "last tenth of requests 8.25 s"),
        ("decode step", "13.5 ms", "memory needs 6.9 ms"),
        ("bandwidth limit", "62%", "of generating is what the memory needs"),
    ]
    assert generation_facts(FOUND, Speculation.of(100, 500, 310)) == [
        (
            "generating",
            "98 s, then 12.5 s with fewer than half of the 128 at most running; 8,191 decode steps",
        ),
        ("a step reads", "14.5 GB of weights and 98,304 bytes a token of KV cache, at 3,350 GB/s"),
        (
            "speculation",
            "62.0% of 500 drafted tokens accepted, in 100 drafts: 310 tokens without a step of their own",
        ),
    ]


def test_the_share_of_steps_with_drafts_is_shown_where_steps_were_counted() -> None:
    ((_, said),) = generation_facts(None, Speculation.of(100, 500, 310, steps=400, drafted_steps=100))
    assert said.endswith("310 tokens without a step of their own; drafts in 25.0% of 400 steps")


def test_what_is_not_known_is_not_shown() -> None:
    unknown = replace(FOUND, limit=None, last_tenth=None)
    assert generation_cards(unknown) == [
        ("tail of generating", "12.5 s", ""),
        ("decode step", "13.5 ms", "on average"),
    ]
    assert [name for name, _ in generation_facts(unknown, None)] == ["generating"]
    of_replicas = replace(unknown, steps=None, step=None)
    assert [card[0] for card in generation_cards(of_replicas)] == ["tail of generating"]
    assert "steps" not in generation_facts(of_replicas, None)[0][1]
    assert not generation_cards(None)
    assert not generation_facts(None, None)
    ((_, nothing),) = generation_facts(None, Speculation.of(0, 0, 0))
    assert nothing.startswith("- of 0 drafted tokens")


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
