"""The dashboard in narrow windows, and by the rules of accessibility that axe checks."""

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.dashboard_page import drawn, load, set_display, settle, write_page
from tests.synthetic_sweep import SyntheticSweep

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
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
