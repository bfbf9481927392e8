"""The server: where it is, what it serves, and whether that is the model that was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from llmbench.config.engine import EngineConfig
from llmbench.config.schema import Config, ModelConfig
from llmbench.engine.checkpoint_settings import name_of
from llmbench.engine.endpoint.address import Address
from llmbench.engine.endpoint.trouble import refusal, root_cause
from llmbench.errors import ConfigError, EngineError, first_line
from llmbench.telemetry.engine_report import ServerIdentity, ServerReport

if TYPE_CHECKING:
    from openai import OpenAI

NO_LIST = (404, 405)
"""What a server answers that lists no models, which it need not."""
LOOK_S = 10.0
"""How long a server may take to say what it serves."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself.

    Attributes:
        model: The model, as the server calls it.
        root: What it was loaded from, where that is said.
        max_length: Tokens of prompt and answer together, where that is said.
        vllm: Whether it is vLLM's.
    """

    address: Address
    model: str
    root: str | None = None
    max_length: int | None = None
    vllm: bool = False
    version: str | None = None

    @property
    def name(self) -> str:
        """The model, and what it was loaded from where that is another name."""
        return self.model if self.root in (None, self.model) else f"{self.model} ({self.root})"

    @classmethod
    def of(cls, known: ServerIdentity) -> Self:
        """Returns a server as a run's files have it; nobody can log in there."""
        return cls(
            Address(known.address), known.model, known.root, known.max_length, known.vllm, known.version
        )

    def report(self, api: str) -> ServerReport:
        """Returns what a run's files say of it, before it is asked anything."""
        return ServerReport(
            self.address.url, self.model, api, self.root, self.vllm, self.version, self.max_length
        )


def look(engine: EngineConfig) -> Server:
    """Asks a server what it serves.

    Raises:
        ConfigError: The settings do not say which model is meant.
        EngineError: The server does not answer, or refuses.
    """
    from openai import APIStatusError, OpenAI

    address = Address.of(engine)
    with OpenAI(**address.options(), timeout=LOOK_S) as client:
        try:
            listed = [
                row for row in (model.model_dump() for model in client.models.list().data) if row.get("id")
            ]
        except APIStatusError as error:
            if error.status_code in NO_LIST:
                return Server(address, _typed(engine, address))
            raise EngineError(refusal(address.url, error.status_code, error)) from error
        except Exception as error:  # of several libraries, and of whatever is answered that is no list
            raise EngineError(
                f"{address.url} does not answer as a server of OpenAI's API does ({first_line(root_cause(error))}); "
                "check engine.base_url, which mostly ends in /v1, and whether the server is running."
            ) from error
        if not listed:
            return Server(address, _typed(engine, address))
        row = _chosen(listed, engine.served_model, address)
        vllm = row.get("owned_by") == "vllm"
        root, length = row.get("root"), row.get("max_model_len")
        return Server(
            address,
            str(row["id"]),
            root if isinstance(root, str) else None,
            length if isinstance(length, int) else None,
            vllm=vllm,
            version=_version(client, address) if vllm else None,
        )


def _typed(engine: EngineConfig, address: Address) -> str:
    """Returns the model's name where the server does not say it."""
    if not engine.served_model:
        raise ConfigError(
            f"{address.url} lists no models; say with engine.served_model=NAME which one is meant, and check the address, which mostly "
            "ends in /v1."
        )
    return engine.served_model


_looked: dict[tuple[Address, str | None], Server] = {}


def remembered(engine: EngineConfig) -> Server:
    """Returns what the server said when this process asked it first, for what is decided before a run begins.

    Raises:
        ConfigError, EngineError: As `look`.
    """
    known = Address.of(engine), engine.served_model
    if known not in _looked:
        _looked[known] = look(engine)
    return _looked[known]


def _chosen(listed: Sequence[Mapping[str, Any]], name: str | None, address: Address) -> Mapping[str, Any]:
    """Returns the row of the model that is meant."""
    names = [str(row["id"]) for row in listed]
    if name is not None:
        found = [row for row in listed if row["id"] == name]
        if not found:
            raise ConfigError(
                f"engine.served_model={name} is refused: {address.url} serves {_few(names)}; choose one of them."
            )
        return found[0]
    if len(listed) != 1:
        raise ConfigError(
            f"{address.url} serves {_few(names)}; say with engine.served_model=NAME which one is meant."
        )
    return listed[0]


SHOWN = 5


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(sorted(names)[:SHOWN]) or 'no model'}{more}"


def _version(client: "OpenAI", address: Address) -> str | None:
    """Returns what vLLM says of its version, which stands beside the API."""
    try:
        said = client.get(address.outside_api("version"), cast_to=object)
    except Exception:  # noqa: BLE001 - what is only shown ends no run
        return None
    found = said.get("version") if isinstance(said, Mapping) else None
    return found if isinstance(found, str) else None


def check_identity(config: Config, server: Server) -> None:
    """Refuses to report a model's name for answers of another one.

    Raises:
        ConfigError: The settings' model and the served one contradict each other.
    """
    if config.engine.served_model is not None or same_model(config.model, server):
        return
    asked = config.model.path or config.model.hub_id or config.model.name
    raise ConfigError(
        f"model={config.model.name} is refused: it is {asked}, and the server serves {server.name}; leave model= out, or say with "
        f"engine.served_model={server.model} that they are the same."
    )


def same_model(model: ModelConfig, server: Server) -> bool:
    """Whether the settings' model has a name of the served one; where one of the two has no owner, the rest is compared."""
    asked = [name for name in (model.path, model.hub_id) if name] or [model.name]
    served = [name for name in (server.model, server.root) if name]
    return any(_agree(_plain(one), _plain(other)) for one in asked for other in served)


def _agree(one: str, other: str) -> bool:
    owners = [bool(name.rpartition("--")[0]) for name in (one, other)]
    return one == other or (not all(owners) and one.rpartition("--")[2] == other.rpartition("--")[2])


def _plain(name: str) -> str:
    """A name as `name_of` gives it, in small letters; a path becomes the name of its checkpoint."""
    local = name.startswith(("/", "~", "."))
    return name_of(name, None).casefold() if local else name_of(None, name).casefold()
