"""Measures the dashboard of large sweeps: how long it takes to build and to open, and how long a key holds it.

Run `python -m benchmarks.dashboard`; it needs chromium with its chromedriver, and selenium (extra `test`). The job list
is frozen by a real launch, the jobs' results are made up, and the page is opened from disk in a headless browser.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config import ROOT
from benchmarks.large_sweep import launch, make_up_results, run
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.many_jobs import TINY
from benchmarks.startup import TRAIN

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NAME = "pages"
SEEDS_EACH = 20
"""Jobs for each seed: two widths and ten learning rates."""

OPENED = 5
"""How often each page is opened."""

TYPED = "accuracy > 70, lr = 0.01"
"""What is typed into the filter, key by key; it leaves a few of the runs, so that all sections come into view."""

SECTIONS = ("runs", "groups", "curves", "explore", "parallel")
"""Parts of the page in which one looks while the filter changes."""

FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking")

WATCH = """
    window.tasks = [];
    new PerformanceObserver((found) => tasks.push(...found.getEntries().map((task) => task.duration)))
      .observe({ type: "longtask", buffered: true });"""
"""Records how long each task of the page was that took 50 ms or more; the browser reports no shorter ones."""

OPEN_SECONDS = """
    const [painted] = performance.getEntriesByName("first-contentful-paint");
    return Math.max(performance.getEntriesByType("navigation")[0].loadEventEnd, painted?.startTime ?? 0) / 1000;"""
"""Until the page is built and painted, in seconds since it was asked for; nothing while it is not."""

SETTLED = """
    const done = arguments[0];
    const isBusy = () => isFilling || [...waiting].some((place) => inView.has(place));
    const look = () => isBusy() ? setTimeout(look, 20) : setTimeout(done, 200);
    look();"""
"""Waits until the parts in view are filled."""


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    machine = describe_machine()
    print(headline(machine))
    measured = {size: measure(size) for size in options.jobs}
    rows = [
        {"": name, **{f"{size:,} jobs": measured[size][name] for size in options.jobs}} for name in _names(measured)
    ]
    lines = [*table(rows), "", *_notes()]
    print("\n".join(lines))
    if options.write:
        path = write_results("dashboard", machine, lines, {"measured": measured})
        print(f"written: {path.relative_to(ROOT)}.md, .json")


def measure(jobs: int) -> dict[str, str]:
    """Return each measurement of a page of so many jobs, as text with its unit."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rates = ",".join(str(number / 1000) for number in range(1, 11))
        levels = [f"seed=range(1,{jobs // SEEDS_EACH + 1})", "model.width=2,4", f"optim.lr={rates}"]
        tiny = [override for override in TINY if not override.startswith("model.width=")]
        sweep = folder / "multirun" / NAME
        launch([*TRAIN, "-m", *tiny, *levels, "tracking=none", f"sweep.name={NAME}"], folder, sweep)
        make_up_results(sweep)
        built = run([sys.executable, "-m", "mnist_resnet.compare", str(sweep), "--format", "html"], folder)
        page = sweep / "dashboard.html"
        return {
            "build, s": f"{built['wall']:.2f}",
            "of it on a processor, s": f"{built['processor']:.2f}",
            "size, MB": f"{page.stat().st_size / 1e6:.2f}",
            **_in_browser(page, folder / "profile"),
        }


def _in_browser(page: Path, profile: Path) -> dict[str, str]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    browser = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        browser.set_script_timeout(300)
        size = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        opened = [_open(browser, page) for _ in range(OPENED)]
        return {
            f"open, s (median of {OPENED})": f"{statistics.median(opened):.2f}",
            "open, s (the first time)": f"{opened[0]:.2f}",
            **{f"longest task after a key at {section}, ms": _longest(browser, section) for section in SECTIONS},
        }
    finally:
        browser.quit()


def _open(browser: "Chrome", page: Path) -> float:
    """Open the page anew and return the seconds until it is built and painted."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    browser.execute_async_script(SETTLED)
    return float(browser.execute_script(OPEN_SECONDS))


def _longest(browser: "Chrome", section: str) -> str:
    """Type the filter and clear it while a section is looked at; return the longest task after a key, in milliseconds.

    The first figure is the median over the keys, the second one the most.
    """
    browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", section)
    browser.execute_async_script(SETTLED)
    script = """
        tasks = [];
        const field = document.querySelector("#filters input");
        field.value = arguments[0];
        field.dispatchEvent(new Event("input"));
        document.getElementById(arguments[1]).scrollIntoView();"""
    longest = []
    for length in [*range(1, len(TYPED) + 1), 0]:
        browser.execute_script(script, TYPED[:length], section)
        browser.execute_async_script(SETTLED)
        longest.append(max(browser.execute_script("return tasks"), default=0))
    return f"{_milliseconds(statistics.median(longest))} ({_milliseconds(max(longest))})"


def _milliseconds(duration: float) -> str:
    return f"{duration:.0f}" if duration else "< 50"


def _names(measured: dict[int, dict[str, str]]) -> Sequence[str]:
    return list(next(iter(measured.values())))


def _notes() -> list[str]:
    return [
        "Two widths, ten learning rates and the seeds; build: the command from the shell. Opened from disk in headless "
        "Chromium without a GPU, until it is built and painted. Then a filter is typed key by key, each drawn before "
        "the next, and cleared: the longest time for which the page takes no input, drawing included; the median over "
        "the keys and, in brackets, the most, in which other work on the machine has its part.",
    ]


def _options(arguments: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 10_000], help="sizes (default: %(default)s)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
