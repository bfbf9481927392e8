"""What page and terminal say of a server that had the model: what is measured is the client's view of it."""

from llmbench.results.manifest import Manifest
from llmbench.system.number_format import count, number, seconds
from llmbench.telemetry.engine_report import EngineReport, ServerIdentity, ServerReport

NOT_KNOWN = "Times are this client's view; the server's GPU, memory and energy are not known."

SHORTEST_S = 0.1
"""Less waiting, of all requests together, is not worth a sentence."""


def server_of(engine: EngineReport | None) -> ServerReport | None:
    """Returns the server that had the model; None where it was loaded here."""
    return engine.server if engine is not None else None


def software(server: ServerIdentity) -> str:
    """The program that served, as far as it says so."""
    return " ".join(word for word in ("vLLM" if server.vllm else "OpenAI's API", server.version) if word)


def served(server: ServerIdentity) -> str:
    """Which model was served, by what, and where."""
    root = "" if server.root in (None, server.model) else f" ({server.root})"
    return f"{server.model}{root} on {software(server)} at {server.address}"


def retries_and_waits(server: ServerReport) -> str:
    """What repeated requests and waiting took that is in no latency; nothing where they took nothing."""
    parts = []
    if server.retries:
        tries = count(server.retries, "repeated request")
        parts.append(f"{tries} with {seconds(server.backoff_s)} of failed tries and pauses")
    if server.place_wait_s >= SHORTEST_S:
        parts.append(f"{seconds(server.place_wait_s)} of waiting for a place among those in flight")
    return f"{' and '.join(parts)}, of all requests together, are in no latency." if parts else ""


def server_cards(server: ServerReport) -> list[tuple[str, str, str]]:
    """Names, values and notes of what asking took, and of what is not known."""
    lost = f"{seconds(server.backoff_s)} of failed tries and pauses, of all requests: in no latency"
    return [
        ("waiting for a place", seconds(server.place_wait_s), "of all requests together: in no latency"),
        ("repeated requests", number(server.retries), lost),
        ("GPU, memory, energy", "not known", "the server's"),
    ]


def server_facts(server: ServerReport, manifest: Manifest) -> list[tuple[str, str]]:
    """How the run came about, as far as it is the server's."""
    known = manifest.server or server
    facts = [
        ("server", served(server)),
        ("API", server.api),
        ("fingerprints", ", ".join(known.fingerprints) or "-"),
        ("times", NOT_KNOWN),
    ]
    if manifest.checkpoint is not None:
        facts.append(("tokenizer", str(manifest.checkpoint.get("name") or "-")))
    return facts
