"""The explorer in a real browser: controls move the picture, nothing is fetched, nothing overflows.

The tests need Chromium (``apt-get install chromium``) and the Python package playwright.
"""

import csv
import functools
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xarray as xr

import toymodels as tm
from toymodels.study.saved import open_result

pytestmark = pytest.mark.thorough

FIGURES = Path(__file__).parents[1] / "figures"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDTHS = (1280, 390)
READY = "body[data-ready=yes]"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)}")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def make_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def make_page(name):
        return tm.explore(open_result(FIGURES / name)).save(folder / f"{name}.html").as_uri()

    return make_page


@pytest.fixture
def visit(browser, make_page):
    """Open a page, and fail in the end if it has fetched something or reported an error."""
    opened, asked, errors = [], [], []

    def visit(name, width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        opened.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and errors.append(m.text))
        page.goto(make_page(name))
        page.wait_for_selector(READY)
        page.wait_for_timeout(300)
        return page

    yield visit
    for page in opened:
        page.close()
    assert errors == []
    outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert len([url for url in asked if url.startswith("file:")]) == len(opened)


def settle(page):
    """Wait until the plots are drawn."""
    page.wait_for_timeout(250)


def control(page, label):
    return page.locator(f"label.control:has(span:text-is('{label}')) >> select, input").first


def picture(page, part="curves"):
    settle(page)
    return page.locator(f"#{part}-plot").screenshot()


def drawn(page):
    """The heights of the points that are drawn."""
    return page.evaluate("Array.from(sources.points.data.y)")


def test_each_control_changes_the_picture(visit):
    page = visit("init_overlap_phase")
    seen = [picture(page)]
    for label, value in (
        ("Horizontal axis", "m"),
        ("A line for each", "rho"),
        ("Quantity", "accuracy"),
        ("Seeds", "every"),
        ("Seeds", "1"),
        ("Vertical axis", "all"),
        ("Vertical axis", "logarithmic"),
    ):
        control(page, label).select_option(value)
        seen.append(picture(page))
    assert len(set(seen)) == len(seen)


def test_a_slider_moves_to_another_slice_with_the_numbers_of_the_data(visit):
    page = visit("init_overlap_phase")
    before, at_first = picture(page), picture(page, "map")
    slider = page.locator("#controls input[type=range]")
    slider.focus()
    slider.press("Home")
    assert picture(page) != before
    assert picture(page, "map") != at_first
    assert page.inner_text("#slice").startswith("Width of the hidden layers = 64, ")
    runs = open_result(FIGURES / "init_overlap_phase")
    means = (
        tm.succeeded(runs).transfer.sel(width=64, group="all").mean("seed").transpose("m", "rho")
    )
    assert drawn(page) == pytest.approx(means.astype(float).values.ravel(), rel=1e-5, abs=1e-7)


def test_a_cell_of_the_map_selects_its_curve(visit):
    page = visit("init_overlap_phase")
    page.locator("#map-controls select").select_option("width")
    settle(page)
    before = page.inner_text("#slice")
    box = page.locator("#map-plot").bounding_box()
    place = {"x": box["width"] * 0.4, "y": box["height"] * 0.6}
    page.hover("#map-plot", position=place)
    settle(page)
    hovered = page.inner_text("#slice")
    assert hovered.startswith("Width of the hidden layers = 128, ")
    assert hovered != before
    page.hover("h1")
    settle(page)
    assert page.inner_text("#slice") == before
    page.click("#map-plot", position=place)
    page.hover("h1")
    settle(page)
    assert page.inner_text("#slice") == hovered
    assert page.inner_text("#controls output") == "128"


def test_a_cell_of_a_line_brings_it_to_the_front(visit):
    page = visit("init_overlap")
    before = picture(page)
    box = page.locator("#map-plot").bounding_box()
    page.click("#map-plot", position={"x": box["width"] * 0.5, "y": 20})
    page.hover("h1")
    assert picture(page) != before
    pressed = page.locator("#legend button[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["all layers"]
    pressed.click()
    settle(page)
    assert page.locator("#legend button[aria-pressed=true]").count() == 0


def find_point(page, i):
    """Where a drawn point is in the picture, and what is said of it."""
    return page.evaluate(
        "(i) => { const { x_scale, y_scale } = views.curves.frame; const d = sources.points.data;"
        " const at = { x: x_scale.compute(d.x[i]), y: y_scale.compute(d.y[i]) };"
        " return { at, value: d.value[i], more: d.more[i] }; }",
        i,
    )


def test_the_pointer_tells_value_interval_and_n(visit):
    page = visit("init_overlap")
    point = find_point(page, 4)
    page.hover("#curves-plot", position=point["at"])
    box = page.locator(".bk-Tooltip")
    box.get_by_text(point["value"], exact=True).wait_for()
    assert point["more"].startswith("95 % interval ")
    assert point["more"].endswith(", n = 10 seeds")
    assert box.get_by_text(point["more"], exact=True).is_visible()


def test_a_click_on_a_curve_chooses_the_point(visit):
    page = visit("init_overlap")
    point = find_point(page, 34)
    page.click("#curves-plot", position=point["at"])
    settle(page)
    said = page.inner_text("#point")
    assert said.startswith(
        f"Transfer {point['value'].removeprefix('transfer: ')} ({point['more']})"
    )
    assert "hidden layers" in said


def test_a_drag_zooms_in_and_a_double_click_shows_all_again(visit):
    page = visit("init_overlap")
    read = "[plots.curves.x_range.start, plots.curves.below[0].ticker.ticks.map(String).join()]"
    whole = page.evaluate(read)
    box = page.locator("#curves-plot").bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 200, steps=5)
    page.mouse.up()
    settle(page)
    near = page.evaluate(read)
    assert near[0] > whole[0]
    assert near[1] != whole[1]
    page.dblclick("#curves-plot", position={"x": 200, "y": 60})
    settle(page)
    assert page.evaluate(read) == whole


