"""The typed settings of a run, as `conf/` composes them.

Hydra merges every YAML and every command-line override into these classes, so an unknown key or a wrong type is
refused before anything is loaded. `validation.from_hydra` then checks them and turns the result into plain objects, once; no DictConfig goes further.
The comments beside or above the fields, here and in `groups`, are the reference of the settings; the values stand in `conf/`.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from llmbench.config.choices import EarlyStopping, FewshotBy, LikelihoodOf, Scoring
from llmbench.config.custom import CustomSettings
from llmbench.config.engine import EngineConfig
from llmbench.config.groups import (
    BatchSettings,
    CacheSettings,
    FaultSettings,
    JudgeSettings,
    OutputSettings,
    QuestionSettings,
    StopSettings,
)


@dataclass
class BenchmarkProfile:
    """A column of a benchmark's `profiles` table; a `profile` picks one for each axis."""

    num_samples: int | None = None  # None: all
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    system_prompt: str | None = None  # of `published`: the protocol's; another is a difference
    fewshot: int | None = None  # likewise; None: no worked examples


@dataclass
class SamplingOverrides:
    """Sampling that one benchmark wants different from the run's; None keeps the run's."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


@dataclass
class Reference:
    """A published score of one model in one mode. What the source does not state is None, and shown as not stated."""

    model: str = MISSING  # hub id
    # the chat_template_kwargs it was measured with; shown to no run with others
    mode: dict[str, Any] = field(default_factory=dict)
    value: float = MISSING  # 0 to 1
    # maj@K and cons@K stand beside a run's majority vote, acc_norm beside that, all others beside its accuracy
    metric: str = "accuracy"
    protocol: str = ""  # in words
    # what no setting can follow, such as a model as the judge; always a difference
    otherwise: list[str] = field(default_factory=list)
    source: str = MISSING
    subset: str | None = None  # which questions; compared where the benchmark's own is known
    start_date: str | None = None  # the window of contest dates, both days included
    end_date: str | None = None
    answers: Any = None  # to each question: a number, or the source's words
    weights: str | None = None  # data type or quantization
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    system_prompt: bool | None = None  # whether there was one
    fewshot: int | None = None
    chat: bool | None = None
    scoring: Scoring | None = Scoring.generate


@dataclass
class BenchmarkConfig:
    """One benchmark: where its questions come from, how they are asked and how long an answer may be."""

    # the Python module that loads, renders and grades; MODULE:CLASS where it has several such classes
    module: str = MISSING
    title: str = ""  # as reports show it
    hub_id: str | None = None  # data set on the Hugging Face hub
    hub_config: str | None = None  # configuration of the data set
    split: str = "test"  # of the data set
    size: int | None = None  # questions of the whole data set; fewer are not comparable with published scores
    subset: str | None = None  # which part of what goes by the benchmark's name, as published scores call it
    checked: str | None = None  # what columns, prompts and grading were compared with, in words
    revision: str = "main"  # branch, tag or commit; what it resolved to goes into the manifest
    data_files: str | None = None  # a local copy (.jsonl, .json, .csv or .parquet) instead of the hub
    # where worked examples come from on the hub; None, or with data_files: other questions of the same rows
    fewshot_split: str | None = None
    # which of them: the first ones of the question's subject, in their order; None: drawn for each question
    fewshot_by: FewshotBy | None = None
    system_prompt: str | None = None  # before the question; '': none
    instruction: str = ""  # follows the question
    cue: str = ""  # what is put in the model's mouth when the text stopped without an answer
    cue_tokens: int = 32  # 0: a missing answer is not asked for
    cue_stop: list[str] = field(default_factory=list)  # strings that end what follows the cue
    sealed: bool = False  # questions must never be written in plain text
    profiles: dict[str, BenchmarkProfile] = field(default_factory=dict)  # a column for each profile
    num_samples: int | None = None  # questions to ask; None: all
    max_tokens: int = MISSING  # most tokens of an answer
    stop: list[str] = field(default_factory=list)  # stop strings
    fewshot: int | None = None  # as the run; None: none
    chat: bool = True  # as the run
    scoring: Scoring | None = None  # None: as the run
    # under scoring=loglikelihood: the choices stand in the prompt and their letters are compared, or their texts are
    likelihood_of: LikelihoodOf = LikelihoodOf.letter
    likelihood_heading: str | None = None  # then stands before everything; `{subject}` is the question's
    repeats: int = 1  # answers to each question
    sampling: SamplingOverrides = field(default_factory=SamplingOverrides)
    # published scores, shown under profile=published
    reference: list[Reference] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # of this benchmark alone; its module checks them

    @property
    def asks_likelihoods(self) -> bool:
        """Whether nothing is written, and the choice with the largest log-likelihood is the answer."""
        return self.scoring is Scoring.loglikelihood

    def takes_profile(self, config: "Config") -> bool:
        """Whether the number of samples is the profile's, and not one that somebody typed."""
        column = self.profiles.get(config.profile.samples)
        return config.limit is None and column is not None and self.num_samples == column.num_samples


@dataclass
class SamplingColumn:
    """A way of sampling a model is used with."""

    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # nucleus sampling; 1: off
    top_k: int = 0  # 0: off
    min_p: float = 0.0  # 0: off
    repetition_penalty: float = 1.0  # 1: off
    presence_penalty: float = 0.0  # this and the next: of output tokens alone, as in vLLM
    frequency_penalty: float = 0.0  # 0: off


