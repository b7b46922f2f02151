"""The dashboard in a real browser: opened from disk without network, by keyboard, in dark mode and narrow windows."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.comparing.dashboard.page import render
from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.pareto import pareto_front
from mnist_resnet.config.objective import objective_of
from mnist_resnet.job_folder import FORMAT, RESULT, SEARCH, Status, write_metrics
from tests.synthetic_sweep import SyntheticSweep

pytest.importorskip("selenium", reason="selenium is not installed (extra `test`)")

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver is installed")

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
CLAIM = {"metric": "test_accuracy", "epoch": "last", "value": 0.985, "approximate": False, "words": "98.5 %"}
FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    statuses = {1: Status.FAILED, 2: Status.DIVERGED, 4: Status.RUNNING, 5: None}
    written = SyntheticSweep(statuses=statuses, names={0: HOSTILE}, claims=[CLAIM], epochs=4)
    return written.write(tmp_path_factory.mktemp("browser") / "sweep")


@pytest.fixture(scope="module")
def page(sweep: Path) -> Path:
    other = SyntheticSweep(name="later", luck=1, torch="2.15.0", epochs=4).write(sweep.parent / "later")
    write_dashboard([sweep, other], sweep.parent / "both.html")
    write_dashboard([sweep], sweep.parent / "page.html")
    return sweep.parent / "page.html"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    driver.execute_cdp_cmd("Network.enable", {})
    set_network(driver, offline=True)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chrome: Chrome, page: Path) -> Iterator[Chrome]:
    """The freshly loaded dashboard, light and wide.

    Teardown checks that its console is empty and that it sent no network request.
    """
    set_display(chrome, width=1280, scheme="light")
    log(chrome, "browser")
    log(chrome, "performance")
    load(chrome, page)
    yield chrome
    assert log(chrome, "browser") == []
    events = [json.loads(entry["message"])["message"] for entry in log(chrome, "performance")]
    requested = [
        event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
    ]
    assert requested
    assert [url for url in requested if not url.startswith(("file:", "data:", "blob:"))] == []


def log(chrome: Chrome, kind: str) -> list[dict[str, Any]]:
    """Return the log entries since the last call."""
    entries: list[dict[str, Any]] = chrome.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def set_network(chrome: Chrome, offline: bool) -> None:
    unlimited = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    chrome.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": offline, **unlimited})


def set_display(chrome: Chrome, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def load(chrome: Chrome, page: Path) -> None:
    chrome.get(page.as_uri())
    WebDriverWait(chrome, 60).until(
        lambda driver: driver.execute_script("return document.documentElement.dataset.ready")
    )


def cells(browser: Chrome, head: str) -> list[str]:
    """Return the cells of the table column with this heading."""
    script = """
        const heads = [...document.querySelectorAll("#table thead th")];
        const at = heads.findIndex((head) => head.textContent.replace(/\\n/g, " ") === arguments[0]);
        return [...document.querySelectorAll("#table tbody tr")].map((row) => row.cells[at].textContent);"""
    texts: list[str] = browser.execute_script(script, head)
    return texts


def heading(browser: Chrome, head: str) -> WebElement:
    heads = browser.find_elements(By.CSS_SELECTOR, "#table thead th")
    return next(element for element in heads if element.text.replace("\n", " ") == head)


def drawn(browser: Chrome, section: str) -> WebElement:
    """Scroll to the first plot of a section, which is filled when it is seen, and return it once it is drawn."""
    browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)
    waiting = WebDriverWait(browser, 30)
    plots = waiting.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, f"#{section} .plot"))
    browser.execute_script("arguments[0].scrollIntoView()", plots[0])
    selector = f"#{section} .plot .main-svg, #{section} .plot > svg"
    waiting.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector))
    settle(browser)
    return browser.find_element(By.CSS_SELECTOR, selector)


def settle(browser: Chrome) -> None:
    """Wait until all parts that are in view have been filled: what is filled moves what is below it.

    After a scroll, which parts are in view is known two frames later.
    """
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
    )
    is_filled = "return !isFilling && ![...waiting].some((place) => inView.has(place))"
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(is_filled))


def select(browser: Chrome, label: str, option: str) -> None:
    path = f"//label[starts-with(normalize-space(.), '{label}')]/select/option[normalize-space(.)='{option}']"
    browser.find_element(By.XPATH, path).click()


def tick(browser: Chrome, label: str) -> None:
    browser.find_element(
        By.XPATH, f"//label[@class='check' and normalize-space(.)='{label}' and not(ancestor::details)]/input"
    ).click()


def type_filter(browser: Chrome, text: str) -> None:
    field = browser.find_element(By.CSS_SELECTOR, "#filters input")
    field.clear()
    field.send_keys(text)


def active(browser: Chrome) -> WebElement:
    return browser.switch_to.active_element


@pytest.mark.usefixtures("browser")
def test_dashboard_opens_from_disk_without_network_or_error() -> None:
    """The checks are in the fixture's teardown."""


