"""How long a start takes with each remedy and without, each in a process of its own, alternating: ratios first.

    python -m tests.bench.start MODEL_DIR OUT_DIR [--rounds 3] [--quantization bitsandbytes bf16 fp8] [--cold] [SETTING=VALUE …]

A start is a whole `python -m llmbench` of 16 arithmetic requests of 16 tokens with CUDA graphs; SETTING=VALUE is added to each. For each
quantisation the ways are `today` (neither remedy), `kv_cache` (the KV cache's size remembered), and of bitsandbytes `copy` (of quantised
weights) and `both`. Each way has a first start that is not counted, which compiles kernels and measures the KV cache. With `--cold` each way
has one start more, in caches of vLLM, Triton, torch and CUDA that are empty. Nothing of the user's own caches is read or written; the copy is
made in OUT_DIR, and its making is timed. OUT_DIR/starts.json has every start.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ASKED = (
    "benchmark=arithmetic", "limit=16", "benchmarks.arithmetic.max_tokens=16", "sampling.ignore_eos=true", "early_stopping=cut",
    "report=false", "engine.startup=graphs", "model=qwen14b",
)  # fmt: skip
OFF = ("engine.remember_kv_cache=false", "engine.weights_copy=false")
WAYS = {"today": OFF, "kv_cache": OFF[1:], "copy": OFF[:1], "both": ()}
COMPILED = (
    "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH", "FLASHINFER_WORKSPACE_BASE",
    "XDG_CACHE_HOME",
)  # fmt: skip
"""Where kernels and graphs are kept once they are compiled."""


@dataclass(frozen=True)
class Start:
    """One start: seconds of its process from outside, and the parts that its summary.json has."""

    way: str
    kind: str
    wall_s: float
    first_token_s: float
    import_s: float
    load_s: float
    parts: dict[str, float] = field(default_factory=dict)
    kv_cache_tokens: int | None = None
    remembered: bool = False
    copy: bool = False


def run(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> float:
    """Runs llmbench's command; returns its seconds. Ends the program where the command fails."""
    begun = time.monotonic()
    with log.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: status {done.returncode}\n{log.read_text()[-2000:]}")
    return time.monotonic() - begun


def compiled_in(folder: Path) -> dict[str, str]:
    """An environment whose caches of compiled kernels are in a folder."""
    return {name: str(folder / name.lower()) for name in COMPILED}


def start(way: str, kind: str, settings: Sequence[str], environment: Mapping[str, str], out: Path) -> Start:
    """One run into a folder of its own."""
    name = f"{kind}-{way}-{time.time_ns()}"
    arguments = ["llmbench", *ASKED, *settings, *WAYS[way], f"hydra.run.dir={out / name}"]
    wall_s = run(arguments, environment, out / f"{name}.txt")
    summary = json.loads((out / name / "summary.json").read_text())
    times, engine = summary["time_s"], summary["engine"]
    found = Start(
        way,
        kind,
        wall_s,
        times["first_token"],
        times["import"],
        times["load"],
        {part: seconds for part, seconds in times["load_parts"].items() if seconds is not None},
        engine["kv_cache_tokens"],
        engine["kv_cache_remembered"],
        engine["weights_copy"] is not None,
    )
    print(
        f"  {kind} {way}: first token at {found.first_token_s:.1f} s, load {found.load_s:.1f} s", flush=True
    )
    return found


def measure(quantization: str, options: argparse.Namespace, out: Path) -> list[Start]:
    """All starts of one quantisation."""
    null = quantization in ("bf16", "none")
    settings = [
        f"model.path={options.model.resolve()}",
        f"model.quantization={'null' if null else quantization}",
    ]
    settings += options.settings
    environment = {"LLMBENCH_CACHE": str(out / "llmbench"), **compiled_in(out / "compiled")}
    ways = list(WAYS) if quantization == "bitsandbytes" else ["today", "kv_cache"]
    if "copy" in ways:
        took = run(
            ["llmbench.cache", "quantize", "model=qwen14b", *settings], environment, out / "quantize.txt"
        )
        print(
            f"  making the copy: {took:.1f} s\n  {(out / 'quantize.txt').read_text().strip().splitlines()[-1]}"
        )
    starts = []
    if options.cold:
        for way in ways:
            with tempfile.TemporaryDirectory(dir=out) as empty:
                starts.append(start(way, "cold", settings, environment | compiled_in(Path(empty)), out))
    starts += [start(way, "first", settings, environment, out) for way in ways]
    for _ in range(options.rounds):
        starts += [start(way, "warm", settings, environment, out) for way in ways]
    return starts


def median(starts: Sequence[Start], of: str) -> float:
    """The median of a field."""
    return statistics.median(float(getattr(each, of)) for each in starts)


def table(quantization: str, starts: Sequence[Start]) -> str:
    """The medians of the counted starts, beside their ratios to `today`."""
    lines = [
        f"{quantization}: ratio of the first token's time | first token, import, load, whole process (s) | parts of load (s)"
    ]
    for kind in ("cold", "warm"):
        by_way: dict[str, list[Start]] = {}
        for each in starts:
            if each.kind == kind:
                by_way.setdefault(each.way, []).append(each)
        for way, found in by_way.items():
            ratio = median(found, "first_token_s") / median(by_way["today"], "first_token_s")
            seconds = ", ".join(
                f"{median(found, of):.1f}" for of in ("first_token_s", "import_s", "load_s", "wall_s")
            )
            names = dict.fromkeys(part for each in found for part in each.parts)
            parts = ", ".join(
                f"{name} {statistics.median(each.parts.get(name, 0.0) for each in found):.1f}"
                for name in names
            )
            used = f"copy {found[-1].copy}, remembered {found[-1].remembered}, {found[-1].kv_cache_tokens} tokens"
            lines.append(f"  {kind} {way}: {ratio:.2f} | {seconds} | {parts} | {used}")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("model", type=Path, help="a model of Qwen2.5-14B's shape")
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quantization", nargs="+", default=["bitsandbytes", "bf16", "fp8"])
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_intermixed_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {}
    for quantization in options.quantization:
        print(quantization, flush=True)
        starts = measure(quantization, options, out)
        rows[quantization] = [asdict(each) for each in starts]
        (out / "starts.json").write_text(json.dumps(rows, indent=2))
        print(table(quantization, starts), flush=True)


if __name__ == "__main__":
    main()
