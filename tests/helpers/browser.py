"""A page in headless Chromium, without a network: what it says, what it asks for, what it complains of."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root it would not start otherwise
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """An open page; `driver` is selenium's."""

    driver: Any

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever JavaScript returns
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, WAIT_S).until(lambda _: self.run(f"return Boolean({condition})"))

    def ready(self, *, samples: bool = True) -> None:
        self.wait(
            "document.querySelectorAll('.plot').length === document.querySelectorAll('.plot[data-drawn]').length"
        )
        if samples:
            self.wait("document.getElementById('list').dataset.ready")

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, those of the page itself and of data in it left out."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [url for url in found if not url.startswith(("file:", "data:", "blob:", "chrome"))]


@contextmanager
def chromium(width: int = 1280, *, dark: bool = False) -> Iterator[Page]:
    """A browser; skips, with the reason, where there is none."""
    binary, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver_path is None:
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    os.environ.setdefault("SE_OFFLINE", "true")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        environment = {**os.environ, "TMPDIR": folder}  # it leaves some of its files behind
        service = webdriver.ChromeService(driver_path, env=environment)
        with webdriver.Chrome(options=options, service=service) as driver:
            driver.set_script_timeout(WAIT_S)
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield Page(driver)


def show(page: Page, path: Path, fragment: str = "") -> None:
    """Opens a file."""
    page.driver.get("about:blank")
    page.driver.get(path.resolve().as_uri() + fragment)
