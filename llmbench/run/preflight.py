"""What is known before the model is loaded and a person should hear: sentences, none where all is well. Loads nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llmbench.benchmarks.generic.base import GRADED_AS
from llmbench.config.choices import Device, EarlyStopping, Sandbox
from llmbench.config.groups import FaultSettings
from llmbench.config.schema import AUTO, Config, SamplingConfig
from llmbench.engine import lora
from llmbench.engine.checkpoint import Checkpoint, settings
from llmbench.engine.checkpoint_settings import generation_config
from llmbench.engine.checkpoint_tensors import check_tensors, embedding_rows
from llmbench.engine.memory import RESERVE_BYTES, weights_on_gpu
from llmbench.engine.vllm.forecast.gpu_kinds import WITH_FP8
from llmbench.engine.vllm.speculation import SCHEDULE, drafting_limit
from llmbench.errors import ModelError, shortened
from llmbench.records import Request
from llmbench.run import judging, thinking_budget
from llmbench.run.comparability import few_shot_from_evaluated
from llmbench.run.kv_cache import bf16_weights_bytes, kv_cache_notices
from llmbench.run.likelihood_prompts import choice_warnings, cut_from_the_left
from llmbench.run.request_plan import Questions, RequestPlan
from llmbench.run.samples import SampleSet
from llmbench.system import hardware
from llmbench.system.number_format import count, listed, memory

NO_SANDBOX = (
    "sandbox=none: programs that the model writes run as you, with your files and your network; "
    "sandbox=bwrap or sandbox=docker keeps them apart."
)
ROOM = 1 / 3
"""The part of a GPU that must stay free beside bf16 weights before 4-bit weights are called needless."""
TOKENS_PER_S: Mapping[str | None, Mapping[int, int]] = {
    "bitsandbytes": {1: 97, 2: 142, 4: 197, 8: 318, 32: 1145, 128: 2963, 256: 4373},
    None: {1: 85, 2: 166, 4: 326, 8: 634, 32: 2135, 128: 5330, 256: 6832},
    "fp8": {1: 131, 2: 257, 4: 497, 8: 978, 32: 3112, 128: 7468, 256: 8940},
}
"""Output tokens/s by weights and requests in flight: a 14B model on one H100, vLLM 0.26."""
EXAMPLES, GOLDS = 2, 5
"""Questions and gold answers of own data that are shown."""
PROMPT_SHOWN, GOLD_SHOWN = 240, 40
"""Characters of each that are."""


def before_loading(
    config: Config,
    samples: Mapping[str, SampleSet],
    at_once: int,
    checkpoint: Checkpoint | None,
) -> list[str]:
    """Returns all that is known before the model is loaded, when `at_once` requests should run at once."""
    said = few_shot_from_evaluated(config)
    for name, part in samples.items():
        benchmark, available = config.benchmarks[name], part.available
        asked = benchmark.num_samples
        if asked is not None and asked > len(available) and not benchmark.takes_profile(config):
            said.append(
                f"{name} has {len(available)} questions, fewer than the {asked} asked for: all are asked."
            )
        if config.early_stopping is not EarlyStopping.off:
            said += stops_in_golds(name, benchmark.stop, [sample.target for sample in available])
    benchmarks = {name: part.benchmark for name, part in samples.items()}
    said += judging.judges_itself(config, benchmarks) + judging.asks_nobody(config, benchmarks)
    said += left_out_system_prompts(config) + lora.other_base(config.model)
    if checkpoint is None:
        return said
    folder = Path(checkpoint.folder) if checkpoint.folder else None
    said += sampling_differences(folder, config.sampling)
    gpus = hardware.gpus()
    if not gpus or config.engine.device is Device.cpu or config.engine.is_server:
        return said
    weights = bf16_weights_bytes(config, checkpoint)
    if not isinstance(settings(checkpoint).get("quantization_config"), Mapping):
        said += weights_do_not_fit(config, weights, gpus[0].total_bytes)
    if config.engine.name == "vllm":
        said += drafts_for_many(config, at_once)
        said += four_bit_is_slower(config, weights, at_once, gpus[0])
    return said


def of_prompts(
    config: Config, questions: Questions, at_once: int, checkpoint: Checkpoint | None
) -> list[str]:
    """Returns what the prompts make doubtful or slow; called while the model loads.

    Raises:
        ModelError: The checkpoint's files or its tokenizer do not fit it.
    """
    requests, asked = questions.requests, list(questions.asked.values())
    if checkpoint is not None:
        check_tensors(checkpoint)
        check_token_ids(requests, checkpoint)
    return [
        *cut_from_the_left(requests, config),
        *choice_warnings(asked),
        *thinking_budget.notices(asked, config),
        *kv_cache_notices(config, requests, at_once, checkpoint),
    ]


DRAFTED_FOR = 16
"""Requests at once up to which drafting is taken to cost little: with five drafted tokens each, a step computes 96, and it takes a step of
128 tokens to be twice as long as one of a single token (`TOKENS_PER_S`, bf16)."""


def drafts_for_many(config: Config, at_once: int) -> list[str]:
    """Returns a warning where tokens are drafted however many requests run, and many do."""
    engine = config.engine
    limited = drafting_limit(engine) is not None or engine.speculative.get(SCHEDULE)
    if not engine.speculative or limited or at_once <= DRAFTED_FOR:
        return []
    way_out = f"engine.speculative_max_running={DRAFTED_FOR} drafts for the last requests alone"
    if engine.speculative_max_running is not None:
        method = engine.speculative.get("method", "null")
        way_out = f"engine.speculative_max_running has no effect on method={method} as it is set; use method=ngram with num_speculative_tokens"
    sentence = (
        f"engine.speculative drafts for all of up to {at_once} requests at once, and that costs at more than {DRAFTED_FOR}: with 500, generating took "
        f"11.3 s against 6.6 s (n-grams, a 14B model of random weights, one H100); {way_out}."
    )
    return [sentence]


def check_sandbox(settings: FaultSettings, *, runs_code: bool) -> list[str]:
    """Refuses benchmarks of programs where they could not be run.

    Returns:
        A warning where nothing keeps the programs apart.

    Raises:
        ConfigError: The sandbox cannot be used.
    """
    from llmbench import sandbox

    sandbox.choose(settings.sandbox.value)
    if not runs_code:
        return []
    sandbox.check()
    return [NO_SANDBOX] if settings.sandbox is Sandbox.none else []


def sampling_differences(checkpoint_folder: Path | None, sampling: SamplingConfig) -> list[str]:
    """Where the run draws otherwise than the model's generation_config.json asks; what the file leaves open is not compared."""
    own = generation_config(checkpoint_folder) if checkpoint_folder else {}
    names = ["repetition_penalty", "presence_penalty", "frequency_penalty", "temperature"]
    if own.get("temperature") != 0 and sampling.temperature > 0:
        names += ["top_p", "top_k", "min_p"]
    differing = [name for name in names if own.get(name) not in (None, getattr(sampling, name))]
    if not differing:
        return []
    asks = listed([_drawing(name, own[name]) for name in differing])
    uses = listed([_drawing(name, getattr(sampling, name)) for name in differing])
    return [f"The model's generation_config.json asks for {asks}; this run uses {uses}."]


