"""The settings that are one of a few words."""

from enum import Enum


class EarlyStopping(Enum):
    """What happens at a stop string: ask for the answer that follows, cut there, or ignore stop strings."""

    answer = "answer"
    cut = "cut"
    off = "off"


class Scoring(Enum):
    """How a question with choices is answered: with a text that is graded, or with the choice whose log-likelihood is largest."""

    generate = "generate"
    loglikelihood = "loglikelihood"


class LikelihoodOf(Enum):
    """What stands behind the prompt when a choice's log-likelihood is asked for."""

    letter = "letter"
    text = "text"


class Device(Enum):
    """Where the engine runs; `auto` takes the GPU if there is one."""

    auto = "auto"
    cuda = "cuda"
    cpu = "cpu"


class Startup(Enum):
    """How much vLLM prepares before the first token: nothing, CUDA graphs, or compilation and graphs."""

    auto = "auto"
    eager = "eager"
    graphs = "graphs"
    full = "full"


class Api(Enum):
    """How an endpoint is asked: with messages, to which the server applies its template, or with prompts as token ids."""

    chat = "chat"
    completions = "completions"


class Sandbox(Enum):
    """What stands around programs that a model wrote; `none`: nothing."""

    bwrap = "bwrap"
    docker = "docker"
    none = "none"


class FewshotBy(Enum):
    """Which worked examples a question gets: the first ones of its own subject, in the order of their data."""

    subject = "subject"


class Grade(Enum):
    """How answers are compared with the gold answers of one's own data."""

    math = "math"
    number = "number"
    integer = "integer"
    choice = "choice"
    exact = "exact"
    contains = "contains"
    regex = "regex"
    judge = "judge"


class Tracker(Enum):
    """Where a finished run is logged beside its own folder."""

    mlflow = "mlflow"
    wandb = "wandb"
    none = "none"


class Schedule(Enum):
    """All benchmarks in one queue, or one benchmark after another for clean times of each."""

    together = "together"
    sequential = "sequential"


KV_CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
"""What `model.kv_cache_dtype` may be: vLLM's names (vllm/config/cache.py) of the numbers that all its attention kernels keep alike."""
