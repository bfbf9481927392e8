from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.benchmarks.dataset import Row
from llmbench.engine.fake import WordTokenizer
from llmbench.records import Sample
from llmbench.run import selection
from llmbench.run.request_plan import RequestPlan
from tests.helpers.settings import compose

CALLS: Counter[str] = Counter()


class Counting(Arithmetic):
    """Counts what is asked of it."""

    def load(self, rows: Sequence[Row], options: Mapping[str, Any], seed: int) -> list[Sample]:
        CALLS["load"] += 1
        return super().load(rows, options, seed)

    def question(self, sample: Sample) -> str:
        CALLS[sample.id] += 1
        return super().question(sample)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> RequestPlan:
    CALLS.clear()
    monkeypatch.setattr(
        selection, "choose", lambda *given, draw=selection.choose: (CALLS.update(["draw"]), draw(*given))[1]
    )
    settings = ["benchmark=arithmetic", "limit=5", f"benchmarks.arithmetic.module={__name__}"]
    return RequestPlan.read(compose(settings))


def test_samples_are_drawn_and_rendered_once(plan: RequestPlan) -> None:
    part = plan.samples["arithmetic"]
    plan.workload()
    questions = plan.write(WordTokenizer())
    assert Counter({sample.id: 1 for sample in part.chosen} | {"load": 1, "draw": 1}) == CALLS
    assert questions.samples_of("arithmetic") == [sample.id for sample in part.chosen]
    assert questions.samples["arithmetic"] is part
    assert questions.totals() == {"arithmetic": 5}
    assert len(part.available) > len(part.chosen) == len(part.questions) == 5
