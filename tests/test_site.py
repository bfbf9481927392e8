"""The documents as a site: it builds, every link in it leads somewhere, and it has every benchmark and every setting."""

import dataclasses
import fcntl
import importlib
import os
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from llmbench.config import schema
from llmbench.config.paths import config_folder
from llmbench.results.summary import Summary
from llmbench.run.published_scores import comparisons
from tests.helpers.paths import ROOT
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow


def build(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site of `root` into the folder. Without --quiet, under which mkdocs counts no warnings and strict refuses nothing."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site, built once for all of pytest's processes, whose folders are beside each other."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    folder = shared / "site"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = shared / "unfinished_site"
            done = build(ROOT, unfinished)
            assert done.returncode == 0, done.stderr
            unfinished.rename(folder)
    return folder


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" and value:
                self.anchors.add(value)


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}


def broken(site: Path) -> Iterator[tuple[str, str]]:
    found = pages(site)
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = found[target].anchors if target in found else {unquote(parts.fragment)}
            if not target.exists() or unquote(parts.fragment) not in anchors:
                yield str(path.relative_to(site)), link


def test_links_that_lead_nowhere_end_the_build_and_are_named(tmp_path: Path) -> None:
    """Of a site of two pages, with the settings of the whole."""
    broken = ("nowhere.md", "grading.md#nowhere", "/absolute.md")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "extra.css", tmp_path / "docs")
    (tmp_path / "docs" / "grading.md").write_text("# Grading\n")
    (tmp_path / "docs" / "index.md").write_text("".join(f"\n[Here]({link})\n" for link in broken))
    pages = "nav: [index.md, grading.md]\nhooks: []\ndocs_dir: docs\n"
    (tmp_path / "mkdocs.yml").write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\n{pages}")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert [link for link in broken if link not in done.stderr] == []


def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Path) -> None:
    assert not sorted(set(broken(site)))


def test_the_site_asks_nothing_of_a_network_to_be_shown(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text()
        for mark in (
            '<script src="http',
            '<link rel="stylesheet" href="http',
            "fonts.googleapis",
            '<img src="http',
        ):
            assert mark not in text, path.name


def built_in() -> list[Path]:
    """The YAML files of benchmarks that have data of their own."""
    return [path for path in (config_folder() / "benchmark").glob("*.yaml") if path.stem != "custom"]


def test_every_benchmark_has_a_page_and_a_row_in_their_list(site: Path) -> None:
    listed = pages(site)[site / "benchmarks" / "index.html"].links
    for yaml in built_in():
        text = (site / "benchmarks" / f"{yaml.stem}.html").read_text()
        assert f"benchmark={yaml.stem}" in text
        assert f"{yaml.stem}.html" in listed


def test_no_page_that_is_made_shows_an_interpolation(site: Path) -> None:
    for path in (*(site / "benchmarks").glob("*.html"), *(site / "reference").glob("*.html")):
        assert "${" not in path.read_text(), path.name


def settings(kind: type, prefix: str = "") -> Iterator[str]:
    """The names of all settings, from the schema alone."""
    hints = typing.get_type_hints(kind)
    for name in (each.name for each in dataclasses.fields(kind)):
        if name == "benchmarks":
            yield from settings(schema.BenchmarkConfig, "benchmarks.NAME.")
        elif dataclasses.is_dataclass(hints[name]):
            yield from settings(hints[name], f"{prefix}{name}.")
        else:
            yield prefix + name


def rows(html: str) -> Iterator[list[str]]:
    """The cells of each row of the page's tables, without marks."""
    for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL):
        yield [
            unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)
        ]


def test_every_setting_is_on_the_page_of_settings_with_its_meaning(site: Path) -> None:
    html = (site / "reference" / "settings.html").read_text()
    meanings = {cells[0]: cells[1] for cells in rows(html) if len(cells) == 4}
    expected = set(settings(schema.Config))
    assert len(expected) > 100
    assert set(meanings) == expected
    assert not [name for name, meaning in meanings.items() if not meaning.strip()]


def test_every_option_of_a_benchmark_has_a_meaning(site: Path) -> None:
    shown = set()
    for path in (site / "benchmarks").glob("*.html"):
        options = path.read_text().partition('<h2 id="options">')[2].partition("<h2")[0]
        for cells in rows(options):
            assert all(cell.strip() for cell in cells), (path.name, cells)
            shown.add((path.stem, *cells[:1]))
    for yaml in built_in():
        for name in compose([f"benchmark={yaml.stem}"]).benchmarks[yaml.stem].options:
            assert (yaml.stem, name) in shown


def test_llms_txt_names_and_describes_every_page(site: Path) -> None:
    text = (site / "llms.txt").read_text()
    assert re.match(r"# llmbench\n\n> [^\n]+\.\n\n## ", text)
    listed = dict(re.findall(r"^- \[[^]]+\]\(([^)]+)\): (.+)$", text, re.MULTILINE))
    assert set(listed) == {str(path.relative_to(site)) for path in pages(site)}
    assert not [address for address, words in listed.items() if re.search(r"</?\w|&#?\w+;", words)]


def test_the_list_says_how_each_benchmark_is_asked_and_what_it_was_checked_against(site: Path) -> None:
    html = (site / "benchmarks" / "index.html").read_text()
    said = {cells[0]: cells[1:] for cells in rows(html) if len(cells) == 3}
    assert set(said) == {path.stem for path in built_in()}
    assert all(protocol and checked for protocol, checked in said.values())
    for name, (_, checked) in said.items():
        assert compose([f"benchmark={name}"]).benchmarks[name].checked in (checked, None)
    assert said["gpqa"][0] == "zero-shot, choices A to D, the answer as a line Answer: LETTER"


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that writes docs/reproduce.md."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_site"))
    return importlib.import_module("reproduce_page")


def without_times(page: str) -> str:
    return re.sub(r"foreseen: [\d.,]+ \w+ ", "foreseen: ", page)


def test_the_page_of_published_scores_is_what_the_settings_say(
    reproduce: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "_planned", lambda words: [{"total_s": 1.0}])  # noqa: ARG005 - plans take half a minute
    made = without_times(reproduce.page())
    assert made == without_times(reproduce.PAGE.read_text()), "run python docs/_site/reproduce_page.py"


def test_a_time_on_the_page_of_published_scores_is_a_plan_of_now(reproduce: ModuleType) -> None:
    typed = ("benchmark=gsm8k", "model=qwen14b", "profile=published")
    assert reproduce._duration("gsm8k", typed) in reproduce.PAGE.read_text()


def test_every_published_score_has_a_command_that_names_its_model_and_protocol(reproduce: ModuleType) -> None:
    text = reproduce.PAGE.read_text()
    count = 0
    for path in built_in():
        for each in compose([f"benchmark={path.stem}"]).benchmarks[path.stem].reference:
            typed = reproduce.settings(path.stem, each)
            assert f"    {reproduce.command(tuple(typed))}\n" in text
            config = compose(typed)
            assert config.model.hub_id == each.model
            assert each.mode.items() <= config.model.chat_template_kwargs.items()
            (compared,) = (one for one in comparisons(config, Summary()) if one.reference == each)
            follows = (
                "weights",
                "max_tokens",
                "temperature",
                "top_p",
                "top_k",
                "presence_penalty",
                "fewshot",
                "dates",
                "subset",
                "scoring",
            )
            assert not [words for words in compared.differences if words.startswith(follows)]
            count += 1
    assert count == len(re.findall(r"^\| \d+\.\d%", text, re.MULTILINE))
    assert count > 40
