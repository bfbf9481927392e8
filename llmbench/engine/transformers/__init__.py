"""transformers as an engine: the guide's own method, so that what vLLM gains can be measured with the same requests.

A batch is formed of what waits (`batching.py`), padded on the left and decoded until its last row ends; only then comes the
next. A row that ended gives its completion at once and keeps its place, as in `generate`. Every step is one pass through
the model. A batch holds requests of one token limit, as the guide's benchmarks run one after another with a limit each,
and continuations go before everything else.

Nothing of transformers' `generate` is used: tokens are chosen, limits counted and stop strings found here, by vLLM's rules.
"""

from llmbench.engine.transformers.checks import check_machine
from llmbench.engine.transformers.engine import TransformersEngine

__all__ = ["TransformersEngine", "check_machine"]
