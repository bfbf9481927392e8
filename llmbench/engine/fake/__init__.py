"""An engine without a model: repeatable, instant, and able to misbehave on demand. For the pipeline's own tests.

It answers what `reply` says, cut into words that stand for tokens, one word a step, under the same batch size, stop
strings and token limits as a real engine. Its clock counts steps, a millisecond each.
"""

from llmbench.engine.fake.engine import FakeEngine, Reply, nonsense
from llmbench.engine.fake.misbehaviour import Death, Hang, Misbehaviour, TooLittle
from llmbench.engine.fake.tokenizer import WordTokenizer

__all__ = ["Death", "FakeEngine", "Hang", "Misbehaviour", "Reply", "TooLittle", "WordTokenizer", "nonsense"]
