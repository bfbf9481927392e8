"""The page that says how to measure each published score again: docs/reproduce.md, from the `reference` of conf/benchmark.

python docs/_site/reproduce_page.py    # writes it

It is kept in the repository, to be read there too; tests/test_site.py says where it is out of step with conf/.
"""

import contextlib
import io
import json
import math
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from benchmark_pages import names
from tables import in_yaml, linked, table

from llmbench import plan
from llmbench.cli.compose import compose
from llmbench.config.paths import config_folder
from llmbench.config.schema import Config, Reference, drawing
from llmbench.results.stats import Z95, wilson
from llmbench.results.summary import Summary
from llmbench.run.published_scores import MAJORITY, PublishedComparison, comparisons
from llmbench.system.number_format import percent, seconds

PAGE = Path(__file__).parents[1] / "reproduce.md"
GPU = ("gpus=1", "gpu=H100")
PARAMETERS_B = {"Qwen/Qwen2.5-14B": 14.8}
"""Of models that are no file of conf/model: what a plan needs to know before the checkpoint is on the machine."""
OUR_TEMPERATURE = 0.7
"""Where several answers were drawn at a temperature that the source does not state, and the model's own is 0."""
HOURS_FROM_S = 7_200
SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty")
HEAD = """# Reproduce published scores

    python -m llmbench benchmark=math model=qwen3_14b_thinking profile=published

**Nobody has run the commands of this page.** llmbench was written where no model of this size could be downloaded. So each published score that llmbench shows beside a run
stands here with the command that measures it again, and without a result. [Send yours](#send-your-result).

This page is made from `reference` in `conf/benchmark/*.yaml` by `python docs/_site/reproduce_page.py`.

## How to read it

Every command takes the whole benchmark, the model's own sampling and weights in bf16 (`profile=published`); the settings behind that follow the source where it states another value.

The model and the data come from the Hugging Face hub; GPQA wants its terms accepted there.

- **differs** is what the command and the source are known not to share. **not stated** are settings that the source does not give: there the command has llmbench's or the model's own value. A score
  with an entry in either column may differ for that reason. Prompts and grading are llmbench's own too ([each benchmark's page](benchmarks/index.md)), which no column repeats.
- **printed** is the 95% interval that a run with exactly this score would show: Wilson's, of p = score and n questions.
  With several answers to a question it may be narrower, down to Wilson's of all answers, which a published mean alone does not tell.
- **rerun** is how far two runs of the same protocol on the same questions may differ by chance alone, in percentage points: at most 1.96 · √(2 p (1 - p) / (n k)) in 95 of 100 pairs,
  with k answers to each question (1 for a majority vote, `maj@K` and `cons@K`). That takes all questions for equally hard; those that are always or never solved add nothing, so mostly it is less. A difference within it is no
  difference; one beyond it is of protocol, software or weights. At temperature 0, and where choices are scored, nothing is drawn, and reruns differ less still, by rounding alone. Where a source leaves k open, its fewest stands in the formula.
  No interval is given where the number of questions is not known without the data.
- **GPU time** is foreseen by `python -m llmbench.plan` for one H100, and **not measured**: its rates are constants of one 14B model, and of the answers' lengths it knows only how many tokens the model may take, and takes a quarter
  of them for the median. Answers that are twice as long take more than twice the time, and worked examples make prompts longer than
  the 150 tokens that it assumes ([when it is wrong](scaling.md#when-it-is-wrong)).

Reruns of the same checkpoint with other software differ by more than chance: for the same R1-Distill-Qwen-14B on AIME 2024 the sources below have 69.7%, 65.9% and 65.8%.
"""
TAIL = """## Send your result

Whether it agrees or not, open a ticket in llmbench's repository with

- the command as it was typed, and `python -m llmbench --version`;
- `summary.json` of the run folder: it has score, interval, what differs from published protocols, GPU and times, and no question and no answer;
- for a score outside **rerun**: `config.yaml` and `manifest.json` too. Read them first: they may name folders and hosts of yours. Do not send `samples.jsonl` of GPQA, whose authors ask not to publish its questions.

A run that was cut short helps as well: `limit=40` in place of the whole benchmark shows whether prompts and grading work on your machine, though its interval is wide.
"""


