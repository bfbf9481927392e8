"""The prompts of `scoring=loglikelihood`: a context, and the tokens of each choice behind it.

Words and tokens are lm-evaluation-harness's (0.4.13): examples as question, space and answer, an empty line between them; context and choice
are encoded together, and what stands behind the context's own tokens is the choice's. White space at the context's end, as after
a chat template, moves to the choice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llmbench.benchmarks.base import Benchmark
from llmbench.benchmarks.generic.choice_cells import LETTERS
from llmbench.config.choices import LikelihoodOf
from llmbench.config.schema import Config
from llmbench.engine.tokenizer import Tokenizer
from llmbench.engine.vllm.scoring import UNREAD
from llmbench.errors import ConfigError, DataError, ModelError
from llmbench.records import Choice, Request, Sample
from llmbench.run.prompts import Asked, system_prompt, turns_of
from llmbench.system import thinking


def check_choices(config: Config, benchmarks: Mapping[str, Benchmark]) -> None:
    """Refuses benchmarks without choices where their log-likelihoods are asked for.

    Raises:
        ConfigError: Names the first.
    """
    for name, benchmark in benchmarks.items():
        if config.benchmarks[name].asks_likelihoods and not benchmark.has_choices:
            raise ConfigError(
                f"scoring=loglikelihood is refused: the questions of {name} have no choices; set benchmarks.{name}.scoring=generate, or "
                f"leave {name} out of the run."
            )


@dataclass(frozen=True, slots=True)
class LikelihoodWriter:
    """Writes the prompts of one benchmark with choices, which the settings know by `name`."""

    config: Config
    name: str
    benchmark: Benchmark
    tokenizer: Tokenizer

    def ask(self, sample: Sample, question: str, examples: Sequence[Sample] = ()) -> Asked:  # noqa: ARG002 - its wording is another
        """Returns the context of one sample and its choices, through the chat template or as plain text.

        Raises:
            DataError: A choice is empty.
            ModelError: A choice has more tokens than the model's context.
        """
        chat, model = self.config.benchmarks[self.name].chat, self.config.model
        system = "\n\n".join(filter(None, [system_prompt(self.config, self.name), self._heading(sample)]))
        worked = [(self._prompt(each), LETTERS.index(each.target)) for each in examples]
        shown = [(prompt, texts[right]) for (prompt, texts), right in worked]
        asked, texts = self._prompt(sample)
        turns = turns_of(system, shown, asked) if chat else []
        if chat:
            text = self.tokenizer.chat(turns, model.chat_template_kwargs, model.template_date)
        else:
            text = "\n\n".join([*filter(None, [system]), *map(" ".join, shown), asked])
        ids = self.tokenizer.encode(text.rstrip(), special=not chat)
        wholes = [f"{text}{'' if chat else ' '}{each}" for each in texts]
        behind = [self.tokenizer.encode(whole, special=not chat)[len(ids) :] for whole in wholes]
        choices = tuple(map(Choice, LETTERS, texts, behind))
        self._check(sample, choices)
        return Asked(self.name, sample, text, ids, tuple(turns), choices)

    def _heading(self, sample: Sample) -> str:
        """What stands before everything, with the name of the question's subject: data sets write `high_school_physics`."""
        subject = (self.benchmark.subject(sample) or "").replace("_", " ")
        return (self.config.benchmarks[self.name].likelihood_heading or "").replace("{subject}", subject)

    def _prompt(self, sample: Sample) -> tuple[str, Sequence[str]]:
        """A prompt, and what may follow it."""
        by_letter = self.config.benchmarks[self.name].likelihood_of is LikelihoodOf.letter
        texts = self.benchmark.choices(sample)
        prompt = self.benchmark.likelihood_prompt(sample, shows_choices=by_letter)
        return prompt, LETTERS[: len(texts)] if by_letter else texts

    def _check(self, sample: Sample, choices: Sequence[Choice]) -> None:
        for choice in choices:
            if not choice.ids or not choice.text:
                raise DataError(
                    f"{self.name}: choice {choice.name} of question {sample.id} is empty, so that it has no log-likelihood; fix its row."
                )
        longest, room = max(len(choice.ids) for choice in choices), self.config.model.max_length - UNREAD
        if longest >= room:
            raise ModelError(
                f"{self.name}: a choice of question {sample.id} has {longest} tokens, more than model.max_length={room + UNREAD} holds "
                "behind a question; set it higher."
            )


def cut_from_the_left(requests: Sequence[Request], config: Config) -> list[str]:
    """Returns a sentence for each benchmark with questions that lose their beginning, since the model's context does not hold them."""
    said = []
    for name in config.benchmarks:
        asked = [request for request in requests if request.benchmark == name and request.choices]
        room = config.model.max_length - UNREAD
        cut = sum(len(r.prompt_ids) + max(len(c.ids) for c in r.choices) > room for r in asked)
        if cut:
            said.append(
                f"{name}: the beginning of {cut} of {len(asked)} prompts is cut off, since with a choice they are longer than "
                f"model.max_length={config.model.max_length} (scoring=loglikelihood); fewer worked examples or a longer context keep it."
            )
    return said


def choice_warnings(asked: Iterable[Asked]) -> list[str]:
    """Returns a sentence for each benchmark whose choices stand where the model's thinking would."""
    names = dict.fromkeys(each.benchmark for each in asked if each.choices and thinking.opened(each.text))
    return [
        f"{name}: the chat template begins the model's thinking, and the choices are scored as its first words; leave chat=true out, or end the "
        "thinking with model.chat_template_kwargs, such as {enable_thinking: false}."
        for name in names
    ]