@dataclass
class ModelConfig:
    """A checkpoint and how it is loaded."""

    name: str = MISSING  # as reports and folders show it
    hub_id: str | None = None  # on the Hugging Face hub
    path: str | None = None  # a local checkpoint folder; takes precedence over hub_id
    embedded: str | None = None  # a model that a Python package carries
    revision: str | None = None  # branch, tag or commit; None: main
    parameters_b: float | None = None  # billions of parameters, for the checks before loading
    # quantization by column of `profile.weights`
    weights: dict[str, str | None] = field(default_factory=dict)
    quantization: str | None = None  # vLLM's names: bitsandbytes, fp8, awq, gptq, …; null: none
    dtype: str = "bfloat16"  # bfloat16, float16 or float32
    max_length: int = 4096  # prompt and output together, tokens
    gpu_memory_utilization: float = 0.95  # share of the GPU's memory that vLLM takes
    attention_backend: str | None = None  # FLASH_ATTN on the GPU; null: vLLM's choice
    # numbers of vLLM's KV cache: bfloat16, float16, fp8, fp8_e4m3 or fp8_e5m2; null or auto: as the model computes
    kv_cache_dtype: str | None = None
    skip_benchmarks: list[str] = field(default_factory=list)  # left out of a suite
    debug_samples: int = 3  # questions under profile=debug
    finish_tokens: int = 2048  # enough for this model to end by itself
    # where its authors give another limit
    finish_tokens_by_benchmark: dict[str, int] = field(default_factory=dict)
    system_prompt: bool = True  # false: the model takes none, so the benchmarks' are left out
    trust_remote_code: bool = False  # runs Python that the checkpoint brings
    lora: str | None = None  # the folder of a PEFT adapter that is added to the model
    chat_template: str | None = None  # a Jinja file in place of the model's own chat template
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)  # such as {enable_thinking: false}
    # YYYY-MM-DD, for a chat template that writes the date; null: the day the run began
    template_date: str | None = None
    # what the checkpoint's own files decide: parameters_b, max_length, settings of sampling.own
    from_checkpoint: list[str] = field(default_factory=list)
    sampling: dict[str, SamplingColumn] = field(default_factory=dict)  # greedy, own


@dataclass
class ProfileConfig:
    """Which columns of the benchmarks' and the model's tables are used, and the settings that go with them."""

    name: str = MISSING  # as reports show it
    comparable: bool = False  # with published numbers
    samples: str = "documented"  # column of the benchmarks: number of questions
    tokens: str = "documented"  # column: longest answer
    stops: str = "documented"  # column: stop strings
    sampling: str = "greedy"  # column of the model's sampling: greedy or own
    weights: str = "documented"  # column of the model's weights
    early_stopping: EarlyStopping = EarlyStopping.answer  # this and all below: the settings of the same name
    batch_size: int | None = None  # see batch_size
    static_batch_size: int = 4  # see static_batch_size
    max_batch_size: int = 8  # see max_batch_size
    min_batch_size: int = 2  # see min_batch_size
    use_dynamic_batching: bool = True  # see use_dynamic_batching
    gpu_memory_utilization: float = 0.95  # see model.gpu_memory_utilization
    log_level: str = "INFO"  # see log_level


@dataclass
class SamplingConfig(SamplingColumn):
    """How completions are drawn in this run."""

    seed: int = 0  # of each answer, with question and repeat
    repeats: int = 1  # answers to each question
    ignore_eos: bool = False  # every completion runs to its limit; for measuring speed
    thinking_budget: int | None = None  # most tokens of thinking; 0: no thinking; None: no budget
    # most tokens of an answer after the budget ended the thinking; None: 2048
    answer_tokens: int | None = None


@dataclass
class PointConfig:
    """Which point of an ablation a run is; `conf/ablation/point/` has them."""

    name: str | None = None  # None: of none
    title: str = ""  # as its table shows it
    claim: float | None = None  # the guide's: share of the time that it saves
    claim_high: float | None = None  # where it claims a range
    needs_ends: bool = False  # shown only where texts end by themselves


@dataclass
class Config(OutputSettings, CacheSettings, FaultSettings, BatchSettings, QuestionSettings):
    """A whole run."""

    benchmarks: dict[str, BenchmarkConfig] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    point: PointConfig = field(default_factory=PointConfig)
    custom: CustomSettings = field(default_factory=CustomSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    stop_when: StopSettings = field(default_factory=StopSettings)

    @property
    def asks_own_data_alone(self) -> bool:
        """Whether the run's one benchmark is the user's data."""
        return set(self.benchmarks) == {self.custom.benchmark}


AUTO = "auto"
"""Of `engine.replicas`: as many as are worth loading."""
RETIRED = frozenset({"disk_wait_s"})
"""Settings that there are no more: in the files of older runs they are let pass."""
DRAWN_BY = tuple(setting.name for setting in fields(SamplingOverrides))
"""The settings of sampling that a run, a benchmark and a model's column can each have."""


def drawing(config: Config, benchmark: str) -> dict[str, Any]:
    """How a benchmark's answers are drawn, by the names of DRAWN_BY: its own sampling where it has one, else the run's."""
    run, own = config.sampling, config.benchmarks[benchmark].sampling
    return {
        name: getattr(run, name) if getattr(own, name) is None else getattr(own, name) for name in DRAWN_BY
    }
