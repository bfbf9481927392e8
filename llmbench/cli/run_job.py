"""A run at the terminal: what is said before and after it, its log, and what Ctrl-C and SIGTERM do."""

import errno
import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from llmbench.cli.arguments import stops_with_backslashes
from llmbench.cli.caller import Caller
from llmbench.cli.job import finished_on
from llmbench.cli.unused_settings import say_unused
from llmbench.config.choices import Api
from llmbench.config.schema import Config
from llmbench.engine.factory import complete, find_checkpoint, load_tokenizer
from llmbench.engine.hub import notice_no_network
from llmbench.errors import ConfigError, RunError
from llmbench.report import trackers
from llmbench.report.publish import publish
from llmbench.report.terminal_table import print_table
from llmbench.results.manifest import CONFIG, JOURNAL, LOG, MANIFEST, STARTING, VERSION, write_object
from llmbench.results.reader import load_run
from llmbench.results.run_folder import conflicting_file, refuse_taken
from llmbench.results.summary import Summary
from llmbench.run import pipeline, published_scores
from llmbench.run.comparability import few_shot_from_evaluated
from llmbench.run.options import Beginning, RunOptions
from llmbench.run.request_plan import RequestPlan
from llmbench.run.resume_checks import check_finished
from llmbench.system.console import Terminal
from llmbench.system.lock import FolderLock
from llmbench.system.log_capture import captured
from llmbench.system.signals import listening

log = logging.getLogger(__name__)

FULL_OR_READ_ONLY = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def run_job(  # noqa: PLR0913 - what a job is, and what it belongs to
    config: Config,
    folder: Path,
    options: RunOptions,
    *,
    named: bool,
    caller: Caller | None = None,
    printed: set[str] | None = None,
) -> Summary | None:
    """Runs one job and prints its result; returns None if only prompts were shown.

    Args:
        config: The settings, checked; skipped benchmarks are taken out of it.
        folder: Where the run is written; Hydra has made it.
        options: How it is begun; the terminal, what stops it and its page are added here.
        named: The benchmarks were chosen by `benchmark=`, so none is skipped.
        caller: The program that called, None on the command line.
        printed: What jobs before it said of their settings, which is not said again; gets what this one says.

    Raises:
        StartAgain: Only a new process can go on.
        LlmbenchError: Something a user can fix.
        Interrupted: Ctrl-C or SIGTERM.
    """
    if config.show_prompts:
        notice_no_network()
        show_prompts(config, Terminal())
        return None
    try:
        quiet = caller is not None and caller.quiet
        with (
            captured(folder / LOG, config.log_level) as (out, err),
            listening(None if quiet else err.fileno(), in_program=caller is not None) as stop,
        ):
            terminal = Terminal(out, err) if caller is None else caller.terminal(err)
            if options.beginning is Beginning.KILLED_AT_START:
                said = f"In {folder} a run ended before it had begun; this one begins there."
                log.warning(said)
                terminal.notice(said)
            with terminal.once(set() if printed is None else printed):
                _print_notices(config, options.overrides, terminal, named=named)
            if options.beginning is Beginning.RESUMED and nothing_left(folder):
                _publish_finished(config, folder, terminal)
                return None
            publish_this = partial(publish, settings=config, terminal=terminal)
            options = replace(options, terminal=terminal, stop=stop, publish=publish_this)
            found = pipeline.run(config, folder, options)
            outside = config.resume is not None or not folder.absolute().is_relative_to(Path.cwd())
            print_table(terminal, found, str(folder) if outside else os.path.relpath(folder))
            if config.profile.comparable:
                for comparison in published_scores.comparisons(config, found):
                    terminal.say(published_scores.sentence(comparison))
            publish(folder, config, terminal)
    except OSError as error:
        own = isinstance(error.filename, str) and Path(error.filename).parent == folder
        if own or error.errno in FULL_OR_READ_ONLY:
            raise cannot_write(folder, error) from error
        raise
    return found


def nothing_left(folder: Path) -> bool:
    """Whether a run folder has every output, so that resuming it would do nothing."""
    try:
        run = load_run(folder)
    except RunError:
        return False
    benchmarks = run.summary.benchmarks.values()
    if not all(found.expected for found in benchmarks):
        return False  # then the run's own end writes the summary again
    expected = sum(found.expected for found in benchmarks)
    return run.summary.status == "finished" and not run.notes and len(run.results) >= expected


def _publish_finished(config: Config, folder: Path, terminal: Terminal) -> None:
    """Says that a run is finished, and publishes what is asked for and missing."""
    server = finished_on(folder, None)
    config, _ = complete(config, partial(find_checkpoint, to_run=False), server)
    with FolderLock(folder):
        check_finished(folder, config)
        terminal.say(f"The run in {folder} is finished; nothing is left to ask.")
        publish(folder, config, terminal)