def test_hostile_name_is_shown_as_text(browser: Chrome) -> None:
    assert cells(browser, "Run")[0] == HOSTILE
    assert browser.find_elements(By.CSS_SELECTOR, "img, #table script") == []


def test_table_sorts_both_ways_and_sets_aria_sort(browser: Chrome) -> None:
    head = "Test accuracy, %"
    heading(browser, head).find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heading(browser, head).get_attribute("aria-sort") == "descending"
    falling = [float(cell) for cell in cells(browser, head) if cell != "–"]
    assert falling == sorted(falling, reverse=True)
    active(browser).send_keys(Keys.SPACE)
    assert heading(browser, head).get_attribute("aria-sort") == "ascending"
    assert [float(cell) for cell in cells(browser, head) if cell != "–"] == sorted(falling)
    # Rows without a value stay at the end.
    assert cells(browser, head)[-1] == "–"


def test_filters_apply_to_table_and_plots(browser: Chrome) -> None:
    select(browser, "model", "stem7x7")
    assert set(cells(browser, "model")) == {"stem7x7"}
    assert "6 of 12 runs" in browser.find_element(By.ID, "count").text
    select(browser, "Status", "completed")
    assert set(cells(browser, "Status")) == {"completed"}
    drawn(browser, "curves")
    ends = [row.text.split()[1] for row in browser.find_elements(By.CSS_SELECTOR, "#curves tbody tr")]
    assert ends == ["1", "3"]
    browser.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    assert len(cells(browser, "Status")) == 12


def test_text_filter_searches_names(browser: Chrome) -> None:
    type_filter(browser, "ONERROR")
    assert cells(browser, "Run") == [HOSTILE]


def test_filter_takes_conditions_and_says_what_it_does_not_understand(browser: Chrome) -> None:
    head = "Test accuracy, %"
    accuracies = [float(cell) for cell in cells(browser, head) if cell != "–"]
    bound = sorted(accuracies)[len(accuracies) // 2]
    type_filter(browser, f"accuracy > {bound}")
    assert sorted(float(cell) for cell in cells(browser, head)) == sorted(x for x in accuracies if x > bound)
    type_filter(browser, "lr between 0.01 and 0.1, model = stem7x7")
    assert set(cells(browser, "optim.lr")) == {"0.02"}
    assert set(cells(browser, "model")) == {"stem7x7"}
    type_filter(browser, "lr between 0.1 and 0.01")
    assert set(cells(browser, "optim.lr")) == {"0.02"}
    type_filter(browser, "accuracy > 94,5")
    assert "write 94.5" in browser.find_element(By.ID, "count").text
    assert len(cells(browser, head)) == 12
    type_filter(browser, "colour > 3")
    assert "nothing is named “colour”" in browser.find_element(By.ID, "count").text
    type_filter(browser, "lr >")
    assert "wants a value" in browser.find_element(By.ID, "count").text
    assert len(cells(browser, head)) == 12


def test_filter_acts_on_every_section(browser: Chrome) -> None:
    type_filter(browser, "lr < 0.01, model = stem7x7, seed = 1")
    drawn(browser, "curves")
    assert [row.text.split()[0] for row in browser.find_elements(By.CSS_SELECTOR, "#curves tbody tr")] == ["0.001"]
    browser.execute_script("document.getElementById('groups').scrollIntoView()")
    (group,) = browser.find_elements(By.CSS_SELECTOR, "#groups tbody tr")
    assert "part of the runs" in group.text
    drawn(browser, "claims")
    assert "1 of 4 claims" in browser.find_element(By.ID, "claims").text
    browser.execute_script("document.getElementById('effects').scrollIntoView()")
    WebDriverWait(browser, 30).until(lambda _: "also of those" in browser.find_element(By.ID, "effects").text)
    assert browser.find_elements(By.CSS_SELECTOR, "#effects tbody tr") == []
    label = drawn(browser, "parallel").find_element(By.XPATH, "..").get_attribute("aria-label")
    assert label == "Parallel coordinates of 1 run"


def test_filter_acts_on_means_and_spread_of_a_study_of_variance(browser: Chrome, tmp_path: Path) -> None:
    seeds = [*({"seeds.init": 1 + alone} for alone in range(3)), *({"seeds.order": 2 + alone} for alone in range(2))]
    together = [{"seeds.init": number, "seeds.order": number} for number in (2, 3)]
    rows: list[dict[str, Any]] = [
        {"model": model, "seeds.init": 1, "seeds.order": 1, **own}
        for model in ("stem3x3", "stem7x7")
        for own in [*seeds, *together]
    ]
    folder = tmp_path / "study"
    load(browser, write_page(folder, SyntheticSweep(rows=rows, predictions=False)))

    def lines(section: str) -> list[str]:
        browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)
        settle(browser)
        return [row.text for row in browser.find_elements(By.CSS_SELECTOR, f"#{section} tbody tr")]

    assert [line.split()[:2] for line in lines("groups")] == [["stem3x3", "3"], ["stem7x7", "3"]]
    assert len(lines("spread")) == 2 * 4
    frame = load_sweep(folder)
    frame = frame[(frame["model"] == "stem7x7") & (frame["seeds.init"] == frame["seeds.order"])]
    type_filter(browser, "model = stem7x7, init < 3")
    (group,) = lines("groups")
    mean = frame[frame["seeds.init"] < 3]["test_accuracy"].mean()
    assert group.startswith(f"stem7x7 2 {100 * mean:.2f} "), "without the runs of one source"
    assert {line.split()[0] for line in lines("spread")} == {"model=stem7x7"}
    type_filter(browser, "init > 0")
    lines("explore")
    (importance,) = browser.find_elements(By.CSS_SELECTOR, "#explore [aria-label^='Importance']")
    assert "seeds." not in str(importance.get_attribute("aria-label")), "one source at a time is no factorial"
    assert "also of those that the filter hides" in browser.find_element(By.ID, "spread").text


