"""Humanity's Last Exam, text only: questions by experts of a hundred subjects that models failed when they were made (https://arxiv.org/abs/2501.14249).

Data: cais/hle, 2,500 test rows, of which 342 have an image and are left out; gated, and its authors ask that it is not passed on. A row's fields: `id`, `question`, `image` (a data
URI, empty where there is none), `answer`, `answer_type` (`exactMatch` or `multipleChoice`), `category`, `raw_subject`; the choices stand within the question.
Protocol: zero-shot, an explanation, an answer and a confidence from 0% to 100%; a judge says yes or no. The published judge was o3-mini with the authors' prompt; ours has words of its own for
the same question. The confidence is the last one that the text states, 100 where it states none, as in the authors' code; 0.85 and 1.0, numbers up to 1 with a decimal
point and without a percent sign, are shares.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmbench.benchmarks.base import check_options
from llmbench.benchmarks.dataset import Row, text_of
from llmbench.benchmarks.generic.texts import JudgedAnswer
from llmbench.benchmarks.rubric import Rubric
from llmbench.errors import DataError
from llmbench.records import Outcome, Result, Sample
from llmbench.system.number_format import count

RUBRIC = Rubric(
    {"YES": Outcome.CORRECT, "NO": Outcome.WRONG},
    """\
- Find the final answer that the answer comes to. Compare it with the reference and with nothing else: the reference is right, and the question is not to be solved again.
- YES: the final answer means the same as the reference; a number may differ by a small rounding error.
- NO: there is no final answer, or it is another one, an ambiguous one, or not equivalent.
- Of a multiple-choice question the letter or the text of the right choice will do, unless both are given and disagree.
- Neither the explanation nor the stated confidence counts.""",
)
CONFIDENCE = re.compile(
    r"confidence\W{0,6}?(?:\(?\s*(?:from\s+)?0\s*%?\s*(?:[-\u2013]|to)\s*(?:100\s*%?|1(?:\.0)?)\W{0,6}?)?(?P<number>\d{1,3}(?:\.\d+)?|(?<!\d)\.\d+)(?P<percent>\s*\\?%)?",
    re.IGNORECASE,
)
"""A number behind the word, and behind the range that a model may repeat: "Confidence (0-100%): 85%"."""
CERTAIN = 100
BIN = 100
"""Answers in a bin, as in the code of Humanity's Last Exam (hle_eval/run_judge_results.py), which has it from https://github.com/hendrycks/outlier-exposure."""


class HLE(JudgedAnswer):
    """Questions of many subjects, with the confidence that the model states."""

    columns = ("id", "question", "answer", "image")
    subject_fields = ("subject",)
    rubric = RUBRIC
    _with_image = 0

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        """Samples of the rows without an image, under their own ids.

        Raises:
            DataError: Each row has an image.
        """
        check_options("hle", options, {})
        samples = [_sample(row, index) for index, row in enumerate(rows) if not row["image"]]
        self._with_image = len(rows) - len(samples)
        if not samples:
            raise DataError("hle: each row has an image, and only questions without one are asked.")
        return samples

    def data_notes(self, samples: Sequence[Sample]) -> list[str]:
        """How many questions were left out."""
        left = count(self._with_image, "question")
        return [f"With an image, and therefore left out: {left}."] if self._with_image else []

    def details(self, results: Sequence[Result]) -> dict[str, Any] | None:
        """How far stated confidence and verdicts agree: see `calibration_error`; over the answers that have a verdict.

        `calibration_error` is as published, which leaves the most confident bin out, `calibration_error_all_bins` has it; `confidence_not_stated` are
        answers that count as certain.
        """
        judged = [r for r in results if r.judgement is not None and r.judgement.verdict is not None]
        if not judged:
            return None
        stated = [_confidence(r.score.answer or "") for r in judged]
        pairs = [
            (min(CERTAIN, CERTAIN if found is None else found) / CERTAIN, r.score.value)
            for found, r in zip(stated, judged, strict=True)
        ]
        return {
            "calibration_error": calibration_error(pairs),
            "calibration_error_all_bins": calibration_error(pairs, all_bins=True),
            "mean_confidence": sum(confidence for confidence, _ in pairs) / len(pairs),
            "confidence_not_stated": stated.count(None),
        }


def _sample(row: Row, index: int) -> Sample:
    text_of(row, "question", index)
    fields = {"question": row["question"], "subject": row.get("category")}
    return Sample(text_of(row, "id", index), fields, text_of(row, "answer", index))


def _confidence(text: str) -> float | None:
    """The last confidence that a text states, in percent."""
    found = list(CONFIDENCE.finditer(text))
    if not found:
        return None
    number, value = found[-1]["number"], float(found[-1]["number"])
    is_share = "." in number and value <= 1 and not found[-1]["percent"]
    return value * 100 if is_share else value


def calibration_error(pairs: Sequence[tuple[float, float]], *, all_bins: bool = False) -> float | None:
    """Returns the root of the mean squared difference between confidence and accuracy over bins of answers of like confidence.

    The answers are sorted by confidence and cut into bins of a hundred, the last of which takes the rest. The published code leaves the last bin, which is
    the most confident one, out of the sum, though its answers count in the weights; with one bin nothing is left then.

    Args:
        pairs: Confidence and value of each answer, both from 0 to 1.
        all_bins: Take the last bin too; where there are fewer than a hundred answers, they are one bin.

    Returns:
        The error from 0 to 1; None where there are too few answers.

    >>> calibration_error([(1.0, 0.0)] * 50 + [(1.0, 1.0)] * 50, all_bins=True)
    0.5
    >>> calibration_error([(0.6, 0.0)] * 100 + [(1.0, 0.0)] * 100)
    0.4242640687119285
    """
    ordered = sorted(pairs, key=lambda pair: pair[0])
    bins = max(1, len(ordered) // BIN)
    edges = [*range(0, bins * BIN, BIN), len(ordered)]
    counted = bins if all_bins else bins - 1
    if not ordered or not counted:
        return None
    total = 0.0
    for begin, end in list(itertools.pairwise(edges))[:counted]:
        part = ordered[begin:end]
        confidence, right = (math.fsum(column) / len(part) for column in zip(*part, strict=True))
        total += len(part) / len(ordered) * (confidence - right) ** 2
    return math.sqrt(total)