def _drawing(name: str, value: float) -> str:
    return "greedy decoding" if name == "temperature" and value <= 0 else f"{name} {value:g}"


def stops_in_golds(benchmark: str, stop: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Stop strings that stand in gold answers, where they would cut a right answer off; the answers themselves are not shown."""
    counts = {string: sum(string in target for target in targets) for string in stop if string}
    return [
        f"{benchmark}: the stop string {string!r} stands in {number} of {len(targets)} gold answers and would cut such an answer "
        f"off; leave it out of benchmarks.{benchmark}.stop, or set early_stopping=off."
        for string, number in counts.items()
        if number
    ]


def four_bit_is_slower(
    config: Config, weights_bytes_bf16: int, batch_size: int, gpu: hardware.Gpu
) -> list[str]:
    """Whether bitsandbytes' 4-bit weights cost speed where bf16 ones (so many bytes, all GPUs together) would fit with room to spare."""
    if config.model.quantization != "bitsandbytes":
        return []
    left = (
        config.model.gpu_memory_utilization * gpu.total_bytes - weights_bytes_bf16 / config.engine.gpus_each
    )
    at_once = max((size for size in TOKENS_PER_S[None] if size <= batch_size), default=1)
    speed = {name: table[at_once] for name, table in TOKENS_PER_S.items()}
    if left < ROOM * gpu.total_bytes or speed["bitsandbytes"] >= speed[None]:
        return []
    fp8 = f", or model.quantization=fp8 (about {speed['fp8']:,.0f})" if WITH_FP8.search(gpu.name) else ""
    sentence = (
        f"This GPU has room for the model in bf16, and 4-bit bitsandbytes is slower: at {at_once} requests at once a 14B model "
        f"made about {speed['bitsandbytes']:,.0f} output tokens/s in 4-bit and {speed[None]:,.0f} in bf16 on an H100; "
        f"set model.quantization=null{fp8}."
    )
    return [sentence]


def weights_do_not_fit(config: Config, weights_bytes_bf16: int, gpu_total_bytes: int) -> list[str]:
    """Whether the weights leave no room on the GPUs, and what to type instead."""
    model, engine = config.model, config.engine
    gpus = engine.gpus_each
    room = gpus * (gpu_total_bytes * model.gpu_memory_utilization - RESERVE_BYTES)
    needed = weights_on_gpu(weights_bytes_bf16, model.quantization)
    if needed is None or needed <= room:
        return []
    smaller = weights_on_gpu(weights_bytes_bf16, "bitsandbytes") or 0
    remedy = "spread them over more GPUs with engine.tensor_parallel_size"
    if smaller <= room:
        remedy = f"set model.quantization=bitsandbytes (4-bit, about {memory(smaller)}), or {remedy}"
    sentence = (
        f"The weights take about {memory(needed)} as {model.quantization or model.dtype}, more than the {memory(max(room, 0))} that "
        f"{'this GPU has' if gpus == 1 else f'{gpus} of these GPUs have'} for them; {remedy}."
    )
    return [sentence]


def gpus_here(config: Config) -> int:
    """Returns how many of this machine's GPUs the engine uses, as far as that is known before it is chosen."""
    engine = config.engine
    if engine.is_server or engine.ray_address is not None:
        return 0
    return engine.gpus_each * (1 if engine.replicas == AUTO else int(engine.replicas))


def left_out_system_prompts(config: Config) -> list[str]:
    """Which benchmarks' system prompts a model that takes none does not get."""
    names = [name for name, benchmark in config.benchmarks.items() if benchmark.system_prompt]
    if config.model.system_prompt or not names:
        return []
    sentence = (
        f"The system prompt of {listed(names)} is left out, since {config.model.name} is to get none "
        "(model.system_prompt=false)."
    )
    return [sentence]


def check_token_ids(requests: Sequence[Request], checkpoint: Checkpoint) -> None:
    """Refuses prompts with token ids that the model has no embedding for: the tokenizer is another model's.

    Raises:
        ModelError: Names the largest id and the number of embeddings.
    """
    rows = embedding_rows(checkpoint)
    given = (ids for r in requests for ids in (r.prompt_ids, *(choice.ids for choice in r.choices)))
    largest = max((max(ids, default=0) for ids in given), default=0)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"The prompts hold the token id {largest}, and the model has embeddings for {rows} ids from 0: the tokenizer of "
            f"{checkpoint.name} belongs to another model, or tokens were added to it later; "
            "copy the checkpoint with its own tokenizer."
        )