def test_picked_runs_are_overlaid_with_the_settings_in_which_they_differ(browser: Chrome) -> None:
    boxes = browser.find_elements(By.CSS_SELECTOR, "#table tbody input")
    for number in (0, 9):
        boxes[number].click()
    rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#picked tbody tr")]
    assert "optim.lr 0.001 0.02" in rows
    assert "model stem3x3 stem7x7" in rows
    assert not any(row.startswith(("seed", "trainer")) for row in rows)
    drawn(browser, "curves")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#curves tbody tr")) == 2
    tick(browser, "show only the 2 picked runs")
    assert len(cells(browser, "Run")) == 2


def test_view_is_kept_in_the_address(browser: Chrome) -> None:
    type_filter(browser, "lr > 0.01")
    heading(browser, "Test accuracy, %").find_element(By.TAG_NAME, "button").click()
    select(browser, "Metric", "loss on test images")
    browser.find_elements(By.CSS_SELECTOR, "#table tbody input")[1].click()
    before = [cells(browser, "Run"), browser.find_element(By.ID, "picked").text]
    browser.refresh()
    assert [cells(browser, "Run"), browser.find_element(By.ID, "picked").text] == before
    assert heading(browser, "Test accuracy, %").get_attribute("aria-sort") == "descending"
    assert "loss on test images" in str(
        drawn(browser, "curves").find_element(By.XPATH, "ancestor::*[@role='group']").get_attribute("aria-label")
    )


def test_range_dragged_on_a_parallel_axis_filters_the_page(browser: Chrome) -> None:
    drawn(browser, "parallel")
    strip = browser.find_element(By.CSS_SELECTOR, "#parallel .strip")  # of optim.lr, with 0.02 at its top
    height = int(strip.size["height"])
    drag = ActionChains(browser).move_to_element_with_offset(strip, 0, 4 - height // 2).click_and_hold()
    drag.move_by_offset(0, height // 3).release().perform()
    assert set(cells(browser, "optim.lr")) == {"0.02"}
    browser.find_element(By.CSS_SELECTOR, "#chips .chip").click()
    assert set(cells(browser, "optim.lr")) == {"0.001", "0.02"}


def test_any_quantity_is_plotted_against_any_other(browser: Chrome) -> None:
    for show, selector in (
        ("points", ".xy .scatterlayer path.point"),
        ("slices by every factor", ".x2y2 .scatterlayer path.point"),
    ):
        select(browser, "Show", show)
        drawn(browser, "explore")
        found = expected_conditions.presence_of_all_elements_located((By.CSS_SELECTOR, f"#explore {selector}"))
        assert len(WebDriverWait(browser, 30).until(found)) == 11
    select(browser, "Show", "points")
    select(browser, "Quantity", "test loss")
    select(browser, "Against", "time, s")
    label = "#explore .plot[aria-label='test loss against time, s, 11 runs']"
    WebDriverWait(browser, 30).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, label))


def write_page(folder: Path, sweep: SyntheticSweep, **search: Any) -> Path:
    """Write a sweep and its page, as a search with these keys if any are given, and return the page."""
    sweep.write(folder)
    if search:
        (folder / SEARCH).write_text(json.dumps({"format": FORMAT} | search))
    write_dashboard([folder], folder / "page.html")
    return folder / "page.html"


