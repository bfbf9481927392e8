"""How acc_norm is shown beside the accuracy, where choices were scored by their log-likelihoods."""

from llmbench.results.likelihood import LikelihoodStatistics
from llmbench.system.number_format import interval, percent


def sentence(found: LikelihoodStatistics) -> str:
    """Returns what stands under the closing table."""
    return (
        "the accuracy is acc, by the choice with the largest log-likelihood; by the largest for each character, acc_norm, it is "
        f"{percent(found.acc_norm)} {interval(found.ci95)}."
    )


def facts(found: LikelihoodStatistics | None) -> list[tuple[str, str]]:
    """Returns the rows of a report's card; none where texts were graded."""
    return [] if found is None else [("acc_norm", f"{percent(found.acc_norm)} {interval(found.ci95)}")]