def _print_notices(config: Config, overrides: Sequence[str], terminal: Terminal, *, named: bool) -> None:
    if _needs_hub(config) and notice_no_network():
        terminal.notice("The hub cannot be reached; only what is in the local cache can be used.")
    trackers.check(config)
    if not (config.profile.comparable or config.asks_own_data_alone):  # which is asked whole
        terminal.say(
            f"profile={config.profile.name}: few samples and short answers, so the score does not compare with published "
            "ones; profile=published does."
        )
    skip_benchmarks(config, terminal, named=named)
    say_unused(config, overrides, terminal)
    for sentence in stops_with_backslashes({n: b.stop for n, b in config.benchmarks.items()}):
        terminal.notice(sentence)


def _needs_hub(config: Config) -> bool:
    model = config.model.path is None and config.model.embedded is None and config.engine.name != "fake"
    model = model and not (config.engine.name == "endpoint" and config.engine.api is not Api.completions)
    return model or any(b.hub_id is not None and b.data_files is None for b in config.benchmarks.values())


def claim(
    folder: Path, origin: Mapping[str, Any], held: ExitStack, *, may_move: bool, again: bool
) -> tuple[Path, bool]:
    """Makes the folder this run's own by creating its config.yaml; of two runs that want one folder, one gets it.

    Its manifest says from then on how the run was called, so that `resume` can begin what was killed in its first moments.

    Args:
        folder: Where Hydra put the run.
        origin: What the manifest says.
        held: Keeps the folder's lock until the run has it.
        may_move: Take `FOLDER_2` and so on where the folder is taken, because nobody asked for this one by name.
        again: Begin in a folder that is taken by a run that was killed before it had begun.

    Returns:
        The folder, and whether such a run was there.

    Raises:
        RunError: The folder is taken, or cannot be written.
    """
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            taken = conflicting_file(candidate) is not None
            new = not taken and _make(candidate / CONFIG)
            if may_move and (taken or not (new or again)):
                continue
            if not taken:
                held.enter_context(FolderLock(candidate))
            refuse_taken(candidate)
        except OSError as error:
            raise cannot_write(folder, error) from error
        write_object(candidate / MANIFEST, {"version": VERSION, "status": STARTING, **origin})
        return candidate, not new
    raise AssertionError("itertools.count does not end")


def _make(path: Path) -> bool:
    """Makes an empty file; returns whether it is new."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def cannot_write(folder: Path, error: OSError) -> RunError:
    """The error for a folder that cannot be written."""
    journalled = (folder / JOURNAL).exists()
    way_out = "what was journalled is kept." if journalled else "choose another with hydra.run.dir=FOLDER."
    return RunError(f"The run's folder {folder} cannot be written ({error.strerror}); {way_out}")


LAST_TOKENS = 6
"""Of a prompt, shown one by one: where it ends decides how the model goes on."""


def show_prompts(config: Config, terminal: Terminal) -> None:
    """Prints exactly what the model would get, for the first samples of each benchmark; loads no model."""
    find = partial(find_checkpoint, to_run=False)
    config, _ = complete(config, find)
    for sentence in few_shot_from_evaluated(config):
        terminal.notice(sentence)
    tokenizer = load_tokenizer(config, find(config))
    questions = RequestPlan.read(config).write(tokenizer)
    for sentence in tokenizer.remarks(config.model.chat_template_kwargs):
        terminal.notice(sentence)
    shown = dict.fromkeys(questions.benchmarks, 0)
    for (name, sample_id), asked in questions.asked.items():
        if shown[name] >= config.show_prompts:
            continue
        shown[name] += 1
        sampling = next(r.sampling for r in questions.requests if r.key[:2] == (name, sample_id))
        limits = f"at most {sampling.max_tokens}, stop {list(sampling.stop)}"
        then = f"one of {len(asked.choices)} choices" if asked.choices else limits
        terminal.say(
            f"── {name} {sample_id}: {len(asked.ids)} tokens, then {then}, gold {asked.sample.target!r}"
        )
        terminal.text(asked.text)
        ends = " ".join(map(repr, tokenizer.pieces(asked.ids[-LAST_TOKENS:])))
        terminal.say(f"The last of its tokens: {ends}")
        for choice in asked.choices:
            terminal.say(f"Choice {choice.name}: {' '.join(map(repr, tokenizer.pieces(choice.ids)))}")


def skip_benchmarks(config: Config, terminal: Terminal, *, named: bool) -> None:
    """Leaves out of a suite what the model's `skip_benchmarks` names."""
    if config.suite is not None and named:
        terminal.notice(f"benchmark= was given too, so suite={config.suite} chooses nothing.")
    if (config.suite is None or named) and not config.always_skip:
        return
    if config.always_skip and all(name in config.model.skip_benchmarks for name in config.benchmarks):
        raise ConfigError(
            f"model.skip_benchmarks of {config.model.name} names every benchmark that was chosen, and always_skip=true skips them."
        )
    for name in [name for name in config.benchmarks if name in config.model.skip_benchmarks]:
        del config.benchmarks[name]
        remedy = "always_skip=false" if config.always_skip else f"benchmark={name}"
        terminal.say(
            f"{name} is skipped: model.skip_benchmarks of {config.model.name} names it; {remedy} runs it."
        )
