"""The dashboard where no script may run, as on a build server that archives it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser.dashboard_page import set_network

STRICT = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A policy that runs no script."""
STRICTER = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self'"
"""What build servers send with an archived page: no style of the page's own either, and no picture from within it."""


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