def wait_for_plot(browser: Chrome, section: str, label: str) -> str:
    """Wait for a plot of a section whose description contains `label`, and return the description."""

    def found(_: Chrome) -> str | None:
        plots = browser.find_elements(By.CSS_SELECTOR, f"#{section} .plot:has(.main-svg)")
        return next((text for plot in plots if label in (text := str(plot.get_attribute("aria-label")))), None)

    text = WebDriverWait(browser, 30).until(found)
    assert text
    return text


def test_contour_is_drawn_over_two_numeric_factors_and_importance_finds_the_one_that_matters(
    browser: Chrome, tmp_path: Path
) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [0.005, 0.01, 0.02], "model.width": [16, 32, 64], "seed": [1, 2]}
    # the last figures of runs that failed or diverged are no results
    statuses: dict[int, Status | None] = {0: Status.FAILED, 17: Status.DIVERGED}
    page = write_page(tmp_path / "grid", SyntheticSweep(factors=factors, statuses=statuses, predictions=False))
    load(browser, page)
    select(browser, "Show", "contour of two factors")
    drawn(browser, "explore")
    label = wait_for_plot(browser, "explore", "interpolated")
    assert label == "test error, % over optim.lr and model.width, interpolated between 16 runs"
    contour = browser.find_elements(By.CSS_SELECTOR, "#explore .contour, #explore .contourlayer path")
    assert contour
    assert len(browser.find_elements(By.CSS_SELECTOR, "#explore .scatterlayer path.point")) == 16

    browser.execute_script("document.querySelector('#explore').scrollIntoView(false)")
    shown = wait_for_plot(browser, "explore", "Importance").partition(": ")[2].removesuffix(" %").split(" %, ")
    shares = {name: int(share) for name, share in (entry.rsplit(" ", 1) for entry in shown)}
    frame = load_sweep(tmp_path / "grid")
    assert frame["test_accuracy"].notna().all()
    frame = frame[frame["status"] == "completed"]
    log_error = pd.Series(np.log(1 - frame["test_accuracy"].to_numpy(dtype=float)), frame.index)
    for factor in ("optim.lr", "model.width", "seed"):
        groups = log_error.groupby(frame[factor])
        within = (groups.var() * (groups.size() - 1)).sum() / (len(frame) - groups.ngroups)
        assert shares[factor] == pytest.approx(100 * max(0, 1 - within / log_error.var()), abs=0.6), factor
    assert shares["optim.lr"] > 50 > shares["model.width"]
    type_filter(browser, "width < 50")
    drawn(browser, "explore")
    wait_for_plot(browser, "explore", "interpolated between 11 runs")
    browser.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    select(browser, "Show", "points")
    drawn(browser, "explore")
    wait_for_plot(browser, "explore", "18 runs")
    script = "return document.querySelector('#explore .plot').data[0].marker.symbol"
    symbols = browser.execute_script(script)
    assert [number for number, symbol in enumerate(symbols) if symbol == "circle-open"] == [0, 17]
    assert "Hollow marks" in browser.find_element(By.ID, "explore").text
    drawn(browser, "parallel")
    lines = browser.find_element(By.CSS_SELECTOR, "#parallel .plot").get_attribute("aria-label")
    assert lines == "Parallel coordinates of 16 runs"


def test_contour_has_a_bounded_grid_however_many_values_there_are(browser: Chrome, tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [0.001 * n for n in range(1, 71)], "model.width": [16, 32]}
    load(browser, write_page(tmp_path / "many", SyntheticSweep(factors=factors, predictions=False)))
    select(browser, "Show", "contour of two factors")
    wait_for_plot(browser, "explore", "interpolated between 140 runs")
    grid, places = browser.execute_script(
        "const [contour, runs] = document.querySelector('#explore .js-plotly-plot').data;"
        "return [[contour.x.length, contour.y.length, contour.z.flat().every(Number.isFinite)], runs.x.length]"
    )
    assert (grid, places) == ([35, 2, True], 140)


