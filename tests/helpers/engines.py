"""The fake engine with a test's own replies."""

from llmbench.config.schema import Config
from llmbench.engine.base import ModelEngine
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.fake import FakeEngine, Misbehaviour, Reply
from llmbench.engine.fake.engine import Likelihood, guesses
from llmbench.records import Request
from llmbench.run.engine_pool import EnginePool, Engines


class TwoSteps:
    """A model's replies in two steps, a stop string between them; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, request: Request) -> str:
        self.asked.append(request.id)
        number = len(request.sample_id)
        return f" {number}." if request.id.endswith("+") else "Let me see. Therefore it is so."


class FakeEngines:
    """The fake engine with a reply of the test's own, or with `likelihood`; keeps the engine it opened."""

    def __init__(self, reply: Reply, **options: object) -> None:
        self.reply, self.options = reply, options
        self.likelihood: Likelihood = guesses
        self.opened: FakeEngine | None = None

    def open(self, config: Config, checkpoint: Checkpoint | None) -> ModelEngine:
        assert checkpoint is None
        assert config.model.name
        misbehaviour = Misbehaviour(**self.options)  # type: ignore[arg-type]
        self.opened = FakeEngine(None, self.reply, misbehaviour, self.likelihood)
        return self.opened

    def pool(self) -> EnginePool:
        return EnginePool(Engines(find_checkpoint=lambda _: None, open_engine=self.open))
