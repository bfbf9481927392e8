"""What mkdocs asks of us: pages made from conf/ and llmbench/config, the pages of the top level, and llms.txt.

mkdocs calls the functions by their names (https://www.mkdocs.org/user-guide/plugins/#events).
"""

import re
from html import unescape
from pathlib import Path

import benchmark_pages
import choices_page
import settings_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TOP_LEVEL = ("BENCHMARKS.md", "CHANGELOG.md", "SECURITY.md")
"""Pages that lie above docs/, where people look for them."""
DESCRIBED = {"CHANGELOG.md": "What changed, version by version."}
"""Pages that begin with no sentence."""
_pages: list[Page] = []
"""All pages, in the order of the navigation; `on_post_build` is not given them."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the benchmarks to the navigation, under their list."""
    names = sorted(benchmark_pages.names())
    for entry in config.nav or []:
        if isinstance(entry, dict) and entry.get("Benchmarks") == "benchmarks/index.md":
            entry["Benchmarks"] = ["benchmarks/index.md", *(f"benchmarks/{name}.md" for name in names)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    made = {
        "reference/settings.md": settings_page.page(),
        "reference/choices.md": choices_page.page(),
        "benchmarks/index.md": benchmark_pages.index(),
    }
    made |= {f"benchmarks/{name}.md": benchmark_pages.page(name) for name in benchmark_pages.names()}
    for name in TOP_LEVEL:
        made[name] = re.sub(r"\]\(docs/", "](", (ROOT / name).read_text())
    for address, text in made.items():
        files.append(File.generated(config, address, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """Leads links to pages of the top level to where they are on the site."""
    up = "../" * page.file.src_uri.count("/")
    for name in TOP_LEVEL:
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(name)}", f"]({up}{name}", markdown)
    return markdown


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:  # noqa: ARG001
    """Remembers the pages, for llms.txt."""
    _pages[:] = nav.pages
    return nav


def on_post_build(config: MkDocsConfig) -> None:
    """Writes llms.txt (https://llmstxt.org): what there is, for a program that reads."""
    sections: dict[str, list[str]] = {}
    for page in _pages:
        above = [str(section.title) for section in page.ancestors]  # the outermost last
        lines = sections.setdefault(above[-1] if above else "Documents", [])
        lines.append(f"- [{page.title}]({page.file.dest_uri}): {_first_sentence(page)}")
    parts = [f"# {config.site_name}", f"> {config.site_description}."]
    parts += [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    (Path(config.site_dir) / "llms.txt").write_text("\n\n".join(parts) + "\n")


def _first_sentence(page: Page) -> str:
    """What a page says first, as plain text."""
    if page.file.src_uri in DESCRIBED:
        return DESCRIBED[page.file.src_uri]
    found = re.search(r"<p>(.*?)</p>", page.content or "", re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", "", found[1])) if found else str(page.title)
    return re.split(r"(?<=\.)\s", " ".join(text.split()))[0].rstrip(":.") + "."