def test_thousands_of_marks_are_one_picture_that_still_names_the_run(
    browser: Chrome, sweep: Path, tmp_path: Path
) -> None:
    data, copies = page_data([sweep]), 200
    lists = {name: data["mistakes"][name] * copies for name in ("confusion", "misread", "set")}
    curves = {metric: runs * copies for metric, runs in data["curves"].items()}
    many = data | {"jobs": data["jobs"] * copies, "curves": curves, "mistakes": data["mistakes"] | lists}
    (tmp_path / "many.html").write_text(render(many))
    load(browser, tmp_path / "many.html")
    select(browser, "Quantity", "test error, %")
    select(browser, "Colour by", "model")
    drawn(browser, "explore")
    wait_for_plot(browser, "explore", f"{11 * copies:,} runs")
    pictures = "#explore .layer-above .imagelayer image"
    WebDriverWait(browser, 30).until(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, pictures)) == 1)
    # each model's hue is in it
    script = """
        const done = arguments[1], image = new Image();
        image.onload = () => {
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.width, image.height];
          const pen = canvas.getContext("2d");
          pen.drawImage(image, 0, 0);
          const { data } = pen.getImageData(0, 0, image.width, image.height);
          const seen = [0, 0];
          for (let at = 0; at < data.length; at += 4)
            if (data[at + 3] > 100) seen[data[at] > data[at + 2] ? 1 : 0] += 1;
          done(seen);
        };
        image.src = document.querySelector(arguments[0]).getAttribute("href");"""
    blue, orange = browser.execute_async_script(script, pictures)
    assert min(blue, orange) > 100
    assert len(browser.find_elements(By.CSS_SELECTOR, "#explore .scatterlayer path.point")) < 10
    assert "model=stem7x7" in browser.find_element(By.CSS_SELECTOR, "#explore .legend").text
    script = """
        const plot = document.querySelector("#explore .plot"), trace = plot.data.find((other) => other.x[0] != null);
        const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
        const at = (axis, value) => axis._offset + axis.l2p(axis.type === "log" ? Math.log10(value) : value);
        return [box.left + at(xaxis, trace.x[0]), box.top + at(yaxis, trace.y[0]), trace.text[0]];"""
    left, top, name = browser.execute_script(script)
    across, down = round(left), round(top)
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": across, "y": down})
    found = expected_conditions.presence_of_element_located((By.CSS_SELECTOR, "#explore .hoverlayer .hovertext"))
    assert name.partition(",")[0] in str(WebDriverWait(browser, 30).until(found).text)
    type_filter(browser, "seed = 1, lr = 0.001")
    drawn(browser, "explore")
    label = f"test error, % against optim.lr, {2 * copies} runs"
    assert wait_for_plot(browser, "explore", label)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#explore .scatterlayer path.point")) == 2 * copies


def test_of_keys_typed_at_once_the_last_one_is_drawn(browser: Chrome) -> None:
    drawn(browser, "curves")
    visible = browser.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].filter((p) => inView.has(p)).length"
    )
    script = """
        window.drawings = 0;
        const react = Plotly.react;
        Plotly.react = (...all) => { window.drawings += 1; return react(...all); };
        const field = document.querySelector("#filters input");
        for (const text of ["l", "lr", "lr = 0.02", "lr = 0.02, m", "lr = 0.02, model = stem7x7"]) {
          field.value = text;
          field.dispatchEvent(new Event("input"));
        }"""
    browser.execute_script(script)
    assert set(cells(browser, "model")) == {"stem7x7"}, "the table follows at once"
    settle(browser)
    assert 0 < browser.execute_script("return drawings") <= visible
    assert [row.text.split()[0] for row in browser.find_elements(By.CSS_SELECTOR, "#curves tbody tr")] == ["0.02"]
    script = """
        drawings = 0;
        const field = document.querySelector("#filters input");
        field.value += ", seed > 0, colour = 1";
        field.dispatchEvent(new Event("input"));"""
    browser.execute_script(script)
    settle(browser)
    assert browser.execute_script("return drawings") == 0, "the same runs are left"
    assert "nothing is named “colour”" in browser.find_element(By.ID, "count").text


def test_names_at_marks_lie_over_no_other_name_or_mark(browser: Chrome) -> None:
    script = "return placesOfNames(arguments[0], arguments[1], [400, 300])"
    marks = [[100, 100], [112, 100], [395, 150], *[[200, 250]] * 5]
    places = browser.execute_script(script, marks, ["a name of a group"] * len(marks))
    assert places[:3] == ["top center", "bottom center", "middle left"]
    assert sorted(map(str, places[3:])) == ["None", "bottom center", "middle left", "middle right", "top center"]


def test_search_shows_its_history_with_pruned_trials_and_its_space(browser: Chrome, tmp_path: Path) -> None:
    rows = [{"optim.lr": lr} for lr in (0.001, 0.02, 0.003, 0.004)]
    base = {"sweep.objective": "val_accuracy", "sweep.objective_epoch": "last"}
    sweep = SyntheticSweep(rows=rows, base=base, val=True, statuses={1: Status.PRUNED}, epochs=4, predictions=False)
    load(browser, write_page(tmp_path / "found", sweep, space=[{"key": "optim.lr", "typed": "interval(0.001,0.1)"}]))
    drawn(browser, "search")
    wait_for_plot(browser, "search", "of each trial, with the best so far")
    legend = browser.find_element(By.CSS_SELECTOR, "#search .legend").text
    assert "pruned, value of its last epoch" in legend
    assert "expected best of as many random trials" in legend
    browser.find_element(By.CSS_SELECTOR, "#search summary").click()
    assert "optim.lr interval(0.001,0.1)" in browser.find_element(By.ID, "search").text
    drawn(browser, "parallel")
    titles = [
        title.text.split("\n")[-1] for title in browser.find_elements(By.CSS_SELECTOR, "#parallel svg text.title")
    ]
    assert titles[:2] == ["optim.lr", "held-out accur…"], "the objective comes first"
    assert not any(title.startswith("time") for title in titles), "equal in all runs"


