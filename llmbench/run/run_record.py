"""What a run knows of itself: its settings, what it has found so far, and the files that say so.

Whoever learns something about the run puts it here. From its beginning to its end nothing else writes `config.yaml`, `manifest.json` and
`summary.json`, or adds to the journal.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from llmbench.benchmarks.base import Benchmark
from llmbench.config.choices import EarlyStopping
from llmbench.config.dump import as_yaml
from llmbench.config.schema import Config
from llmbench.engine.restarting import RestartLog
from llmbench.errors import Interrupted, RefusedResumeError, RunError, StoppedError
from llmbench.records import Result
from llmbench.results import cost, metrics
from llmbench.results.manifest import CONFIG, RUNNING, Attempt, DataOrigin, Host, Manifest
from llmbench.results.recovery import Step
from llmbench.results.run_folder import RunFolder
from llmbench.results.summary import Phases, Summary, answered_by
from llmbench.run.generation_speed import how_generated
from llmbench.run.new_process import StartAgain
from llmbench.run.options import Earlier, RunOptions
from llmbench.run.origin import origin
from llmbench.run.request_plan import Questions
from llmbench.run.resume_checks import compare_servers
from llmbench.run.stopping import Stopping, not_all_asked
from llmbench.system import clock, decoding, redaction
from llmbench.system.console import Terminal
from llmbench.system.shell import resume_command
from llmbench.system.text import one_line
from llmbench.telemetry.engine_report import EngineReport, ServerReport

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RunRecord:
    """A run under way: all that is known of it meets here, so that one object writes the folder's files.

    Attributes:
        config: The settings by now: memory that ran out may have lowered some.
        files: The run's folder.
        benchmarks: Those that were chosen, by name.
        results: One for each request that is done, without their texts, which the journal has.
        unjudged: Answers that wait for a judge's verdict, by their keys.
        restart_log: Deaths of the run's engines.
        steps: Settings that were lowered because memory ran out.
        earlier: What earlier processes left.
        totals: How many requests each benchmark makes.
        attempts: The processes that worked on the run; the last one is this.
    """

    config: Config
    files: RunFolder
    options: RunOptions
    terminal: Terminal
    benchmarks: Mapping[str, Benchmark] = field(default_factory=dict)
    summary: Summary = field(init=False)
    manifest: Manifest = field(init=False)
    results: list[Result] = field(default_factory=list)
    unjudged: dict[tuple[str, str, int], Result] = field(default_factory=dict)
    restart_log: RestartLog = field(default_factory=RestartLog)
    steps: list[Step] = field(default_factory=list)
    earlier: Earlier = field(default_factory=Earlier)
    totals: dict[str, int] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    stopping: Stopping = field(default_factory=Stopping)
    _benchmark_warnings: list[str] = field(default_factory=list)  # warnings of benchmarks about themselves
    _restarts_written: int = 0

    def __post_init__(self) -> None:
        model = answered_by(self.config.engine.name, self.config.model.name, self.options.overrides)
        self.summary = Summary("running", model, self.config.profile.name, comparable=False)
        found = origin(self.config, self.options.overrides) | dict(self.options.origin)
        self.manifest = decoding.build(found, Manifest)

    def add(self, result: Result) -> None:
        """Adds a result to the journal; only the beginnings of its texts stay in memory.

        Raises:
            RunError: It cannot be written; the lines before it are kept.
        """
        self.files.append(result)
        self.results.append(metrics.without_texts(result))
        self.stopping.add(result)
        self.unjudged.pop(result.key, None)

    def keep_unjudged(self, result: Result) -> None:
        """Keeps an answer that waits for a judge's verdict.

        Raises:
            RunError: It cannot be written.
        """
        self.files.unjudged.add(result)
        self.unjudged[result.key] = result

    def save_if_due(self) -> None:
        """Brings the journal to the disk now and then, and the manifest when an engine has died."""
        self.files.sync_if_due()
        if len(self.restart_log.restarts) != self._restarts_written:
            self.write()

    def note(self, sentence: str) -> None:
        """Keeps a sentence about the run's files or its attempts, and shows it."""
        self.summary.notes.append(sentence)
        self.terminal.notice(sentence)

    def warn(self, sentences: Sequence[str]) -> None:
        """Keeps warnings that are known before anything is asked, and shows them."""
        for sentence in sentences:
            self.summary.preflight.append(sentence)
            self.terminal.notice(sentence)

    def note_plan(self, questions: Questions, checkpoint: dict[str, Any] | None, why_not: list[str]) -> None:
        """Writes what is going to be asked, and of which checkpoint, before anything is."""
        self.totals = questions.totals()
        self.summary.not_comparable, self.summary.comparable = why_not, not why_not
        if self.config.profile.comparable and why_not:
            self.terminal.say(f"Not comparable with published scores: {', '.join(why_not)}.")
        parts = questions.samples
        self.manifest.data = {name: DataOrigin(**asdict(part.source)) for name, part in parts.items()}
        before, chosen = self.manifest, {name: questions.samples_of(name) for name in questions.benchmarks}
        same = [name for name in chosen.keys() & before.selection if before.samples.get(name) == chosen[name]]
        kept = {name: before.selection[name] for name in same}
        self.manifest.selection = {name: part.selection for name, part in parts.items()} | kept
        self.manifest.samples, self.manifest.order = chosen, questions.order
        self.manifest.checkpoint = checkpoint
        self.write()

    def note_engine(self, report: EngineReport) -> None:
        """Keeps what an engine that was loaded says of itself, and shows it."""
        self.summary.engine = report
        self.manifest.hosts = Host.of(report.replicas)
        self.summary.time_s.load_parts = report.load_parts
        if report.startup is not None:
            self.terminal.notice(
                f"{f'{len(report.replicas)} x ' if report.replicas else ''}{report.name} {report.version} on {report.device}: "
                f"{report.quantization or report.dtype}, batch size {report.batch_size}, start-up {report.startup}"
                f"{'' if report.loads else ', already loaded'}."
            )

    def note_server(self, report: ServerReport | None) -> None:
        """Keeps which server has the model.

        Raises:
            ConfigError: It has another one than that of the results so far.
        """
        before, now = self.manifest.server, report and report.identity()
        if now is not None and before is not None and self.results:
            said = compare_servers(before, now, self.files.folder)
            if said is not None and said not in self.summary.notes:
                self.note(said)
            now.fingerprints = sorted({*before.fingerprints, *now.fingerprints})
        self.manifest.server = now

    def note_requests(self, report: EngineReport) -> None:
        """Keeps what the engine did, and the times of this process's requests."""
        self.summary.engine, times = report, self.summary.time_s
        self.manifest.hosts = Host.of(report.replicas)
        self.note_server(report.server)
        if report.server is not None:
            times.load = None  # it was only looked at
        own = [r for r in self.results[self.earlier.results :] if r.key not in self.earlier.unjudged]
        timings = [c.timing for result in own for c in result.completions]
        times.requests = Phases.of([timing for timing in timings if timing is not None])
        if not self.restart_log.restarts and len(self.results) == sum(self.totals.values()):
            times.generation = how_generated(own, report, self.manifest.machine, times.generate)
        if report.name != "fake":  # whose clock counts steps
            firsts = [result.completions[0].timing for result in own if result.completions]
            stamps = [timing.queued + timing.ttft for timing in firsts if timing is not None]
            times.first_token = clock.at(min(stamps)) if stamps else None

    def replace_scores(self, results: Sequence[Result], warnings: Sequence[str]) -> None:
        """Takes results whose scores a benchmark gave later than the journal's, and what it says of itself."""
        scores = {result.key: result.score for result in results}
        self.results[:] = [replace(r, score=scores.get(r.key, r.score)) for r in self.results]
        self.files.replace_scores(scores)
        self._benchmark_warnings += warnings

    def end(self, error: BaseException | None = None) -> None:
        """Writes what the run has come to; after an error, that one is raised even if writing fails.

        Raises:
            RunError: It cannot be written.
        """
        if isinstance(error, RefusedResumeError):
            return  # the folder stays as it is
        self.files.unjudged.end([key for key in self.unjudged if not self.stopping.ended(key[0])])
        if error is None:
            self.summary.status = "finished"
        elif isinstance(error, KeyboardInterrupt):
            self.summary.status = "interrupted"
        elif isinstance(error, StoppedError):
            self.summary.status, self.summary.error = "interrupted", redaction.without_secrets(str(error))
        elif not isinstance(error, StartAgain):  # which leaves it running
            self.summary.status, self.summary.error = "failed", redaction.without_secrets(str(error))
            log.error("the run failed", exc_info=error)
        self.add_up()
        try:
            self.write()
        except (RunError, Interrupted):
            if error is None:
                raise
            log.exception("what the run has come to could not be written")
        else:
            if self.summary.status not in ("running", "finished"):
                self.options.publish(self.files.folder)

    def add_up(self) -> None:
        """Computes the metrics of the results so far."""
        summary = self.summary
        for name, benchmark in self.config.benchmarks.items():
            summarise = partial(
                metrics.summarise,
                expected=self.totals.get(name, 0),
                repeats=benchmark.repeats,
                sittings=2 if self.earlier.answers or self.restart_log.restarts else 1,
                cache=self.config.cache,
                details=partial(self._details, name) if name in self.benchmarks else None,
                selection=self.manifest.selection.get(name),
            )
            own = metrics.results_of(name, self.results)
            summary.benchmarks[name] = self.stopping.summarised(name, own, summarise)
        summary.not_comparable += not_all_asked(summary.benchmarks)
        summary.comparable = not summary.not_comparable and summary.comparable
        missing = [name for name, found in summary.benchmarks.items() if found.n < found.expected]
        if missing and summary.status != "running":
            summary.comparable = False
            summary.not_comparable = [*summary.not_comparable, f"unfinished: {', '.join(missing)}"]
        asks = self.config.early_stopping is EarlyStopping.answer
        summary.warnings = [*metrics.warnings_of(summary.benchmarks, asks=asks), *self._benchmark_warnings]
        if summary.engine is not None:
            summary.warnings += summary.engine.warnings()
        summary.time_s.total = clock.since_start()
        if self.earlier.answers:
            summary.gpu.energy_j = None  # of the whole run it is not known
        if self.config.engine.price:
            server = summary.engine.server if summary.engine is not None else None
            summary.cost = self.earlier.cost + ((server and server.cost) or 0.0)
        if (judge := self.config.judge).is_served:
            summary.judge_cost = cost.of_judge(self.results, judge.price)
        self._end_attempt()

    def _details(self, name: str, results: Sequence[Result]) -> dict[str, Any] | None:
        """Returns what a benchmark adds to the summary; a user's that fails costs a warning."""
        try:
            found = self.benchmarks[name].details(results)
            decoding.plain(found)
        except (Exception, SystemExit) as error:
            log.exception("the details of %s could not be made", name)
            said = f"{name}: its details are left out, since they cannot be made ({one_line(error)})."
            if said not in self._benchmark_warnings:
                self._benchmark_warnings.append(said)
            return None
        return found

    def _end_attempt(self) -> None:
        status, total = self.summary.status, self.summary.time_s.total
        if status != RUNNING:
            before = self.earlier.before_this_attempt
            price, spent = self.config.engine.price, self.summary.cost
            if spent is not None:
                itself = not self.config.judge.is_served
                spent -= cost.of_attempts(self.attempts[:-1], self.results[:before], price, judges=itself)
            self.attempts[-1] = replace(
                self.attempts[-1], status=status, results=len(self.results) - before, time_s=total, cost=spent
            )
        left = status not in ("finished", RUNNING)
        self.summary.resume = resume_command(self.manifest.sweep or self.files.folder) if left else None

    def write(self) -> None:
        """Writes manifest, settings and summary, in this order.

        Raises:
            RunError: One cannot be written.
        """
        self._restarts_written = len(self.restart_log.restarts)
        self.summary.restarts = [restart.sentence() for restart in self.restart_log.restarts]
        self.summary.recovery = [step.sentence() for step in self.steps]
        self.summary.sittings = self.manifest.sittings = list(self.attempts)
        self.manifest.status, self.manifest.notes = self.summary.status, self.summary.notes
        self.manifest.recovery, self.manifest.restarts = list(self.steps), list(self.restart_log.restarts)
        self.files.write_manifest(self.manifest)
        self.files.write_text(CONFIG, as_yaml(self.config))
        self.files.write_summary(self.summary)
