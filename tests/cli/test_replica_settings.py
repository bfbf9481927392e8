"""Which numbers of replicas are refused, and that a single engine knows nothing of Ray."""

from pathlib import Path

import pytest

from llmbench.errors import ConfigError
from tests.helpers.commands import python
from tests.helpers.settings import compose


@pytest.mark.parametrize("replicas", ["0", "-1", "1.5", "x", "null", "true"])
def test_only_whole_numbers_and_auto_are_taken(replicas: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.replicas"):
        compose(["benchmark=arithmetic", f"engine.replicas={replicas}"])


@pytest.mark.parametrize("replicas", ["2", "auto"])
@pytest.mark.parametrize("engine", ["fake", "vllm"])
def test_these_engines_have_replicas(engine: str, replicas: str) -> None:
    config = compose(["benchmark=arithmetic", f"engine={engine}", f"engine.replicas={replicas}"])
    assert str(config.engine.replicas) == replicas


SERVER = ("engine.base_url=http://127.0.0.1:1/v1", "model=served", "engine.served_model=x")


@pytest.mark.parametrize(
    "engine", [("engine=transformers",), ("engine=endpoint", *SERVER)], ids=["transformers", "endpoint"]
)
def test_others_have_none(engine: tuple[str, ...]) -> None:
    with pytest.raises(
        ConfigError, match=r"only engine=vllm and engine=fake have replicas, and this is engine="
    ):
        compose(["benchmark=arithmetic", *engine, "engine.replicas=2"])


def test_a_single_engine_is_on_no_cluster() -> None:
    with pytest.raises(ConfigError, match=r"engine\.ray_address=there:6379 is refused: a single engine"):
        compose(["benchmark=arithmetic", "engine=fake", "engine.ray_address=there:6379"])


def test_one_engine_imports_nothing_of_ray(tmp_path: Path) -> None:
    code = (
        "import sys; from llmbench.cli.main import main\n"
        "status = main(['benchmark=arithmetic', 'engine=fake', 'limit=4', 'engine.replicas=1', 'hydra.run.dir=run'])\n"
        "print(status, sorted(name for name in sys.modules if name.split('.')[0] == 'ray'),\n"
        "      'llmbench.engine.replicas.engine' in sys.modules)"
    )
    done = python("-c", code, folder=tmp_path)
    assert done.stdout.splitlines()[-1] == "0 [] False", done.stderr
