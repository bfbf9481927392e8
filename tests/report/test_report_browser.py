"""Reports opened in headless Chromium: they draw, filter and link, ask nothing of a network, and what a model wrote stays text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmbench.records import Request
from llmbench.report.write import write_many, write_one
from tests.helpers.browser import Page, chromium, show
from tests.helpers.judged import JUDGED, cities
from tests.helpers.own_data import jsonl
from tests.helpers.runs import FORTY, edited, make, place, right_where, three

pytestmark = pytest.mark.browser
HOSTILE = (
    "<script>window.hurt = 1</script>",
    "</script><script>window.hurt = 2</script>",
    "<img src=x onerror='window.hurt = 3'><svg onload='window.hurt = 4'>",
    "```python\nprint('<img src=x onerror=window.hurt=5>')\n</code></pre><script>window.hurt = 6</script>\n```",
    r"$\href{javascript:window.hurt=7}{x}$ $\includegraphics{http://127.0.0.1:1/x.png}$ \(\htmlClass{y}{z}\)",
    "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe \u2066abc",
    "[a](javascript:window.hurt=8) <a href='javascript:window.hurt=9'>a</a> {{ 7 * 7 }} ${window.hurt=10}",
    "x" * 5_000_000,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """The module's browser as a new one would be: wide, light, and with nothing logged."""
    look(browser)
    browser.driver.get("about:blank")
    browser.complaints()
    browser.requests()
    return browser


def look(page: Page, width: int = 1280, *, dark: bool = False) -> None:
    """Gives the page this width, and the reader this wish."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def journal(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model wrote everything that could hurt a page."""
    folder = tmp_path_factory.mktemp("hostile")

    def reply(request: Request) -> str:
        return f"{HOSTILE[place(request) % len(HOSTILE)][:1000]} The answer is $\\frac{{1}}{{2}}$"

    def whole(row: dict[str, Any]) -> dict[str, Any]:
        text = HOSTILE[int(row["id"].rpartition("-")[2]) % len(HOSTILE)]  # too long a text to be graded here
        return row | {
            "text": text + row["text"][1000:] if len(text) > 1000 else row["text"],
            "fields": {"subject": HOSTILE[len(row["id"]) % 3] + row["id"][-1]},
        }

    return edited(make(folder / "run", reply, *FORTY), folder / "named", whole)