def test_search_with_several_objectives_shows_its_pareto_front(browser: Chrome, tmp_path: Path) -> None:
    folder, seconds = tmp_path / "front", [5.0, 1.0, 3.0, 9.0, 2.0]
    base = {"sweep.objective": ["val_accuracy", "training_seconds"], "sweep.objective_epoch": "last"}
    rows = [{"optim.lr": lr} for lr in (0.001, 0.02, 0.003, 0.004, 0.005)]
    sweep = SyntheticSweep(rows=rows, base=base, val=True, epochs=1, predictions=False)
    sweep.write(folder)
    jobs, _ = load_jobs([folder])
    for job, taken in zip(jobs, seconds, strict=True):
        write_metrics(job.folder, [epoch | {"training_seconds": taken} for epoch in job.history.epochs])
    (folder / SEARCH).write_text("{}")
    write_dashboard([folder], folder / "page.html")
    load(browser, folder / "page.html")
    drawn(browser, "search")
    jobs, _ = load_jobs([folder])
    front = pareto_front(jobs, objective_of(jobs[0].config))
    label = wait_for_plot(browser, "search", "Pareto front")
    assert label.endswith(f"{len(front)} trial{'s' * (len(front) != 1)} on the front")
    points = [len(found) for found in plotted(browser, "search")]
    assert points == [5 - len(front), len(front)]


def plotted(browser: Chrome, section: str) -> list[list[Any]]:
    """Return the values of each trace of markers in the first plot of a section."""
    script = """return document.querySelector(`#${arguments[0]} .plot`).data
        .filter((trace) => trace.mode === "markers").map((trace) => trace.y)"""
    values: list[list[Any]] = browser.execute_script(script, section)
    return values


def test_run_of_a_task_with_metrics_of_its_own_has_its_curves(browser: Chrome, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    metrics = {"reward": {"better": "higher"}, "solved": {"better": "higher", "scale": "share"}}
    SyntheticSweep(base={"task": {"_target_": "my.fit"}, "metrics": metrics}, predictions=False).write(folder)
    for file in folder.glob("*/result.json"):
        lines = [{"step": 10 * step, "reward": 3.0 * step, "solved": step / 4, "seconds": 1.0} for step in range(4)]
        write_metrics(file.parent, lines)
        result = json.loads(file.read_text()) | {"epochs": None, "last": lines[-1], "best": lines[-1]}
        file.write_text(json.dumps(result | {"epochs_completed": 4, "images_per_second": None}))
    write_dashboard([folder], folder / "page.html")
    load(browser, folder / "page.html")
    browser.find_element(By.CSS_SELECTOR, "#table .name").click()
    dialog = browser.find_element(By.ID, "run")
    WebDriverWait(browser, 30).until(lambda _: len(dialog.find_elements(By.CSS_SELECTOR, ".main-svg .xy")) >= 2)
    values = browser.execute_script("return [...document.querySelectorAll('#run .plot')].map((plot) => plot.data[0].y)")
    assert values == [[0, 3, 6, 9], [0, 25, 50, 75]]
    assert "Reports\n4" in dialog.text
    assert "images per second" not in dialog.text
    assert "report (from 0)" in dialog.text


def test_curve_ends_at_the_mean_of_its_runs(browser: Chrome, sweep: Path) -> None:
    for factor in ("optim.lr", "model"):
        tick(browser, factor)
    drawn(browser, "curves")
    row = browser.find_element(By.CSS_SELECTOR, "#curves tbody tr").text.split()
    epochs = load_sweep(sweep, epochs=True)
    last = epochs[(epochs["model"] == "stem3x3") & (epochs["epoch"] == 3)]
    assert row[:2] == ["stem3x3", str(len(last))]
    assert row[2] == f"{100 * (1 - last['test_accuracy']).mean():.2f}"


def test_every_section_draws_its_plot(browser: Chrome) -> None:
    for section in ("claims", "curves", "effects", "parallel"):
        assert drawn(browser, section).is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, "#claims .verdict").text


