"""What is said of the thinking in a benchmark's answers."""

from llmbench.results.thinking_use import ThinkingUse


def test_a_budget_is_said_to_have_ended_thinking_only_where_it_did() -> None:
    assert "the budget ended the thinking of 25.0% of the answers" in ThinkingUse(
        4, 64.0, 8.0, 0.25
    ).sentence(4)
    assert ThinkingUse(4, 102.0, 8.0, 0.0).sentence(4).endswith("; no thinking was ended by a budget.")
