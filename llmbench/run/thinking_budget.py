"""Thinking that ends after so many tokens (`sampling.thinking_budget`), and how much of each answer was thinking.

The first request's limit is the budget. Where it cuts a text whose think block is open, one more request follows: the same tokens, prompt
and output, so that the prefix cache serves them, behind them the closing of the block in the model's own format, and then the answer. Where
the block was closed before, what remains of `max_tokens` is asked for in the same way, without any words in between.
A budget of 0 closes the block in the prompt.
"""

from collections.abc import Sequence
from dataclasses import replace

from llmbench.config import thinking as limits
from llmbench.config.schema import Config
from llmbench.engine.tokenizer import Tokenizer
from llmbench.records import Completion, FinishReason, Request, Thinking
from llmbench.run import elicitation
from llmbench.run.elicitation import Exchange
from llmbench.run.prompts import Asked
from llmbench.system import thinking


def goes_on(exchange: Exchange, asked: Asked, config: Config, tokenizer: Tokenizer) -> Request | None:
    """Returns the request that goes on with a text which the budget's limit cut; None where it stays as it ended."""
    budget, (last, *others) = config.sampling.thinking_budget, exchange.completions
    limit = config.benchmarks[asked.benchmark].max_tokens
    if not budget or budget > limit or not asked.think_tag or others:
        return None
    if last.finish_reason is not FinishReason.LENGTH:
        return None
    words = thinking.ending(thinking.opened(asked.text) + last.text, asked.think_tag)
    exchange.ends_thinking = bool(words)
    left = limits.answer_tokens(config, asked.benchmark) if words else limit - last.output_tokens
    if left <= 0:
        return None
    return exchange.go_on(words, replace(exchange.request.sampling, max_tokens=left), tokenizer)


def thinking_of(exchange: Exchange, asked: Asked, config: Config, tokenizer: Tokenizer) -> Thinking | None:
    """Returns how much of an answer was thinking; None where there was no think block, or its tokens are not known here.

    Where the model closed its block itself, or opened another behind the budget, the answer's text is encoded again: its count may be off
    by a token or two.
    """
    made = exchange.completions
    if not made or not asked.ids or made[0].choices:
        return None
    own = made[:-1] if exchange.has_cued_answer else made
    first = 0  # tokens of thinking that the budget ended
    cues = exchange.cues
    if ended := exchange.ends_thinking and len(made) > 1:
        first, own, cues = made[0].output_tokens, own[1:], cues[1:]
    ended = ended or bool(asked.think_tag and config.sampling.thinking_budget == 0)
    thought = _thought(thinking.opened(asked.text) if not ended else "", own, cues, tokenizer)
    if thought is None and not ended:
        return None
    thought = first + (thought or 0)
    return Thinking(thought, sum(each.output_tokens for each in made) - thought, ended=ended)


def _thought(
    opened: str, made: Sequence[Completion], cues: Sequence[str], tokenizer: Tokenizer
) -> int | None:
    """Returns the tokens of thinking in what a model wrote behind its prompt's tag; None where it has no think block."""
    if not made:
        return None
    text = opened + elicitation.joined(made, cues, tokenizer) + (made[-1].stop_string or "")
    begins = thinking.answer_begins(text)
    if begins is None:
        return None
    answer = len(tokenizer.encode(text[begins:], special=False)) if begins < len(text) else 0
    return max(0, sum(completion.output_tokens for completion in made) - answer)


def notices(asked: Sequence[Asked], config: Config) -> list[str]:
    """Returns a sentence for each benchmark in which the budget changes nothing, as is known before anything is asked."""
    budget, found = config.sampling.thinking_budget, []
    if budget is None:
        return []
    for name, benchmark in config.benchmarks.items():
        own = [each for each in asked if each.benchmark == name]
        if benchmark.asks_likelihoods:
            why = "with scoring=loglikelihood nothing is written"
        elif own and not any(each.think_tag for each in own):
            why = "the prompt opens no think block, and no chat template in use names one"
            if thinking.closed(own[0].text):
                why = "the prompt ends the model's thinking already (model.chat_template_kwargs may begin it)"
        elif budget > benchmark.max_tokens:
            why = f"benchmarks.{name}.max_tokens={benchmark.max_tokens} ends every text before"
        else:
            continue
        found.append(f"{name}: sampling.thinking_budget={budget} changes nothing: {why}.")
    return found
