"""What mkdocs asks of us: pages made from conf/ and llmbench/config, the pages of the top level, and llms.txt.

mkdocs calls the functions by their names (https://www.mkdocs.org/user-guide/plugins/#events).
"""

import re
from pathlib import Path

import benchmark_pages
import choices_page
import settings_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TOP_LEVEL = ("BENCHMARKS.md", "CHANGELOG.md", "SECURITY.md")
"""Pages that lie above docs/, where people look for them."""
_described: dict[str, tuple[str, str]] = {}
"""Title and first sentence of each page, by its address."""


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


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Remembers title and first sentence, for llms.txt."""
    found = re.search(r"<p>(.*?)</p>", html, re.DOTALL)
    text = re.sub(r"<[^>]+>", "", found[1]).replace("\n", " ") if found else ""
    _described[page.file.src_uri] = str(page.title), re.split(r"(?<=[.:])\s", text)[0]
    return html


def on_post_build(config: MkDocsConfig) -> None:
    """Writes llms.txt (https://llmstxt.org): what there is, for a program that reads."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", "## Documents", ""]
    for address, (title, sentence) in _described.items():
        lines.append(f"- [{title}]({address.removesuffix('.md')}.html){': ' + sentence if sentence else ''}")
    (Path(config.site_dir) / "llms.txt").write_text("\n".join(lines) + "\n")
