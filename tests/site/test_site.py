"""The built site in a real browser: every page, every explorer beside the kernel's pictures, the slides."""

import hashlib
import json
import random
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlencode

import labdriver
import nbformat
import pytest

from course_utils.explorers import svg
from course_utils.explorers.base import Explorer
from course_utils.explorers.measured import MEASURED

ROOT = labdriver.ROOT
NAMES = ("conv", "inception", "network", "receptive_field", "residual", "topk", "vgg")
AXE = ROOT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]


class SiteData(dict):
    """The site's data files for a kernel's explorer."""

    def __init__(self) -> None:
        folder = ROOT / "site" / "data"
        for name in ("tables", "layers", "photos", "signals", "guesses"):
            self.update(json.loads((folder / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def data() -> SiteData:
    return SiteData()


def kernel(name: str, data: SiteData, **settings) -> Explorer:
    """The explorer as JupyterLab has it, with ipywidgets, on the site's data."""
    return Explorer(import_module(f"course_utils.explorers.{name}").describe(data), data, settings)


def live(page, selector: str = "course-explorer"):
    """Wait for an explorer's answer; returns what it shows."""
    page.wait_for_function(
        """selector => { const { shown, busy, waiting, said } = document.querySelector(selector);
                         return shown && !busy && !waiting.size || said?.textContent.includes("could not"); }""",
        arg=selector,
        timeout=120_000,
    )
    return page.evaluate("selector => document.querySelector(selector).shown", selector)


def put(page, name: str, link: str = "") -> dict:
    """A fresh explorer in the place of the page's, opened with the settings of a link; returns what it shows."""
    page.evaluate(
        """([name, link]) => {
            history.replaceState(null, "", link ? "#" + link : location.pathname);
            const fresh = document.createElement("course-explorer");
            fresh.setAttribute("name", name);
            fresh.setAttribute("live", "");
            document.querySelector("course-explorer").replaceWith(fresh);
        }""",
        [name, link],
    )
    return live(page)


def follow(e: Explorer, name: str, shown: dict) -> dict:
    """Move the kernel's control where the page's went; returns what the page shows."""
    taken, widget = next(c["value"] for c in shown["controls"] if c["name"] == name), e.controls[name]
    if hasattr(widget, "options"):
        taken = [o[1] if isinstance(o, tuple) else o for o in widget.options][taken]
    widget.value = taken
    return shown


class Page(HTMLParser):
    """Links, ids, pictures and tables of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.ids, self.tags, self.images = [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids |= {attributes[key] for key in ("id", "name") if key in attributes}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        if tag == "img":
            self.images.append(attributes)


def lectures() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("0*.ipynb"))


def test_links_and_anchors_lead_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(link)
            target = target.split("?")[0]  # Sphinx adds a checksum
            if re.match(r"[a-z]+:|//", target) or path.name == "404.html":
                assert target.startswith(("data:", "https:")) or path.name == "404.html", link
                continue
            file = (path.parent / unquote(target)).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{path.name} links to {link}"
            if anchor and file in pages and file.parent.name != "slides" and file.name != "search.html":
                assert unquote(anchor) in pages[file].ids, f"{path.name} links to {link}"


def test_figures_have_words_and_tables_are_tables(site):
    for path in [*site.rglob("lectures/*.html"), *site.rglob("slides/*.html"), site / "index.html"]:
        for image in Page(path).images:
            assert len(image["alt"].split()) > 2, f"{path.name}: {image}"
    for path in lectures():
        html = (site / "lectures" / f"{path.stem}.html").read_text()
        cells = nbformat.read(path, as_version=4).cells
        shown = [cell.source for cell in cells if cell.cell_type == "markdown"]
        shown += [o.data.get("text/markdown", "") for c in cells for o in c.get("outputs", []) if "data" in o]
        tables = sum(len(re.findall(r"^\|[ :|-]+\|$", text, re.MULTILINE)) for text in shown)
        assert html.count("<table") >= tables > 5, path.name
        assert not re.search(r"<p>\s*\|", html), path.name


def test_formulas_are_typeset(site):
    text = (site / "lectures" / "02_receptive_fields.html").read_text()
    assert text.count('class="katex"') > 10 and "\\lfloor" in text
    assert not re.search(r"\$\$|\\\(|class=\"katex-error", re.sub(r"<annotation.*?</annotation>", "", text))


def test_solutions_are_not_on_the_site(site):
    for file in site.rglob("homework/**/*.*"):
        assert "BEGIN SOLUTION" not in file.read_text() and "Model answer" not in file.read_text()
    assert len(list(site.glob("homework/files/*.ipynb"))) == 6


def test_the_whole_is_light(site):
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) <= 25e6
    assert (site / ".nojekyll").exists()


def test_built_twice_it_is_the_same(site, build, tmp_path):
    def digests(folder: Path) -> dict[str, str]:
        files = (file for file in folder.rglob("*") if file.is_file())
        return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    assert digests(build(tmp_path / "again")) == digests(site)


# Stands in for what starts Python, where a test looks at other things.
NO_PYTHON = "window.Worker = class { postMessage() {} }"
# Of elements that look alike, up to the page's root, one is enough to see that its words can be read; and of the
# words of code and formulas, which are most of a page's elements, one of each kind stays.
FEWER = """() => {
  const seen = new Set(), words = "pre span, .katex span";
  for (const each of document.querySelectorAll("body *")) {
    let kind = "";
    for (let up = each; up; up = up.parentElement) {
      kind += [" <", up.localName, up.getAttribute("class"), up.getAttribute("style")];
      kind += up.matches("tr:nth-child(even)");
    }
    if (!seen.has(kind)) each.dataset.first = "";
    else if (each.matches(words)) each.replaceWith(...each.childNodes);
    seen.add(kind);
  }
  axe.configure({ rules: [{ id: "color-contrast", selector: "[data-first]" }] });
}"""


def wrong(page, part: str = "html") -> list[str]:
    """What axe-core finds serious in the page, or in a part of it."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    if part == "html":
        page.evaluate(FEWER)
    found = page.evaluate("part => axe.run(part, { resultTypes: ['violations'] })", part)["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{page.url}: {each['id']} {each['nodes'][0]['html'][:160]}" for each in serious]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_reads_well_on_a_phone(site, visit, theme):
    pages = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    if theme == "dark":  # one of each kind: the colours come from the same files
        pages = [
            "index.html",
            "glossary.html",
            "lectures/01_image_classification.html",
            "explorers/conv.html",
        ]
    faults = []
    for path in pages:
        page = visit.open(path, width=390, theme=theme, script=NO_PYTHON)
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            faults.append(f"{path} scrolls sideways")
        if re.search("lectures/|01|conv|week1|^[^/]*$", path):  # of the others' kinds, another is looked at
            faults += wrong(page)
    assert faults == []


@pytest.mark.parametrize("name", NAMES)
def test_an_explorer_draws_what_the_kernel_draws(name, site, workbench, data):
    page, e, generator = workbench, kernel(name, data), random.Random(name)
    stored = re.search(
        r"<course-explorer.*?>(<svg.*?</svg>)", (site / "explorers" / f"{name}.html").read_text()
    )
    assert re.sub(r"stored-\d+", svg.UNIQUE, stored[1]) == e.svg
    shown = put(page, name)
    assert shown["svg"] == e.svg
    for number in range(40):
        movable = [c for c in shown["controls"] if c["name"] != "effective"]
        control = generator.choice(movable)
        chosen = control["name"]
        if number % 3 == 0 and "slider" in control["kind"]:
            page.locator(f'course-explorer input[name="{chosen}"]').press(
                generator.choice(["ArrowRight", "ArrowLeft", "PageUp"])
            )
        else:
            if "options" in control:
                value = generator.randrange(len(control["options"]))
            elif control["kind"] == "switch":
                value = not control["value"]
            else:
                steps = round((control["max"] - control["min"]) / control["step"])
                value = control["min"] + generator.randint(0, steps) * control["step"]
                value = round(value, 1) if isinstance(control["step"], float) else value
            page.evaluate("move => document.querySelector('course-explorer').move(...move)", [chosen, value])
        shown = live(page)
        follow(e, chosen, shown)
        assert shown["svg"] == e.svg, (number, chosen)
        assert shown["problem"] == (e.problem or "")
        assert {c["name"] for c in shown["controls"] if c["marked"]} == set(e.marked)


def test_a_link_opens_in_its_state_and_odd_settings_do_nothing(visit, data):
    odd = "padding=99&kernel_size=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&__class__=1&size=1e999&x=%E0%A4%A"
    page = visit.open(f"explorers/conv.html#stride=2&dilation=3&{odd}")
    shown = live(page)
    assert shown["svg"] == kernel("conv", data, stride=2, dilation=3).svg
    said = page.locator("course-explorer .said").inner_text()
    assert said.startswith("Left out of the link") and "padding=99" in said and "<img" in said
    assert page.locator("course-explorer img").count() == 0
    page.evaluate("document.querySelector('course-explorer').move('stride', 3)")
    page.wait_for_function("() => location.hash.includes('stride=3')")  # once the sliders rest
    again = put(page, "conv", page.evaluate("location.hash.slice(1)"))
    assert again["svg"] == kernel("conv", data, stride=3, dilation=3).svg
    page.evaluate("location.hash = 'furo-main-content'")  # as the page's own links do
    page.wait_for_function("() => location.hash.includes('stride=3')")
    assert live(page)["svg"] == again["svg"] and page.locator("course-explorer .said").inner_text() == ""
    many = put(page, "conv", "&".join(f"odd-{n}=1" for n in range(2000)))
    assert many["note"].endswith("odd-4=1, 1995 more.")


def test_a_link_that_is_opened_while_another_loads_is_the_one_that_counts(visit, data):
    page = visit.open("explorers/conv.html#stride=2")
    page.evaluate("location.hash = 'stride=3'")
    page.wait_for_function(
        "() => Object.fromEntries(document.querySelector('course-explorer').shown?.link ?? []).stride === '3'"
    )
    assert live(page)["svg"] == kernel("conv", data, stride=3).svg


def test_an_impossible_setting_shows_its_sentence_and_the_way_out(workbench, data):
    page, shown, e = workbench, put(workbench, "conv", "size=4"), kernel("conv", data, size=4)
    assert e.problem and shown["svg"] == e.svg and shown["problem"] == e.problem
    marked = page.locator("course-explorer label.marked input").evaluate_all("all => all.map(i => i.name)")
    assert set(marked) == set(e.marked) != set()


def test_presets_and_the_play_button(workbench, data):
    page = workbench
    put(page, "conv")
    page.locator('course-explorer select[name="preset"]').select_option(label="ResNet stem")
    page.wait_for_function(
        "() => document.querySelector('course-explorer').shown.svg.includes('kernel_size=7')"
    )
    assert live(page)["svg"] == kernel("conv", data, preset="ResNet stem").svg
    page.get_by_role("button", name="play position").click()
    page.wait_for_function(
        "() => document.querySelector('course-explorer').shown.controls.find(c => c.name === 'position').value > 2"
    )
    page.get_by_role("button", name="pause").click()


def test_explorers_of_a_page_do_not_disturb_each_other(visit):
    page = visit.open("lectures/02_receptive_fields.html")
    first, second = 'course-explorer[name="conv"]', 'course-explorer[name="network"]'
    page.locator(f"{first} button.start").click()
    before = live(page, first)
    page.locator(f"{second} button.start").click()
    live(page, second)
    page.locator(f'{second} input[name="layer"]').press("ArrowRight")
    live(page, second)
    assert page.evaluate(f"document.querySelector('{first}').shown.svg") == before["svg"]
    ids = page.evaluate(
        """() => [document, ...[...document.querySelectorAll("course-explorer")].map(e => e.shadowRoot)]
                 .flatMap(root => [...root.querySelectorAll("svg [id]")].map(e => e.id))"""
    )
    assert len(ids) == len(set(ids)) > 0


@pytest.mark.parametrize(
    "network, effective", [("ResNet-18", "untrained"), ("EfficientNet-Lite0", "trained")]
)
def test_effective_fields_are_there_for_the_middle_unit_and_else_the_page_says_so(
    workbench, network, effective
):
    layer = MEASURED[f"layers/{network}"]["layers"][4]
    settings = {
        "photo": "chelsea",
        "network": network,
        "effective": f"effective, {effective}",
        "layer": layer[1],
    }
    settings |= {"row": layer[2][1] // 2, "column": layer[2][2] // 2}
    page, shown, known = workbench, put(workbench, "receptive_field", urlencode(settings)), SiteData()
    begin = f"effective/chelsea/{network}/"  # the page fetches these together, so they are all in the curve
    fields = json.loads((ROOT / "site" / "data" / "effective.json").read_text())
    known.update({key: found for key, found in fields.items() if key.startswith(begin)})
    assert shown["svg"] == kernel("receptive_field", known, **settings).svg
    assert shown["note"] == "" and "effective field</title>" in shown["svg"]
    page.evaluate("document.querySelector('course-explorer').move('row', 0)")
    shown = live(page)
    assert "middle unit" in shown["note"] and "being measured" not in shown["svg"]
    said = {**settings, "row": 0, "effective": "theoretical only"}
    assert shown["svg"] == kernel("receptive_field", known, **said).svg


def test_a_finger_moves_every_explorer(visit, data):
    """All on one page: a tap on each slider and each switch, a choice, and the play button."""
    page = visit.open("explorers/conv.html", width=390, has_touch=True, is_mobile=True)
    live(page)
    for name in NAMES:
        shown, e = put(page, name), kernel(name, data)
        for control in shown["controls"]:
            if control["name"] == "effective":
                continue
            row = page.locator(f'course-explorer [name="{control["name"]}"]')
            if control["kind"] == "choice":
                row.select_option(index=len(control["options"]) - 1)  # the list itself is the phone's own
            elif control["kind"] == "switch":
                row.tap()
            else:
                box = row.bounding_box()
                assert box["height"] >= 24  # as WCAG 2.2 asks of a target
                row.tap(position={"x": 0.8 * box["width"], "y": box["height"] / 2})
            shown = follow(e, control["name"], live(page))
            assert shown["svg"] == e.svg, (name, control["name"])
        assert wrong(page, "course-explorer") == []
        if shown["play"]:
            page.get_by_role("button", name=f"play {shown['play']}").tap()
            page.get_by_role("button", name="pause").tap()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


# What the slide shows ends above the deck's lower edge; what is longer scrolls in there.
INSIDE = """(() => { const end = document.querySelector(".slides").getBoundingClientRect().bottom + 1;
  return [...document.querySelectorAll("section.present .body, section.present img")].every(
    part => part.getBoundingClientRect().bottom <= end); })()"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_deck_from_its_first_slide_to_its_last(visit, number):
    page = visit.open(f"slides/0{number}.html")
    page.wait_for_function("() => window.Reveal?.isReady()")
    count = page.evaluate("Reveal.getTotalSlides()")
    assert 25 <= count <= 35
    for shown in range(1, count + 1):
        assert page.evaluate(INSIDE), f"slide {shown} is larger than the screen"
        page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.isLastSlide()")
    assert page.evaluate("document.querySelectorAll('aside.notes').length") > count / 3
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []


def test_arrow_keys_on_a_slides_slider_move_the_slider(visit):
    page = visit.open("slides/01.html")
    page.wait_for_function("() => window.Reveal?.isReady()")
    page.evaluate(
        """Reveal.slide([...document.querySelectorAll(".slides section")]
               .findIndex(section => section.classList.contains("explorer")))"""
    )
    page.locator("section.present button.start").press("Enter")
    live(page, "section.present course-explorer")
    assert page.evaluate("document.activeElement.localName") == "course-explorer"  # at its first control
    before = page.evaluate("Reveal.getIndices().h")
    page.locator('section.present input[name="k"]').press("ArrowRight")
    shown = live(page, "section.present course-explorer")
    assert next(c["value"] for c in shown["controls"] if c["name"] == "k") == 2
    assert page.evaluate("Reveal.getIndices().h") == before


def test_a_deck_prints_a_page_for_each_slide(visit):
    page = visit.open("slides/01.html?print-pdf", theme="dark")
    page.wait_for_function("() => document.querySelectorAll('.pdf-page').length >= 25")
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == page.evaluate("Reveal.getTotalSlides()")
    paper, ink = page.evaluate(
        """() => { const style = part => getComputedStyle(document.querySelector(part));
                   return [style(".pdf-page").backgroundColor, style("h1").color]; }"""
    )
    assert (paper, ink) == ("rgb(255, 255, 255)", "rgb(27, 27, 27)")


def test_from_a_folder_the_stored_pictures_stand_and_a_sentence_says_why(site, visit):
    for path in ("explorers/conv.html", "lectures/02_receptive_fields.html", "slides/01.html"):
        page = visit.open((site / path).as_uri())
        explorer = page.locator("course-explorer").first
        assert "need a web server" in explorer.locator(".said").inner_text() or "slides" in path
        assert explorer.locator("svg").count() == 1
    assert page.evaluate("Reveal.isReady()")


def test_without_javascript_or_webassembly_the_picture_stays(visit):
    page = visit.open("explorers/vgg.html", java_script_enabled=False)
    assert page.locator("course-explorer svg").is_visible()
    assert "need JavaScript" in page.locator("course-explorer").inner_html()
    page = visit.open("explorers/vgg.html", script="delete window.WebAssembly")
    assert "need WebAssembly" in page.locator("course-explorer .said").inner_text()
    assert (
        page.locator("course-explorer svg").is_visible()
        and page.locator("course-explorer button").count() == 0
    )


# Pyodide itself tells of a request that has failed before it looks; of all that goes wrong later it tells nobody.
MISSING = {
    "lost": lambda route: route.abort(),
    "spoilt": lambda route: route.fulfill(body="something else", content_type="application/wasm"),
}


@pytest.mark.parametrize("how", MISSING)
def test_where_pyodide_does_not_come_the_picture_stays_and_every_explorer_says_so(visit, how):
    page = visit.open(
        "index.html", script=f"// {how}"
    )  # a browser's context of its own, which has nothing of it
    page.context.route("**/*.wasm", MISSING[how])
    page.goto(visit.base + "explorers/vgg.html#layers=3")
    live(page)
    assert "could not start" in page.locator("course-explorer .said").inner_text()
    assert page.locator("course-explorer svg").first.is_visible()
    put(page, "conv")
    assert "could not start" in page.locator("course-explorer .said").inner_text()
    visit.faults = [fault for fault in visit.faults if "ERR_FAILED" not in fault]


def test_where_data_do_not_come_the_page_says_so_and_the_sliders_go_on(visit):
    page = visit.open("explorers/receptive_field.html", script="// without data")
    live(page)
    page.context.route("**/effective/*", lambda route: route.abort())
    page.locator('course-explorer select[name="effective"]').select_option(index=1)
    assert "effective field</title>" not in live(page)["svg"]
    assert page.locator("course-explorer .said").inner_text().startswith("This could not be shown")
    page.context.unroute("**/effective/*")
    page.locator('course-explorer input[name="layer"]').press("ArrowRight")
    page.wait_for_function("() => document.querySelector('course-explorer').said.textContent === ''")
    assert "effective field</title>" in live(page)["svg"]
    visit.faults = [fault for fault in visit.faults if "ERR_FAILED" not in fault]
