"""Asking a judge: each answer that a rubric is for makes one more request, to the evaluated model or to a server of the judge's own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.rubric import Rubric, Verdict
from llmbench.config.groups import SAME
from llmbench.config.judge import engine_of, of_judge
from llmbench.config.schema import Config, ModelConfig
from llmbench.engine.base import Engine, Notice
from llmbench.engine.cache.engine import with_cache
from llmbench.engine.cache.keys import keys_for
from llmbench.engine.endpoint import EndpointEngine
from llmbench.engine.endpoint.server import remembered
from llmbench.engine.messages import NoTokenizer
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.workload import Workload
from llmbench.errors import ConfigError, EngineError
from llmbench.records import (
    JUDGE_SUFFIX,
    Completion,
    FinishReason,
    Judgement,
    Message,
    Outcome,
    Request,
    Result,
    Sample,
    Sampling,
    Score,
)
from llmbench.run import prompts
from llmbench.system.number_format import listed
from llmbench.telemetry.engine_report import ServerIdentity


def judged(benchmarks: Mapping[str, Benchmark]) -> list[str]:
    """Returns the benchmarks whose answers a judge grades."""
    return [name for name, benchmark in benchmarks.items() if benchmark.rubric is not None]


def complete(config: Config, benchmarks: Mapping[str, Benchmark]) -> Config:
    """Returns the settings with the judge's name: what its server calls it, or `same`; as they are where nothing is judged.

    Raises:
        ConfigError: The settings do not say which of its server's models is meant.
        EngineError: The server does not answer.
    """
    if not judged(benchmarks):
        return config
    with _said_of_judge():
        name = remembered(engine_of(config.judge)).model if config.judge.is_served else SAME
    return replace(config, judge=replace(config.judge, model=name))


def judge_name(config: Config) -> str:
    """Returns the judge's name in results, known after `complete`."""
    return config.judge.model or SAME if config.judge.is_served else config.model.name


def unlike_published(config: Config, benchmarks: Mapping[str, Benchmark]) -> list[str]:
    """What keeps judged scores from standing beside published ones, which other judges gave."""
    judge = f"judged by {judge_name(config)} with llmbench's own prompt"
    return [f"{name}'s answers {judge}" for name in judged(benchmarks)]


def judges_itself(config: Config, benchmarks: Mapping[str, Benchmark]) -> list[str]:
    """A sentence where the evaluated model judges its own answers."""
    names = judged(benchmarks)
    if not names or config.judge.is_served:
        return []
    who = f"{listed(names)}: {config.model.name} judges its own answers, as no judge.base_url names the server of another judge"
    return [f"{who}; models tend to find right what they wrote themselves."]


def asks_nobody(config: Config, benchmarks: Mapping[str, Benchmark]) -> list[str]:
    """A sentence where settings name a judge and no benchmark has answers for one."""
    named = [f"judge.{name}" for name in ("base_url", "model") if getattr(config.judge, name) is not None]
    if judged(benchmarks) or not named:
        return []
    has = "has" if len(named) == 1 else "have"
    who = f"{listed(named)} {has} no effect: no judge grades {listed(list(benchmarks))}"
    return [f"{who}, as it does with custom.grade=judge, simpleqa and hle."]


@contextmanager
def judge_engine(
    config: Config, benchmarks: Mapping[str, Benchmark], notice: Notice
) -> Iterator[Engine | None]:
    """Connects with the judge's server, for as long as the context lasts; None where there is none.

    Raises:
        ConfigError: It has another model than `judge.model` says.
        EngineError: It does not answer.
    """
    if not (judged(benchmarks) and config.judge.is_served):
        yield None
        return
    own = replace(config, engine=engine_of(config.judge), model=ModelConfig(name=judge_name(config)))
    engine, tokenizer = EndpointEngine(own, step_s=0.0), NoTokenizer()
    # a refusal is one answer's own until several come in a row: the first answer of a run is judged while no other has a verdict
    work = Workload(0, config.judge.max_tokens, 0, batch_size=config.judge.concurrency, answered=True)
    try:
        with _said_of_judge():
            engine.prepare()
            engine.load(work, lambda sentence: notice(f"The judge: {of_judge(sentence)}"))
            engine.begin(tokenizer, work, loaded=True, notice=lambda sentence: notice(of_judge(sentence)))
        if not config.cache:
            yield engine
            return
        report = engine.report()
        with with_cache(
            engine, lambda: keys_for(own, report, None, tokenizer, 0.0), config.cache_max_bytes, notice
        ) as cached:
            yield cached
    finally:
        engine.close()