def data_notes(plan: RequestPlan) -> list[str]:
    """Returns a paragraph for each benchmark whose columns its settings map; of a sealed one without its texts."""
    return ["\n".join(lines) for name in plan.samples if (lines := list(_data_lines(plan, name)))]


def _data_lines(plan: RequestPlan, name: str) -> Iterator[str]:
    part, settings = plan.samples[name], plan.config.benchmarks[name]
    if not part.source.notes:
        return
    asked, notes = len(part.chosen), part.source.notes
    if settings.asks_likelihoods:
        notes = tuple(said for note in notes if (said := _of_gold(note)))
    fewer = f", {asked:,} of them asked" if asked < len(part.available) else ""
    yield f"{part.source.source}: {count(len(part.available), 'question')}{fewer}. {' '.join(notes)}".rstrip()
    if settings.asks_likelihoods:
        yield f"  Nothing is written: the choice whose {settings.likelihood_of.value} has the largest log-likelihood is the answer."
    if settings.sealed:
        return
    golds = list(dict.fromkeys(sample.target for sample in part.available))
    shown = ", ".join(shortened(gold, GOLD_SHOWN) for gold in golds[:GOLDS])
    more = f" and {count(len(golds) - GOLDS, 'other')}" if len(golds) > GOLDS else ""
    yield f"  Gold answers: {shown}{more}."
    for sample, question in list(zip(part.chosen, part.questions, strict=True))[:EXAMPLES]:
        prompt = shortened(question, PROMPT_SHOWN)
        instruction = f" | {shortened(settings.instruction, PROMPT_SHOWN)}" if settings.instruction else ""
        yield f"  Question {sample.id}: {prompt}{instruction}  ->  {shortened(sample.target, GOLD_SHOWN)}"


def _of_gold(note: str) -> str:
    """A note without how texts are graded, where none is written: what it says of the gold answers, or nothing."""
    if not note.startswith(GRADED_AS):
        return note
    said = note.partition("; ")[2]
    return said[:1].upper() + said[1:]