def test_a_control_keeps_the_keyboard(visit):
    page = visit("init_overlap_phase")
    control(page, "Horizontal axis").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.label") == "Horizontal axis"


def test_few_seeds_and_intervals_beyond_the_bounds_are_told(visit):
    page = visit("init_overlap_phase")
    assert "Few seeds: n = 3." in page.inner_text("#warnings")
    assert "leaves" not in page.inner_text("#warnings")  # transfer has no bounds
    control(page, "Quantity").select_option("accuracy")
    assert "The interval leaves [0, 1] at " in page.inner_text("#warnings")
    page = visit("mnist_aux")
    assert page.inner_text("#warnings") == ""


def test_config_and_provenance_are_in_the_page(visit):
    page = visit("init_overlap")
    for summary in page.locator("summary").all():
        summary.click()
    about = page.inner_text("#about")
    known = json.loads((FIGURES / "init_overlap" / "summary.json").read_text())
    for words in (*known["findings"], known["provenance"]["git_commit"], "student lr"):
        assert words in about


def test_parts_of_a_users_own_are_named(browser, tmp_path):
    dataset = open_result(FIGURES / "theory_path").assign_attrs(parts='{"network": "my own net"}')
    page = browser.new_page()
    page.goto(tm.explore(dataset).save(tmp_path / "page.html").as_uri())
    page.wait_for_selector(READY)
    page.locator("summary", has_text="Parts of a user's own").click()
    assert "my own net" in page.inner_text("#about")
    page.close()


def save(page, part, kind, folder):
    with page.expect_download() as wait:
        page.click(f"#{part}-downloads button:has-text('{kind}')")
    path = folder / wait.value.suggested_filename
    wait.value.save_as(path)
    return path


def test_what_is_shown_can_be_saved(visit, tmp_path):
    page = visit("init_overlap")
    path = save(page, "curves", "CSV", tmp_path)
    assert path.name == "init_overlap_transfer_curves.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    runs = tm.succeeded(open_result(FIGURES / "init_overlap")).transfer
    assert len(rows) == 6 * 21
    for row in rows[::25]:
        place = {"group": row["group"], "rho": float(row["rho"]), "m": 3, "width": 256}
        mean, low, high, n = tm.mean_interval(runs.sel(place).values)
        found = [float(row[name]) for name in ("mean", "ci_low", "ci_high", "n")]
        assert found == pytest.approx([mean, low, high, n], rel=1e-6, abs=1e-12)
        assert float(row["seed_3"]) == pytest.approx(float(runs.sel(place | {"seed": 3})), rel=1e-6)
    for part in ("curves", "map"):
        assert save(page, part, "PNG", tmp_path).read_bytes().startswith(b"\x89PNG")
        drawing = ElementTree.parse(save(page, part, "SVG", tmp_path)).getroot()
        texts = [element.text for element in drawing.iter() if element.text]
        assert "initialisation overlap rho" in " ".join(texts)
        assert (
            len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) > 20
        )  # no mere photograph


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["init_overlap", "input_distribution", "lineage", "mnist_aux"])
def test_nothing_overflows_or_overlaps(visit, name, width):
    page = visit(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    parts = page.evaluate(
        "Array.from(document.querySelectorAll('header, .control, #slice, #point, h2, #legend button,"
        " #curves-plot, #map-plot, #warnings, .downloads, details')).map((e) =>"
        " e.getBoundingClientRect()).filter((b) => b.width).map((b) =>"
        " [b.left, b.top, b.right, b.bottom])"
    )
    assert len(parts) > 10
    for i, (left, top, right, bottom) in enumerate(parts):
        assert left >= 0
        assert right <= width
        for other in parts[:i]:
            beside = other[2] <= left + 1 or right <= other[0] + 1
            assert beside or other[3] <= top + 1 or bottom <= other[1] + 1


def test_labels_never_become_elements(browser, tmp_path):
    label = "<img src=x onerror='window.seen = 1'>"
    values = xr.DataArray([[0.1, 0.5], [0.2, 0.6]], {"seed": [0, 1], label: ["<b>a</b>", label]})
    file = tm.explore(xr.Dataset({"accuracy": values}), title=label).save(tmp_path / "page.html")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector(READY)
    settle(page)
    page.hover("#curves-plot", position=find_point(page, 1)["at"])
    page.locator(".bk-Tooltip").get_by_text(f"{label}: {label}", exact=True).wait_for()
    assert page.evaluate("window.seen") is None
    assert page.locator("img").count() == 0
    page.close()


def test_a_notebook_shows_it_alive(browser):
    explorer = tm.explore(open_result(FIGURES / "aux_count"))
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.set_content(explorer._repr_html_())
    frame = page.frame_locator("iframe")
    frame.locator(READY).wait_for()
    before = page.screenshot()
    frame.locator("label.control:has-text('Quantity') select").select_option("accuracy")
    settle(page)
    assert page.screenshot() != before
    heights = page.evaluate(
        "(() => { const f = document.querySelector('iframe');"
        " return [f.clientHeight, f.contentDocument.documentElement.scrollHeight]; })()"
    )
    assert heights[0] >= heights[1]  # no second scroll bar
    page.close()