def test_a_report_draws_filters_and_links(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", right_where(lambda r: place(r) % 3 == 0), *FORTY)
    show(page, run / "report.html")
    page.ready()
    assert page.run("return document.querySelectorAll('.plot svg.main-svg').length") >= 4
    assert page.run("return document.querySelectorAll('#list > li').length") == 40

    page.run(
        "const f = document.getElementById('filters'); f.elements.o.value = 'correct'; f.dispatchEvent(new Event('input'))"
    )
    right = sum(row["outcome"] == "correct" for row in journal(run))
    sought = next(row["id"] for row in journal(run) if row["outcome"] == "correct")
    assert page.run("return document.getElementById('count').textContent") == f"{right} of 40 samples"
    page.run(
        "const f = document.getElementById('filters'); f.elements.text.value = arguments[0]; f.dispatchEvent(new Event('input'))",
        sought,
    )
    assert page.run("return document.querySelectorAll('#list > li').length") >= 1

    name = page.run("return document.querySelector('#list a').getAttribute('href')")
    show(page, run / "report.html", name)
    page.ready()
    assert page.run("return document.querySelectorAll('.detail').length") == 1
    assert (
        page.run(
            "return document.querySelector('.detail').parentElement.firstElementChild.getAttribute('href')"
        )
        == name
    )
    assert page.run("return document.activeElement.getAttribute('href')") == name
    below = "document.activeElement.getBoundingClientRect().top - document.getElementById('filters').getBoundingClientRect().bottom"
    assert page.run(f"return {below}") >= -1  # the filters, which stay in view, do not cover it
    assert page.complaints() == []
    assert page.requests() == []


def test_a_gold_answer_that_is_the_body_of_a_function_is_shown_as_code(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "7", *FORTY[:2])
    body = "    if n == 0:\n        return 0\n    return 1\n"
    gold = edited(run, tmp_path / "gold", lambda row: row | {"target": body})
    show(page, write_one(gold, tmp_path / "gold.html"))
    page.ready()
    page.run("document.querySelector('#list a').click()")
    page.wait("document.querySelector('.detail .pair pre')")
    assert page.run("return document.querySelector('.detail .pair pre').textContent") == body


def test_a_judged_answer_stays_text_beside_the_judges_verdict_and_reply(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cities(tmp_path)
    said = "Let me think. For $5 or $6 the final answer is \\boxed{York}"
    run = make(tmp_path / "run", lambda _: said, *JUDGED[:3])
    for width in (1280, 390):
        look(page, width)
        show(page, run / "report.html", "#sample=mine/1/0")
        page.ready()
        page.wait("document.querySelector('.detail')")
        assert page.run("return document.querySelector('.detail .pair .written').textContent") == said
        assert page.run("return document.querySelectorAll('.detail .pair .katex').length") == 0
        assert page.run("return document.querySelector('.detail .verdict').textContent") == "smollm2: CORRECT"
        shown = page.run("return document.querySelector('.detail').innerText")
        assert "The judge's reply\nThe reference stands in the answer.\nVERDICT " in shown.replace(
            "\n\n", "\n"
        )
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.complaints() == []


def test_a_row_has_its_answer_on_a_phone_too(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "The answer is 987654321", *FORTY[:1], "limit=2")
    for width in (1280, 390):
        look(page, width)
        show(page, run / "report.html")
        page.ready()
        assert "987654321" in page.run("return document.querySelector('#list a').innerText")
        assert page.run("return document.documentElement.scrollWidth") <= width


def test_what_a_benchmark_of_mathematics_extracted_is_drawn(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "The answer is $\\frac{1}{2}$", *FORTY[:1], "limit=2")
    half = edited(
        run, tmp_path / "half", lambda row: row | {"score": row["score"] | {"answer": "\\frac{1}{2}"}}
    )
    config = half / "config.yaml"
    config.write_text(config.read_text().replace("benchmarks.arithmetic\n", "benchmarks.math\n"))
    show(page, write_one(half, tmp_path / "half.html"))
    page.ready()
    page.run("document.querySelector('#list a').click()")
    page.wait("document.querySelector('.detail .pair .katex')")


def test_a_link_to_a_sample_wins_over_the_filters(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", right_where(lambda r: place(r) % 2 == 0), *FORTY)
    other = next(f"arithmetic/{row['id']}/0" for row in journal(run) if row["outcome"] == "wrong")
    right = sum(row["outcome"] == "correct" for row in journal(run))
    show(page, run / "report.html")
    page.ready()
    page.run(
        "const f = document.getElementById('filters'); f.elements.o.value = 'correct'; f.dispatchEvent(new Event('input'))"
    )
    assert page.run("return document.querySelectorAll('#list > li').length") == right
    page.run("location.hash = 'sample=' + arguments[0]", other)
    page.wait("document.querySelector('.detail')")
    assert page.run("return document.querySelectorAll('#list > li').length") == 40


def test_what_a_model_wrote_stays_text(page: Page, hostile: Path, tmp_path: Path) -> None:
    page_file = write_one(hostile, tmp_path / "hostile.html")
    assert page_file.stat().st_size < 8_000_000
    show(page, page_file)
    page.ready()
    keys = page.run("return [...document.querySelectorAll('#list > li')].map((item) => item.dataset.key)")
    for key in keys[:16]:
        page.run("location.hash = 'sample=' + arguments[0]", key)
        page.wait(f"document.querySelector('.detail')?.parentElement.dataset.key === {json.dumps(key)}")
    assert page.run("return window.hurt === undefined")
    inside = "document.querySelectorAll('#list script, #list img, #list svg, #list iframe, #list [onerror], #list [onload]').length"
    assert page.run(f"return {inside}") == 0
    links = page.run(
        "return [...document.querySelectorAll('main a')].map((link) => link.getAttribute('href'))"
    )
    assert all(link.startswith("#") for link in links)
    text = page.run(
        "const f = document.getElementById('filters'); f.elements.text.value = 'window.hurt = 1<'; f.dispatchEvent(new Event('input')); return document.getElementById('count').textContent"
    )
    held = sum("window.hurt = 1<" in row["text"] for row in journal(hostile))
    assert held
    assert text == f"{held} of 40 samples"
    text = page.run("return document.querySelector('main').textContent")
    assert not {"\u202e", "\u2066", "\x1b", "\x07"} & set(text)
    assert page.complaints() == []
    assert page.requests() == []


def test_a_phone_shows_all_without_scrolling_sideways(page: Page, tmp_path: Path) -> None:
    run = make(
        tmp_path / "run", lambda _: "```python\n" + "x = 1 + " * 60 + "1\n```\nThe answer is 3", *FORTY
    )
    for theme in ("light", "dark"):
        look(page, 390, dark=theme == "dark")
        show(page, run / "report.html")
        page.ready()
        page.run("document.querySelector('#list a').click()")
        page.wait("document.querySelector('.detail')")
        assert page.run("return document.documentElement.scrollWidth") <= 390
        assert page.run("return document.documentElement.dataset.theme") == theme
        assert page.complaints() == []


def test_a_phone_shows_a_benchmark_whose_name_has_no_blanks(page: Page, tmp_path: Path) -> None:
    jsonl(tmp_path / "mine.jsonl", {"question": "One?", "answer": "1"})
    own = (f"custom.data={tmp_path / 'mine.jsonl'}", f"custom.name={'L' * 200}", "custom.grade=exact")
    look(page, 390)
    show(page, make(tmp_path / "run", lambda _: "Answer: 1", *own, "engine=fake") / "report.html")
    page.ready()
    assert page.run("return document.documentElement.scrollWidth") <= 390


def test_a_phone_shows_a_page_of_runs_with_long_names(page: Page, tmp_path: Path) -> None:
    long = "model.path=/srv/" + "checkpoints/" * 9
    one = make(tmp_path / "one", right_where(lambda r: place(r) % 2 == 0), *FORTY, long + "one")
    two = make(tmp_path / "two", right_where(lambda r: place(r) % 2 == 1), *FORTY, long + "two")
    look(page, 390)
    show(page, write_many([one, two], tmp_path / "many.html"))
    page.ready()
    assert page.run("return document.documentElement.scrollWidth") <= 390
    chosen = "const f = document.getElementById('filters'); f.elements.run.selectedIndex = 2; f.dispatchEvent(new Event('input'))"
    page.run(chosen)
    assert page.run("return document.getElementById('count').textContent").startswith("40 of 80 samples")
    assert page.complaints() == []


def test_plots_follow_a_window_that_narrows_and_no_id_is_cut(page: Page, tmp_path: Path) -> None:
    runs = list(three(tmp_path).values())
    look(page, 1280)
    show(page, write_many(runs, tmp_path / "many.html"))
    page.ready()
    cut = "return [...document.querySelectorAll('.head .id')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert page.run(cut) == 0
    look(page, 390)
    widest = "return Math.max(...[...document.querySelectorAll('.main-svg')].map((e) => e.getBoundingClientRect().width)) < 390"
    page.wait(widest.removeprefix("return "))
    assert page.run(cut) == 0


def test_on_paper_plots_fit_the_sheet_and_afterwards_the_window(page: Page, tmp_path: Path) -> None:
    look(page, 1280, dark=True)
    show(page, make(tmp_path / "run", lambda _: "3", *FORTY) / "report.html")
    page.ready()
    widest = (
        "Math.max(...[...document.querySelectorAll('.main-svg')].map((e) => e.getBoundingClientRect().width))"
    )
    assert page.run(f"return {widest}") > 1000
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run(f"return {widest}") < 700
    assert page.run("return document.documentElement.dataset.theme") == "light"
    page.run("window.dispatchEvent(new Event('afterprint'))")
    page.wait(f"{widest} > 1000")
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.complaints() == []


def test_a_phone_shows_runs_whose_names_have_no_blanks(page: Page, tmp_path: Path) -> None:
    look(page, 390)
    even, odd = (right_where(lambda r: place(r) % 2 == 0), right_where(lambda r: place(r) % 2 == 1))
    long = "a_long_word_" * 7
    runs = [make(tmp_path / f"{long}{n}", reply, *FORTY) for n, reply in enumerate((even, odd))]
    show(page, write_many(runs, tmp_path / "both.html"))
    page.ready()
    page.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.run("return document.documentElement.scrollWidth") <= 390
    assert page.run("return document.querySelector('.sortable td a').getBoundingClientRect().width") < 300


def test_the_keyboard_is_enough(page: Page, tmp_path: Path) -> None:
    run = make(tmp_path / "run", lambda _: "3", *FORTY)
    from selenium.webdriver.common.keys import Keys

    show(page, run / "report.html")
    page.ready()
    body = page.driver.find_element("tag name", "body")
    body.send_keys(Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.run("return document.activeElement.id") == "theme"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    body.send_keys("j")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait("document.querySelector('.detail')")
    assert (
        page.run(
            "return [...document.querySelectorAll('#list > li')].findIndex((item) => item.querySelector('.detail'))"
        )
        == 1
    )
    page.driver.switch_to.active_element.send_keys(Keys.TAB)  # into the opened sample
    assert page.run("return document.activeElement.closest('.detail') !== null")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.wait("!document.querySelector('.detail')")
    assert page.run("return document.activeElement.className") == "head"
    assert page.run("return location.hash") == "#samples"
    page.driver.switch_to.active_element.send_keys("/")
    assert page.run("return document.activeElement.name") == "text"


def test_a_page_of_runs_draws_sorts_and_leads_to_what_flipped(page: Page, tmp_path: Path) -> None:
    runs = three(tmp_path)
    written = write_many(list(runs.values()), tmp_path / "many.html")
    show(page, written)
    page.ready()
    assert page.run("return document.querySelectorAll('.plot svg.main-svg').length") >= 2
    heading = "[...document.querySelectorAll('th button')].find((b) => b.textContent === 'arithmetic')"
    first = "document.querySelector('table.sortable tbody tr').cells[0].textContent"
    page.run(f"{heading}.click()")
    lowest = page.run(f"return {first}")
    page.run(f"{heading}.click()")
    assert page.run(f"return {first}") == "most"
    assert lowest != "most"
    page.run("document.querySelector('.flips a').click()")
    page.wait("document.querySelector('.detail')")
    assert page.complaints() == []
    assert page.requests() == []