def identity(engine: Engine | None) -> ServerIdentity | None:
    """Returns which server has the judge, for the manifest; None without one."""
    server = engine.report().server if engine is not None else None
    return server.identity() if server is not None else None


def remarks(engine: Engine | None) -> list[str]:
    """Returns what makes its server's verdicts and their tokens doubtful, one sentence each."""
    found = engine.report().warnings() if engine is not None else []
    return [f"The judge: {of_judge(sentence)}" for sentence in found]


@contextmanager
def _said_of_judge() -> Iterator[None]:
    """Inside, errors name the judge's settings."""
    try:
        yield
    except (ConfigError, EngineError) as error:
        raise type(error)(f"The judge cannot be asked: {of_judge(str(error))}") from error


@dataclass(slots=True)
class Judging:
    """The answers that a judge is asked about.

    Attributes:
        engine: The judge's own; None: the run's engine is asked, with the run's `tokenizer`.
        submit: Gives the run's engine a request; needed without a judge's own.
    """

    config: Config
    benchmarks: Mapping[str, Benchmark]
    tokenizer: Tokenizer
    engine: Engine | None
    submit: Callable[[Request], None] = lambda _: None
    _asked: dict[str, tuple[Result, Request, str]] = field(default_factory=dict)  # the mark comes last

    def ask(self, result: Result, sample: Sample) -> Completion | None:
        """Asks about an answer, which is the score's; returns a failed completion at once where that cannot be."""
        question = self.benchmarks[result.benchmark].question(sample)
        text, mark = self._rubric(result).prompt(question, sample.target, result.score.answer or "")
        request = self._request(result, text)
        self._asked[request.id] = result, request, mark
        needed = len(request.prompt_ids) + request.sampling.max_tokens
        if self.engine is not None:
            self.engine.submit(request)
        elif needed > self.config.model.max_length:
            reason = (
                f"the judge's prompt has {len(request.prompt_ids)} tokens, and with judge.max_tokens={request.sampling.max_tokens} that is "
                f"more than model.max_length={self.config.model.max_length}"
            )
            return Completion.aborted(request, reason)
        else:
            self.submit(request)
        return None

    def step(self) -> list[Completion]:
        """Returns what the judge's own engine has answered meanwhile.

        Raises:
            EngineError: Its server refuses every request.
            StoppedError: It is gone.
        """
        if self.engine is None or not self._asked:
            return []
        with _said_of_judge():
            return self.engine.step()

    def judged(self, completion: Completion) -> Result:
        """Returns the result with the verdict that a reply holds, or as unjudged with the reason."""
        result, request, mark = self._asked.pop(completion.request_id)
        rubric, most = self._rubric(result), request.sampling.max_tokens
        if completion.finish_reason is FinishReason.ABORT:
            reason = completion.error or "the judge gave nothing back"
            said = Verdict(None, reason if self.engine is None else of_judge(reason))
        elif completion.finish_reason is FinishReason.LENGTH:
            said = Verdict(None, f"the judge's reply was cut off by judge.max_tokens={most}")
        else:
            said = rubric.read(completion.text, mark)
        outcome = Outcome.UNJUDGED if said.word is None else rubric.verdicts[said.word]
        return replace(
            result,
            score=Score(float(outcome is Outcome.CORRECT), result.score.answer, outcome, said.reason),
            judgement=Judgement(judge_name(self.config), said.word, prompts.prompt_hash(request), completion),
        )

    def drop(self) -> None:
        """Drops all that the judge is asked about."""
        if self.engine is not None and self._asked:
            self.engine.abort()
        self._asked.clear()

    def _rubric(self, result: Result) -> Rubric:
        found = self.benchmarks[result.benchmark].rubric
        if found is None:
            raise RuntimeError(f"{result.benchmark} is not judged")
        return found

    def _request(self, result: Result, text: str) -> Request:
        settings, turns, ids = self.config.judge, (Message("user", text),), tuple[int, ...]()
        if self.engine is None:
            model, chat = self.config.model, self.config.benchmarks[result.benchmark].chat
            if chat:
                text = self.tokenizer.chat(turns, model.chat_template_kwargs, model.template_date)
            ids = self.tokenizer.encode(text, special=not chat)
        seed = None
        if settings.temperature:
            seed = prompts.seed_of("judge", self.config.sampling.seed, *result.key)
        sampling = Sampling(settings.max_tokens, settings.temperature, seed=seed)
        name = "/".join(map(str, result.key)) + JUDGE_SUFFIX
        return Request(name, *result.key, ids, sampling, () if ids else turns)
