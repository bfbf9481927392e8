"""How far the confidence that a model states agrees with how often it is right."""

import itertools
import math
from collections.abc import Sequence

BIN = 100
"""Answers in a bin, as in the code of Humanity's Last Exam (hle_eval/run_judge_results.py), which has it from https://github.com/hendrycks/outlier-exposure."""


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
