from llmbench import references
from llmbench.cli import compose
from llmbench.config import Config
from llmbench.references import Comparison
from llmbench.summary import Summary


def compared(config: Config, *, comparable: bool = True) -> list[Comparison]:
    reasons = [] if comparable else ["10 of aime's 30 questions"]
    found = Summary(
        "finished", config.model.name, config.profile.name, comparable=comparable, not_comparable=reasons
    )
    return list(references.comparisons(config, found))


def r1(*overrides: str) -> Config:
    return compose(["benchmark=aime", "model=r1_qwen14b", "profile=published", *overrides])


def test_only_the_same_model_is_compared() -> None:
    assert compared(compose(["benchmark=aime", "model=qwen7b", "profile=published"])) == []
    assert [c.reference.value for c in compared(r1())] == [0.697]


def test_the_same_settings_are_comparable_and_others_are_named() -> None:
    (same,) = compared(r1("sampling.repeats=64", "model.quantization=null"))
    assert same.comparable
    (other,) = compared(r1("sampling.repeats=8", "sampling.temperature=0"), comparable=False)
    assert not other.comparable
    text = references.sentence(other)
    for part in (
        "repeats 8 here, 64 there",
        "temperature 0.0 here, 0.6 there",
        "bitsandbytes",
        "10 of aime's 30 questions",
    ):
        assert part in text


def test_what_a_source_does_not_state_is_said() -> None:
    qwen = compose(["benchmark=gpqa", "model=qwen14b", "profile=published", "model.quantization=null"])
    stated, simple = compared(qwen)
    assert "temperature" in stated.unknown
    assert "not stated there" in references.sentence(stated)
    assert "fewshot" not in simple.unknown