def page() -> str:
    """The page, in Markdown."""
    parts = [HEAD]
    for name in names():
        if references := _references(name):
            parts += [
                f"## {compose([f'benchmark={name}']).benchmarks[name].title}\n",
                *_section(name, references),
            ]
    return "\n".join([*parts, TAIL])


@cache
def _composed(*typed: str) -> Config:
    return compose(typed)


def _references(name: str) -> list[Reference]:
    return list(_composed(f"benchmark={name}").benchmarks[name].reference)


def _section(name: str, references: list[Reference]) -> Iterator[str]:
    """For each command, the scores that it measures."""
    by_command: dict[tuple[str, ...], list[Reference]] = {}
    for reference in references:
        by_command.setdefault(tuple(settings(name, reference)), []).append(reference)
    for typed, measured in by_command.items():
        yield f"    {command(typed)}\n"
        yield _duration(name, typed) + _remark(typed, measured[0]) + "\n"
        config = _composed(*typed)
        rows = [_row(config, name, each) for each in measured]
        headings = ("published", "metric", "printed", "rerun", "protocol", "differs", "not stated", "source")
        yield table(headings, rows)


def command(typed: tuple[str, ...]) -> str:
    """The command as it is typed."""
    return "python -m llmbench " + " ".join(shlex.quote(word) for word in typed)


def settings(name: str, reference: Reference) -> list[str]:
    """The settings that measure a published score again, as far as its source states them."""
    typed = [f"benchmark={name}", *_model(reference), "profile=published"]
    if (answers := _answers(reference)) > 1:
        typed.append(f"sampling.repeats={answers}")
    if (
        reference.scoring is None or reference.scoring.value == "loglikelihood"
    ):  # how base models are measured, if nobody says
        typed.append("scoring=loglikelihood")
    elif (
        _model_file(reference) is None and not reference.chat
    ):  # a base model was trained on no chat template
        typed.append("chat=false")
    if window := _window(name, reference):
        typed.append(f"benchmarks.{name}.options.window={window}")
    return typed + _stated(name, reference, _composed(*typed), answers)


def _stated(name: str, reference: Reference, config: Config, answers: int) -> list[str]:
    """What the source states and the settings so far have another value of."""
    benchmark, drawn = config.benchmarks[name], drawing(config, name)
    stated = {setting: getattr(reference, setting) for setting in SAMPLING}
    typed = [
        f"sampling.{setting}={value:g}"
        for setting, value in stated.items()
        if value not in (None, drawn[setting])
    ]
    if answers > 1 and reference.temperature is None and drawn["temperature"] == 0:
        typed.append(f"sampling.temperature={OUR_TEMPERATURE:g}")
    if reference.max_tokens not in (None, benchmark.max_tokens):
        typed.append(f"benchmarks.{name}.max_tokens={reference.max_tokens}")
    if reference.fewshot not in (None, benchmark.fewshot or 0):
        typed.append(f"fewshot={reference.fewshot}")
    return typed


def _model(reference: Reference) -> list[str]:
    """The settings that name the model, in the mode that was measured."""
    found = _model_file(reference)
    if found is not None:
        return [f"model={found}"]
    mode = [f"model.chat_template_kwargs={{{in_yaml(dict(reference.mode))}}}"] if reference.mode else []
    return [f"model.hub_id={reference.model}", *mode]


def _model_file(reference: Reference) -> str | None:
    """The file of conf/model with this model in this mode."""
    for name, model in _models().items():
        if model.get("hub_id") == reference.model and model.get("chat_template_kwargs", {}) == reference.mode:
            return name
    return None


@cache
def _models() -> dict[str, Mapping[str, Any]]:
    paths = sorted((config_folder() / "model").glob("*.yaml"))
    return {path.stem: yaml.safe_load(path.read_text()) for path in paths}


