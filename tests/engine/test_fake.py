"""The engine without a model: what it is told to do wrong."""

import pytest

from llmbench.engine.fake.misbehaviour import Death, Misbehaviour
from llmbench.errors import ConfigError
from tests.helpers.settings import compose


def told(args: str) -> Misbehaviour:
    return Misbehaviour.from_config(compose(["benchmark=arithmetic", "engine=fake", f"engine.args={args}"]))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("{dye: {}}", "engine.args has no 'dye' for engine=fake; did you mean die"),
        ("{die: {on: [a], times: 2}}", "engine.args.die has no 'times' for engine=fake"),
        ("{thinks: {word: 3}}", "engine.args.thinks has no 'word' for engine=fake; did you mean words"),
        ("{hang: {killed: 1}}", "engine.args.hang has no 'killed'"),
        ("{too_little: {cause: running, twice: 1}}", "engine.args.too_little has no 'twice'"),
        ("{die: 3}", "engine.args.die must be an object, not 3."),
    ],
)
def test_what_it_does_not_know_is_refused(args: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        told(args)
    assert words in str(raised.value)


def test_a_death_is_read_with_its_samples() -> None:
    assert told("{die: {on: ['3'], after: 5}}").die == Death(frozenset({"3"}), 5)
