"""What a report's page holds."""

import base64
import json
import re
import zlib
from typing import Any


def rows_of(html: str) -> list[dict[str, Any]]:
    found = re.search(r'id="samples-data">([^<]*)<', html)
    assert found is not None
    rows: list[dict[str, Any]] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return rows


def figures_of(html: str) -> dict[str, Any]:
    found = re.search(r'id="figures-data">([^<]*)<', html)
    assert found is not None
    return {figure["name"]: figure for figure in json.loads(found[1])}
