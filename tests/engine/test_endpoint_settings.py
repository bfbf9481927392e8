import pytest

from llmbench.cli.compose import compose
from llmbench.config.choices import Api, EarlyStopping
from llmbench.engine import factory
from llmbench.engine.endpoint import server as servers
from llmbench.engine.endpoint.address import Address
from llmbench.errors import ConfigError, EngineError
from llmbench.system import redaction
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import StandIn, serving

REFUSED = [
    (["engine.base_url=localhost:8000"], "engine.base_url must be an address"),
    (["engine.base_url=http://host:port/v1"], "engine.base_url must be an address"),
    (["engine.retry_s=-1"], r"engine\.retry_s=-1"),
    (["engine.extra_body={stream: false}"], r"engine\.extra_body\.stream is refused"),
    (["engine.price={inputs: 1}"], r"engine\.price\.inputs is refused"),
    (["engine.price={input: -1}"], r"engine\.price\.input=-1"),
    (["engine.max_cost=5"], r"engine\.max_cost needs both prices"),
    (["engine.max_cost=0", "engine.price={input: 1, output: 1}"], r"engine\.max_cost=0"),
    (["engine.api=text"], "text"),
]


@pytest.mark.parametrize(("more", "sentence"), REFUSED)
def test_settings_that_cannot_be_are_refused(more: list[str], sentence: str) -> None:
    known = ["engine=endpoint", "engine.base_url=http://localhost:1/v1", "engine.served_model=org/tiny"]
    with pytest.raises(ConfigError, match=sentence):
        compose([*known, *more])


def test_the_settings_have_their_defaults() -> None:
    engine = compose(
        ["engine=endpoint", "engine.base_url=http://localhost:1/v1", "engine.served_model=org/tiny"]
    ).engine
    assert (engine.api, engine.retry_s, engine.max_cost) == (Api.chat, 300, None)
    assert not any((engine.extra_body, engine.headers_env, engine.price))


def test_without_a_model_the_run_has_the_served_ones_name_and_neutral_sampling() -> None:
    with serving() as server:
        config = compose(overrides(server))
    assert (config.model.name, config.model.hub_id) == ("org--tiny", "org/tiny")
    assert (config.sampling.temperature, config.sampling.top_p, config.sampling.top_k) == (0.0, 1.0, 0)


def test_the_context_is_the_servers() -> None:
    with serving(StandIn(max_length=777)) as server:
        config, said = factory.complete(compose(overrides(server)))
    assert config.model.max_length == 777
    assert not said


def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    with serving() as server:
        gone = overrides(server)
    with pytest.raises(
        ConfigError, match=r"does not answer as a server of OpenAI's API does .*check engine\.base_url"
    ):
        compose(gone)


def test_which_of_several_models_is_meant_must_be_said() -> None:
    with serving(StandIn(models=("a/one", "b/two"))) as server:
        with pytest.raises(ConfigError, match=r"serves a/one, b/two; say with engine\.served_model=NAME"):
            compose(overrides(server))
        assert compose(overrides(server, "engine.served_model=b/two")).model.name == "b--two"
        with pytest.raises(ConfigError, match=r"engine\.served_model=c is refused.*a/one, b/two"):
            servers.look(compose(overrides(server, "engine.served_model=c")).engine)


def test_a_key_that_is_missing_or_wrong_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(StandIn(key="sesame-sesame")) as server:
        with pytest.raises(ConfigError, match=r"refuses \(401: .*set engine\.api_key_env"):
            compose(overrides(server))
        with pytest.raises(ConfigError, match="there is no environment variable of this name"):
            compose(overrides(server, "engine.api_key_env=NO_SUCH_KEY"))
        monkeypatch.setenv("MY_KEY", "sesame-sesame")
        assert compose(overrides(server, "engine.api_key_env=MY_KEY")).model.name == "org--tiny"


def test_a_key_is_hidden_without_the_word_before_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_HEADER", "Bearer sesame-street-1")
    known = ["engine=endpoint", "engine.base_url=http://localhost:1/v1", "engine.served_model=org/tiny"]
    Address.of(compose([*known, "engine.headers_env={Authorization: MY_HEADER}"]).engine)
    assert redaction.without_secrets("wrong key sesame-street-1") == "wrong key ***"
    assert redaction.without_secrets("a Bearer of news") == "a Bearer of news"


