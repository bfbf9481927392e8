"""Where a server is, and how one logs in."""

import base64
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from llmbench.config.endpoint import from_environment
from llmbench.config.engine import EngineConfig
from llmbench.errors import ConfigError
from llmbench.system import redaction


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and how one logs in; `url` says nothing of the latter."""

    url: str
    key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, engine: EngineConfig) -> Self:
        """Takes key and headers out of the environment; from then on they are kept out of everything that is written.

        Raises:
            ConfigError: There is no address, or a variable is not set.
        """
        if not engine.base_url:
            raise ConfigError("engine=endpoint needs an address; set engine.base_url=http://HOST:PORT/v1.")
        variable = engine.api_key_env
        key = from_environment("engine.api_key_env", variable) if variable else None
        headers = {
            str(name): from_environment(f"engine.headers_env.{name}", str(variable))
            for name, variable in engine.headers_env.items()
        }
        url, login = without_login(engine.base_url.rstrip("/"))
        if login is not None:
            headers.setdefault("Authorization", login)
        words = [
            word for value in headers.values() for word in value.split()
        ]  # of `Bearer KEY` the key alone too
        redaction.learn({"api_key": [key or "", *headers.values(), *words], "base_url": engine.base_url})
        return cls(url, key, tuple(headers.items()))

    def options(self) -> dict[str, Any]:
        """Returns the arguments of an `openai` client; repeating a request is our own work."""
        return {
            "base_url": self.url,
            "api_key": self.key or "none",  # the client must send one
            "default_headers": dict(self.headers),
            "max_retries": 0,
        }

    def outside_api(self, page: str) -> str:
        """Returns the address of a page that stands beside the API, as `version` and `metrics` do."""
        parts = urlsplit(self.url)
        path = f"{parts.path.removesuffix('/v1')}/{page}"
        return parts._replace(path=path, query="", fragment="").geturl()


def without_login(url: str) -> tuple[str, str | None]:
    """Returns an address without its user and password, and the HTTP header that logs in with these."""
    parts = urlsplit(url)
    login, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, None
    encoded = base64.b64encode(unquote(login).encode()).decode()
    return parts._replace(netloc=place).geturl(), f"Basic {encoded}"