def test_run_opens_and_closes_by_keyboard(browser: Chrome) -> None:
    names = browser.find_elements(By.CSS_SELECTOR, "#table .name")
    names[0].send_keys(Keys.ARROW_DOWN)
    assert active(browser) == names[1]
    active(browser).send_keys(Keys.ENTER)
    dialog = browser.find_element(By.ID, "run")
    assert dialog.is_displayed()
    assert "Traceback" in dialog.text
    assert "ValueError: no such <image>" in dialog.text
    WebDriverWait(browser, 30).until(lambda _: dialog.find_elements(By.CSS_SELECTOR, ".main-svg"))
    active(browser).send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
    assert active(browser) == names[1]


def test_run_links_to_its_mistakes(browser: Chrome) -> None:
    browser.find_element(By.CSS_SELECTOR, "#table .name").click()
    browser.find_element(By.XPATH, "//dialog//button[.='Its mistakes']").click()
    everything = len(browser.find_elements(By.CSS_SELECTOR, "#mistakes .pictures li"))
    browser.find_element(By.CSS_SELECTOR, "#mistakes .confusion button").click()
    pressed = browser.find_element(By.CSS_SELECTOR, "#mistakes .confusion button[aria-pressed=true]")
    items = browser.find_elements(By.CSS_SELECTOR, "#mistakes .pictures li")
    assert len(items) == int(pressed.text) < everything
    label, predicted = str(pressed.get_attribute("aria-label")).partition(":")[0].split(" predicted as ")
    assert {item.text.split(" ")[0:3] == [label, "→", predicted] for item in items} == {True}
    assert "url(" in items[0].find_element(By.CLASS_NAME, "picture").value_of_css_property("background-image")


