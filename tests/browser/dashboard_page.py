"""What tests do on the dashboard's page in a browser: load it, read it, filter it, wait for its plots."""

import json
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.job_folder import FORMAT, SEARCH
from tests.synthetic_sweep import SyntheticSweep

pytest.importorskip("selenium", reason="selenium is not installed (extra `test`)")

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
CLAIM = {"metric": "test_accuracy", "epoch": "last", "value": 0.985, "approximate": False, "words": "98.5 %"}


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


def plotted(browser: Chrome, section: str) -> list[list[Any]]:
    """Return the values of each trace of markers in the first plot of a section."""
    script = """return document.querySelector(`#${arguments[0]} .plot`).data
        .filter((trace) => trace.mode === "markers").map((trace) => trace.y)"""
    values: list[list[Any]] = browser.execute_script(script, section)
    return values
