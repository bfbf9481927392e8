"""Settings that a user types without a group's name, as `batch_size=8`, in groups: a function takes the group that it needs.

`schema.Config` has them all. The comments beside or above the fields are the reference of the settings.
"""

from dataclasses import dataclass, field
from typing import Any

from llmbench.config.choices import EarlyStopping, Sandbox, Schedule, Scoring, Tracker


@dataclass
class QuestionSettings:
    """Which questions are asked, in which form, and when an answer ends."""

    suite: str | None = None  # a list of benchmarks by name
    always_skip: bool = False  # model.skip_benchmarks counts for benchmark= too
    limit: int | None = None  # so many samples of each benchmark, unless its own num_samples is typed
    # of benchmarks without a typed one of their own; '': none; null: as their files say
    system_prompt: str | None = None
    fewshot: int | None = None  # worked examples before each question; None: as many as its protocol has
    chat: bool = True  # false: for base models, without the chat template, as under scoring=loglikelihood
    # questions with choices: a text that is graded, or the choice with the largest log-likelihood
    scoring: Scoring = Scoring.generate
    seed: int = 0  # of chosen questions, shuffled choices and sampling
    # what a stop string does: the answer is asked for, cut off there, or ignored
    early_stopping: EarlyStopping = EarlyStopping.answer


@dataclass
class BatchSettings:
    """What runs at once."""

    # requests that run at once; None: as many as there are, up to vLLM's default
    batch_size: int | None = None
    static_batch_size: int = 4  # this and the next three: engines with static batches only
    max_batch_size: int = 8  # most that a dynamic batch takes
    min_batch_size: int = 2  # fewest, where memory allows more
    use_dynamic_batching: bool = True  # batches grow while memory allows
    schedule: Schedule = Schedule.together  # all benchmarks in one queue, or one after the other


@dataclass
class FaultSettings:
    """How much may go wrong: memory that runs out, engines that die or hang, programs that a model wrote."""

    sandbox: Sandbox = Sandbox.bwrap  # where benchmarks of programs run what the model writes
    oom_retries: int = 4  # times that less is tried when memory runs out
    # times in a row that a new engine is loaded for one that died before it answered anything
    engine_restarts: int = 3
    # how long the engine may be silent while it is asked, before it is given up; None: for ever
    engine_wait_s: float | None = 1800.0


@dataclass
class CacheSettings:
    """What earlier runs have for this one: answers, or the beginning of this very run."""

    # completions of earlier runs are given back where everything that decides them is the same
    cache: bool = False
    cache_max_bytes: int = 4 << 30  # what is kept of them; beyond it those go that were not used for longest
    resume: str | None = None  # the folder of a run or a sweep to go on with, or last


@dataclass
class OutputSettings:
    """What a run shows and leaves."""

    show_prompts: int = 0  # print this many prompts of each benchmark and stop
    runs_dir: str = "runs"  # where the folders of runs are made
    report: bool = True  # report.html at the end
    # parquet, csv, lm_eval, written into the run's folder; one name will do
    export: Any = field(default_factory=list)
    tracker: Tracker = Tracker.none  # also logs the run there
    # experiment or project; None: what the tracker's variable says, or llmbench
    tracker_project: str | None = None
    log_level: str = "INFO"  # of llmbench.log: DEBUG, INFO, WARNING


@dataclass
class JudgeSettings:
    """The model that grades answers which no rule can grade: `custom.grade=judge`, simpleqa and hle."""

    # as the judge's server calls it; null: the only one that it lists. same: the evaluated model judges its own answers, as it does
    # where there is no judge.base_url
    model: str | None = None
    # the address of the judge's OpenAI-compatible server, such as http://localhost:8001/v1; None: the evaluated model judges
    base_url: str | None = None
    api_key_env: str | None = None  # the environment variable with its key; None: no key is sent
    max_tokens: int = 1024  # most tokens of its reply, thinking included
    temperature: float = 0.0  # 0: greedy
    concurrency: int = 64  # requests that its server gets at once
    extra_body: dict[str, Any] = field(default_factory=dict)  # goes into each request to its server and wins
    retry_s: float | None = None  # how long a request is tried again after what may pass; None: 300
    price: dict[str, float] = field(default_factory=dict)  # of its server, per million tokens: input, output

    @property
    def is_served(self) -> bool:
        """Whether a server of its own has the judge; otherwise the evaluated model judges."""
        return self.base_url is not None


@dataclass
class StopSettings:
    """When a benchmark has been asked enough, before all its questions are. Each benchmark of a run stops for itself."""

    # stop when the interval of the accuracy over all its questions is no wider than this from end to end, such as 0.05
    ci_width: float | None = None
    # the folder of a finished run: stop when it is known which of the two is better
    compare: str | None = None
    # with compare: stop too when the difference is surely smaller than this, such as 0.03; None: do not
    margin: float | None = None
    min_questions: int = 20  # at least so many are asked
    level: float = 0.95  # confidence level of the intervals that decide

    @property
    def is_set(self) -> bool:
        """Whether a run may stop early."""
        return self.ci_width is not None or self.compare is not None


SAME = "same"
"""Of `judge.model`: the evaluated model."""
STATIC_BATCHING = ("static_batch_size", "max_batch_size", "min_batch_size", "use_dynamic_batching")
"""Settings of engines that form batches beforehand."""
EXPORTS = {"parquet": "samples.parquet", "csv": "samples.csv", "lm_eval": "lm_eval"}
"""Forms of the results for other programs, and where in a run's folder each is."""
