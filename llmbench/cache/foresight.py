"""Whether a run needs its engine at all: with every answer in the response cache, continuations included, nothing is loaded.

This is looked up as a whole before anything is loaded, not request by request: so all answers of a run that loads an engine are
under the keys that this engine makes itself, and loading begins at once where one answer is missing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmbench import data
from llmbench.asking import Exchange, continuation, search, without_result
from llmbench.benchmarks.base import Module
from llmbench.cache.engine import Basis, CachedEngine, remembered
from llmbench.cache.keys import Keys
from llmbench.engine import ahead
from llmbench.engine.base import Notice
from llmbench.errors import CacheError
from llmbench.grading import Grader
from llmbench.models import settings
from llmbench.questions import Questions, write_questions
from llmbench.records import Outcome, Result, Sample
from llmbench.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Foresight:
    """What was found out, and what had to be made for that.

    Attributes:
        cached: Stands for the engine; None where some answer is missing.
        tokenizer_s: Seconds of reading the tokenizer.
        prepare_s: Seconds of writing the prompts and looking them up.
    """

    tokenizer: Tokenizer
    questions: Questions
    cached: CachedEngine | None
    tokenizer_s: float
    prepare_s: float


def foresee(  # noqa: PLR0913, PLR0917 - what a run has by then
    basis: Basis,
    modules: Mapping[str, Module],
    read: Mapping[str, tuple[Sequence[Sample], data.DataSource]],
    results: Sequence[Result],
    notice: Notice,
    grader: Grader[Exchange],
) -> Foresight | None:
    """Looks all answers up; None where the keys cannot be known without loading, or an engine is loaded already.

    Args:
        basis: The settings, the checkpoint, and the pool, which holds the engine unprepared afterwards.
        modules: The benchmarks'.
        read: Their samples.
        results: Of sittings before: these are not asked again.
        notice: Told about trouble with the cache while requests run.
        grader: Its workers look which answers lack.

    Raises:
        ModelError: The tokenizer cannot be read.
    """
    basis.pool.open(basis.config, basis.checkpoint)
    if basis.pool.loaded:
        return None
    found = remembered(basis)
    if found is None:
        return None
    answers, known = found
    try:
        begun = time.monotonic()
        with ahead.text_only(settings(basis.checkpoint)):
            tokenizer = basis.pool.tokenizer(basis.config, basis.checkpoint)
        ready = time.monotonic()
        questions = write_questions(basis.config, modules, read, tokenizer)
        keys = Keys(known.setup, tokenizer if basis.checkpoint is None else None)
        cached = CachedEngine(known, answers, keys, basis, tokenizer, notice)
        complete = _complete(cached, basis, questions, tokenizer, results, grader)
    except BaseException:
        answers.give_up()
        raise
    if not complete:
        answers.give_up()
    return Foresight(
        tokenizer, questions, cached if complete else None, ready - begun, time.monotonic() - ready
    )


def _complete(  # noqa: PLR0913, PLR0917 - what keys and continuations are made of
    cached: CachedEngine,
    basis: Basis,
    questions: Questions,
    tokenizer: Tokenizer,
    results: Sequence[Result],
    grader: Grader[Exchange],
) -> bool:
    firsts: list[Exchange] = []
    try:
        for request in without_result(questions.requests, results):
            completion = cached.peek(request)
            if completion is None:
                return False
            firsts.append(Exchange(request, [completion]))
        for first in firsts:
            search(basis.config, questions, grader, first)
        missing = [
            continuation(basis.config, questions, tokenizer, first.request, first.completions[0])
            for first, score in grader.finished(wait=True)
            if score.outcome is Outcome.NO_ANSWER
        ]
        return all(cached.peek(request) is not None for request in missing)
    except CacheError:
        return False
