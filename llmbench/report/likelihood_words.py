"""How acc_norm is shown beside the accuracy, where choices were scored by their log-likelihoods."""

from llmbench.results.likelihood import LikelihoodStatistics
from llmbench.system.number_format import count, interval, percent


def sentence(found: LikelihoodStatistics) -> str:
    """Returns what stands under the closing table."""
    tied = (
        f"; of {count(found.ties, 'question')} several choices have the largest, and the first counts"
        if found.ties
        else ""
    )
    return (
        "the accuracy is acc, by the choice with the largest log-likelihood; by the largest for each character, acc_norm, it is "
        f"{percent(found.acc_norm)} {interval(found.ci95)}{tied}."
    )


def facts(found: LikelihoodStatistics | None) -> list[tuple[str, str]]:
    """Returns the rows of a report's card; none where texts were graded."""
    if found is None:
        return []
    ties = [("ties", f"{found.ties} of {count(found.questions, 'question')}")] if found.ties else []
    return [("acc_norm", f"{percent(found.acc_norm)} {interval(found.ci95)}"), *ties]
