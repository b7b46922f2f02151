"""The browser, and the dashboards that it opens."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.job_folder import Status
from tests.synthetic_sweep import SyntheticSweep

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
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


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.browser.dashboard_page import CLAIM, HOSTILE

    statuses = {1: Status.FAILED, 2: Status.DIVERGED, 4: Status.RUNNING, 5: None}
    written = SyntheticSweep(statuses=statuses, names={0: HOSTILE}, claims=[CLAIM], epochs=4)
    return written.write(tmp_path_factory.mktemp("browser") / "sweep")


@pytest.fixture(scope="session")
def page(sweep: Path) -> Path:
    other = SyntheticSweep(name="later", luck=1, torch="2.15.0", epochs=4).write(sweep.parent / "later")
    write_dashboard([sweep, other], sweep.parent / "both.html")
    write_dashboard([sweep], sweep.parent / "page.html")
    return sweep.parent / "page.html"


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with its chromedriver is installed")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    from tests.browser.dashboard_page import set_network

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
def browser(chrome: "Chrome", page: Path) -> "Iterator[Chrome]":
    """The freshly loaded dashboard, light and wide.

    Teardown checks that its console is empty and that it sent no network request.
    """
    from tests.browser.dashboard_page import load, log, set_display

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
