"""What is said of the thinking in a benchmark's answers."""

from llmbench.results.thinking_use import ThinkingUse


def test_a_budget_is_named_only_where_it_ended_thinking() -> None:
    free = ThinkingUse(answers=3, tokens_mean=120, answer_tokens_mean=8)
    assert free.sentence() == "120 tokens of thinking and 8 of answering on average."
    ended = ThinkingUse(answers=3, tokens_mean=64, answer_tokens_mean=8, ended=0.5)
    assert ended.sentence().endswith("on average; the budget ended the thinking of 50.0% of the answers.")