def _answers(reference: Reference) -> int:
    """Answers to each question: where the source has words, the first number in them."""
    return _numbers(reference)[0]


def _numbers(reference: Reference) -> list[int]:
    """The numbers of answers that the source names."""
    return [int(number) for number in re.findall(r"\d+", str(reference.answers or 1))]


def _window(name: str, reference: Reference) -> str | None:
    """The window of contest dates that the source states, by its name."""
    windows = _composed(f"benchmark={name}").benchmarks[name].options.get("windows", {})
    stated = (reference.start_date, reference.end_date)
    return next(
        (key for key, each in windows.items() if (each["start_date"], each["end_date"]) == stated), None
    )


def _row(config: Config, name: str, reference: Reference) -> tuple[str, ...]:
    compared = _compared(config, reference)
    printed, rerun = _intervals(config.benchmarks[name].size, reference)
    return (
        percent(reference.value),
        reference.metric,
        printed,
        rerun,
        reference.protocol,
        "; ".join(compared.differences),
        ", ".join(compared.unknown),
        linked(reference.source),
    )


def _compared(config: Config, reference: Reference) -> PublishedComparison:
    return next(each for each in comparisons(config, Summary()) if each.reference == reference)


def _intervals(questions: int | None, reference: Reference) -> tuple[str, str]:
    """The interval that a run with this score prints, and how far two runs differ by chance at most, in percentage points."""
    if questions is None:
        return "", ""
    share = reference.value
    answers = 1 if MAJORITY.match(reference.metric) else min(_numbers(reference))
    low, high = wilson(share * questions, questions)
    apart = Z95 * math.sqrt(2 * share * (1 - share) / (questions * answers))
    return f"[{100 * low:.1f}, {100 * high:.1f}]", f"± {100 * apart:.1f}"


def _remark(typed: tuple[str, ...], reference: Reference) -> str:
    """What the command had to choose by itself."""
    remarks = []
    if not isinstance(reference.answers, int | None):
        remarks.append(
            f"The number of answers is the first that the source has ({reference.answers}); fewer, such as `sampling.repeats=4`, have the same mean with a wider interval."
        )
    if reference.temperature is None and f"sampling.temperature={OUR_TEMPERATURE:g}" in typed:
        remarks.append(
            f"The source does not state a temperature, and at 0, this model's own, all answers are the same: {OUR_TEMPERATURE:g} is this page's choice."
        )
    if reference.scoring is None:
        remarks.append(
            "The source does not say whether choices were scored or written; base models are mostly scored."
        )
    return "".join(f" {remark}" for remark in remarks)


def _duration(name: str, typed: tuple[str, ...]) -> str:
    """What a plan says of the GPU time."""
    own = [word for word in typed if word.startswith("model.hub_id=")]
    size = [f"model.parameters_b={PARAMETERS_B[word.partition('=')[2]]}" for word in own]
    words = " ".join(shlex.quote(word) for word in (*typed, *size, *GPU))
    if _composed(*typed).benchmarks[name].size is None:
        return f"GPU time: a plan counts the questions in the data, which was not on the machine that wrote this page: `python -m llmbench.plan {words}`."
    (found,) = _planned((*typed, *size, *GPU))
    total_s = float(found["total_s"])
    duration = seconds(total_s) if total_s < HOURS_FROM_S else f"{total_s / 3600:,.1f} h"
    return f"GPU time, foreseen: {duration} (`python -m llmbench.plan {words}`)."


def _planned(words: tuple[str, ...]) -> list[dict[str, Any]]:
    """A plan's forecasts, as on a machine on which nothing has run yet."""
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as empty, _environment(LLMBENCH_CACHE=empty), contextlib.chdir(empty):
        with contextlib.redirect_stdout(printed):
            status = plan.main([*words, "--json"])
        if status:
            raise RuntimeError(f"python -m llmbench.plan {' '.join(words)} ended with status {status}")
    forecasts: list[dict[str, Any]] = json.loads(printed.getvalue())["forecasts"]
    return forecasts


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


if __name__ == "__main__":
    PAGE.write_text(page())
