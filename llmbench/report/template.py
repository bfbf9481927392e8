"""A page as one file: template, style, code and data, under a policy that lets nothing else run and nothing be fetched."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from llmbench._version import __version__
from llmbench.records import Result

ASSETS = Path(__file__).parent / "assets"
MATH = re.compile(r"\$|\\\(|\\\[|\\boxed|\\frac|[\^_]\{")
CODE = re.compile(r"```|^diff --git|^def |^class |^import ", re.MULTILINE)


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def render(
    context: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], packed: str, shown: Sequence[Result]
) -> str:
    """The whole page.

    Args:
        context: What the template names; a page need not have all of it.
        figures: Plots, as `llmbench.report.figures.figure` makes them.
        packed: The samples, as `llmbench.report.sample_data.pack` makes them; empty for a page without them.
        shown: The results whose texts are in the page, which decide whether it carries KaTeX and highlight.js.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    math, code = _has(MATH, shown), _has(CODE, shown)
    scripts = ["vendor/plotly.js"]
    scripts += ["vendor/katex.js", "vendor/auto-render.js"] if math else []
    scripts += ["vendor/highlight.js"] if code else []
    texts = [_asset(name) for name in (*scripts, "page.js")]
    style = _asset("page.css") + (_asset("vendor/katex.css") if math else "")
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True)
    # Marked as safe is what llmbench carries itself, base64, and JSON without the characters that HTML knows.
    return environment.get_template("page.html.jinja").render(
        dict(context)
        | {
            "policy": policy(texts),
            "version": __version__,
            "style": Markup(style),  # noqa: S704 - see above
            "scripts": [Markup(text) for text in texts],  # noqa: S704
            "figures": figures,
            "figures_json": Markup(_json(figures)),  # noqa: S704
            "samples": Markup(packed),  # noqa: S704
        }
    )


def _has(pattern: re.Pattern[str], results: Sequence[Result]) -> bool:
    """Whether some prompt, text or answer has what the pattern finds."""
    return any(
        pattern.search(text[:20_000])
        for result in results
        for text in (result.prompt, result.text, result.score.answer or "", result.target)
    )


def policy(scripts: Sequence[str]) -> str:
    """The content security policy: only these scripts run, by their hashes; nothing is loaded, sent or framed."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(figures: Sequence[Mapping[str, Any]]) -> str:
    """JSON that can stand in a script element: without a character that could end it."""
    text = orjson.dumps(list(figures), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
