"""Makes a copy of a checkpoint's quantised weights, and compares its digest with that of a start that quantises and writes nothing."""

from llmbench.cache import main as cache
from llmbench.cli.compose import compose
from llmbench.engine.factory import find_checkpoint
from llmbench.engine.vllm import quantizing
from llmbench.engine.vllm.internals.quantized_weights import DIGEST
from llmbench.engine.vllm.weights_copy import copies


def main(*settings: str) -> None:
    assert cache(["quantize", *settings]) == 0
    (copy,) = copies()
    config = compose(list(settings))
    checkpoint = find_checkpoint(config)
    assert checkpoint is not None
    assert quantizing._digest(config, checkpoint, {DIGEST: "1"}) == copy.digest