SAME = [
    ("Qwen/Qwen2.5-14B-Instruct", None),
    ("qwen/qwen2.5-14b-instruct", None),
    ("Qwen2.5-14B-Instruct", None),
    ("alias", "Qwen/Qwen2.5-14B-Instruct"),
    ("alias", "/data/models--Qwen--Qwen2.5-14B-Instruct/snapshots/0a1b"),
    ("alias", "/data/Qwen2.5-14B-Instruct"),
]
OTHERS = [
    ("Qwen/Qwen2.5-7B-Instruct", None),
    ("other/Qwen2.5-14B-Instruct", None),
    ("HuggingFaceTB/SmolLM2-135M-Instruct", None),
    ("alias", None),
]


def served(model: str, root: str | None) -> servers.Server:
    return servers.Server(Address("http://localhost:1/v1"), model, root)


@pytest.mark.parametrize(("model", "root"), SAME)
def test_a_model_by_name_is_taken_where_the_server_serves_it(model: str, root: str | None) -> None:
    config = compose(["engine=endpoint", "engine.base_url=http://localhost:1/v1", "model=qwen14b"])
    servers.check_identity(config, served(model, root))


@pytest.mark.parametrize(("model", "root"), OTHERS)
def test_a_model_by_name_is_refused_where_the_server_serves_another(model: str, root: str | None) -> None:
    known = ["engine=endpoint", "engine.base_url=http://localhost:1/v1", "model=qwen14b"]
    with pytest.raises(
        ConfigError, match=r"model=.* is refused: it is Qwen/Qwen2\.5-14B-Instruct, and the server"
    ):
        servers.check_identity(compose(known), served(model, root))
    servers.check_identity(compose([*known, f"engine.served_model={model}"]), served(model, root))


def test_what_a_server_is_not_is_never_reported_as_smollm2() -> None:
    config = compose(["engine=endpoint", "engine.base_url=http://localhost:1/v1", "model=smollm2"])
    with pytest.raises(ConfigError, match="model=smollm2 is refused"):
        servers.check_identity(config, served("org/tiny", None))


def test_without_vllm_no_answer_is_asked_for_and_the_run_says_so() -> None:
    with serving(StandIn(vllm=False)) as server:
        config, said = factory.complete(
            compose(overrides(server, "sampling.top_k=5", "sampling.temperature=1"))
        )
    assert config.early_stopping is EarlyStopping.cut
    assert any("whether it heeds sampling.top_k is not known" in sentence for sentence in said)
    assert any("no missing answer is asked for" in sentence for sentence in said)


def test_more_stop_strings_than_the_api_takes_are_refused() -> None:
    stops = "benchmarks.arithmetic.stop=[aa,bb,cc,dd,ee]"
    with serving(StandIn(vllm=False)) as server:
        with pytest.raises(ConfigError, match=r"benchmarks\.arithmetic\.stop has 5 strings"):
            factory.complete(compose(overrides(server, stops)))
        factory.complete(compose(overrides(server, stops, "early_stopping=off")))
    with serving() as server:
        factory.complete(compose(overrides(server, stops)))


def test_a_plain_text_needs_completions() -> None:
    with serving() as server, pytest.raises(ConfigError, match=r"set engine\.api=completions"):
        factory.complete(compose(overrides(server, "chat=false")))


def test_a_budget_of_thinking_needs_completions() -> None:
    with serving(StandIn()) as server:
        config = compose([*overrides(server), "sampling.thinking_budget=64"])
        with pytest.raises(
            ConfigError, match=r"sampling\.thinking_budget=64 is refused with engine\.api=chat.*completions"
        ):
            factory.complete(config)


def test_a_server_without_a_list_is_taken_by_the_name_that_is_typed() -> None:
    with serving() as server:
        config = compose(["engine=endpoint", f"engine.base_url={server.url}/no", "engine.served_model=mine"])
        assert servers.look(config.engine).model == "mine"


def test_a_gone_server_is_an_engine_error_where_the_engine_looks() -> None:
    with serving() as server:
        config = compose(overrides(server))
    with pytest.raises(EngineError, match="does not answer"):
        servers.look(config.engine)