def test_dark_mode_applies_to_the_plots(browser: Chrome) -> None:
    def colours() -> list[Any]:
        text = drawn(browser, "curves").find_element(By.CSS_SELECTOR, ".xtick text").value_of_css_property("fill")
        return [text, browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")]

    light = colours()
    set_display(browser, width=1280, scheme="dark")
    WebDriverWait(browser, 30).until(lambda _: colours()[0] != light[0])
    assert colours()[1] != light[1]


def test_narrow_window_does_not_scroll_sideways(browser: Chrome, page: Path) -> None:
    set_display(browser, width=360, scheme="light")
    load(browser, page)
    for section in ("claims", "curves", "effects", "parallel"):
        drawn(browser, section)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    # verdicts and conclusions are seen without scrolling the table
    script = """return [...document.querySelectorAll(`#${arguments[0]} table`)].slice(0, 1).map((table) =>
        [table.rows[0].cells[1].textContent, table.rows[1].cells[1].getBoundingClientRect().right])[0]"""
    for section, head in (("claims", "verdict"), ("effects", "effect")):
        found, right = browser.execute_script(script, section)
        assert found == head
        assert right <= 360, section
    browser.find_element(By.CSS_SELECTOR, "#table .name").click()
    assert browser.execute_script("return document.getElementById('run').scrollWidth") <= 360


def test_page_before_any_run_has_reported_has_no_empty_plot(browser: Chrome, tmp_path: Path) -> None:
    queued = SyntheticSweep(statuses=dict.fromkeys(range(12)), claims=[CLAIM], predictions=False)
    load(browser, write_page(tmp_path / "queued", queued))
    browser.execute_script("document.getElementById('claims').scrollIntoView()")
    settle(browser)
    assert "0 of 3" in browser.find_element(By.ID, "claims").text
    assert "No run has reported anything yet" in browser.find_element(By.ID, "curves").text
    assert browser.find_elements(By.CSS_SELECTOR, ".plot") == []


def test_two_sweeps_are_shown_side_by_side(browser: Chrome, page: Path) -> None:
    load(browser, page.parent / "both.html")
    section = browser.find_element(By.ID, "sweeps").text
    assert "8 jobs completed in both" in section
    assert "2.14.0" in section
    assert "2.15.0" in section
    select(browser, "sweep", "later")
    assert set(cells(browser, "sweep")) == {"later"}


STRICT = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A policy that runs no script."""
STRICTER = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self'"
"""What build servers send with an archived page: no style of the page's own either, and no picture from within it."""


@pytest.mark.parametrize("policy", [STRICT, STRICTER])
def test_tables_and_pictures_are_there_where_no_script_may_run(chrome: Chrome, page: Path, policy: str) -> None:
    with served(page.parent, policy) as address:
        set_network(chrome, offline=False)
        chrome.get(f"{address}/page.html")
        shown = chrome.find_element(By.TAG_NAME, "body").text
        pictures = chrome.find_elements(By.CSS_SELECTOR, "#static svg")
        colours = {line.value_of_css_property("stroke") for line in pictures[0].find_elements(By.TAG_NAME, "polyline")}
        rows = chrome.find_elements(By.CSS_SELECTOR, "#static table:first-of-type tbody tr")
        live = chrome.find_element(By.ID, "live").is_displayed()
        sizes = [picture.size["height"] for picture in pictures]
        set_network(chrome, offline=True)
    assert not live
    for heading in ("Runs", "Training curves", "Claims against measurement", "Effect of each factor"):
        assert heading in shown
    assert "12 runs: " in shown
    assert "stem3x3 2 failed" in rows[1].text
    assert len(colours) == 3, "an axis and two levels"
    assert len(sizes) == 2
    assert min(sizes) > 100


def test_live_view_takes_the_place_of_the_static_one(browser: Chrome) -> None:
    assert browser.find_elements(By.ID, "static") == []
    assert browser.find_element(By.ID, "live").is_displayed()


@contextmanager
def served(folder: Path, policy: str) -> Iterator[str]:
    """Serve a folder on loopback with this Content-Security-Policy; yield the address."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", policy)
            super().end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


WITH_AXE = pytest.mark.skipif(not AXE.exists(), reason="axe is not in this checkout (npm install --no-save axe-core)")
DISPLAYS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
)


def broken_rules(browser: Chrome) -> list[tuple[str, Any]]:
    """Fill all sections, and return what breaks a rule of accessibility, with its place."""
    sections = browser.execute_script("return [...document.querySelectorAll('main > section')].map((part) => part.id)")
    for section in sections:
        browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)
        settle(browser)
    browser.execute_script(AXE.read_text())
    found = browser.execute_async_script("axe.run().then((results) => arguments[0](results.violations))")
    return [(entry["id"], node["target"]) for entry in found for node in entry["nodes"]]


@WITH_AXE
@DISPLAYS
def test_page_follows_the_rules_of_accessibility(browser: Chrome, page: Path, width: int, scheme: str) -> None:
    set_display(browser, width, scheme)
    load(browser, page)
    browser.find_element(By.CSS_SELECTOR, "#table tbody input").click()
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert broken_rules(browser) == []
    browser.execute_script("openRun(1)")
    assert broken_rules(browser) == []


@WITH_AXE
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
def test_studies_follow_the_rules_of_accessibility(browser: Chrome, tmp_path: Path, width: int, scheme: str) -> None:
    set_display(browser, width, scheme)
    sources = [{"seeds.init": init, "seeds.order": order} for init, order in ((1, 1), (2, 1), (1, 2), (2, 2))]
    objective = {"sweep.objective": "val_accuracy", "sweep.objective_epoch": "last"}
    added = {"sweep.seeds": "auto", "sweep.interval_width": 1, "sweep.max_seeds": 9}
    trials = SyntheticSweep(
        rows=[{"optim.lr": rate} for rate in (0.001, 0.02, 0.003)], base=objective, val=True, predictions=False
    )
    pages = [
        (write_page(tmp_path / "variance", SyntheticSweep(rows=sources, predictions=False)), "spread"),
        (write_page(tmp_path / "auto", SyntheticSweep(base=added, predictions=False)), "spread"),
        (
            write_page(tmp_path / "search", trials, space=[{"key": "optim.lr", "typed": "interval(0.001,0.1)"}]),
            "search",
        ),
    ]
    for study, part in pages:
        load(browser, study)
        assert broken_rules(browser) == [], study.parent.name
        assert browser.find_element(By.ID, part).text


def test_names_are_not_cut_before_what_tells_runs_apart(browser: Chrome, tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"optim.lr": [0.001, 0.02], "seed": [1, 2]}
    names = ["a name of some length, and the first", "a name of some length, and the second"]
    cut = {number: f"schedu-eebeb1f9804{number}" for number in range(4)}
    folders = [
        SyntheticSweep(name=name, factors=factors, names=cut, epochs=2, predictions=False).write(tmp_path / name)
        for name in names
    ]
    for job in load_jobs(folders)[0]:
        (job.folder / RESULT).write_text(json.dumps(job.result | {"training_seconds": 3.0}))
    write_dashboard(folders, tmp_path / "page.html")
    load(browser, tmp_path / "page.html")
    assert cells(browser, "Run") == [f"run {number}" for number in range(4)] * 2
    drawn(browser, "groups")
    labels = browser.execute_script("return document.querySelector('#groups .plot').data[0].text")
    assert len(labels) == len(set(labels)) == 4
    assert all("lr=0.001" in label or "lr=0.02" in label for label in labels), labels
    drawn(browser, "parallel")
    texts = browser.execute_script(
        "return [...document.querySelectorAll('#parallel svg > g')].map((axis) =>"
        " [...axis.querySelectorAll('text:not(.title)')].map((tick) => tick.textContent))"
    )
    assert all(len(ticks) == len(set(ticks)) for ticks in texts), texts
