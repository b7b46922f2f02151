"""The dashboard's table, filters and address in a real browser, opened from disk without network."""

import json
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.job_folder import RESULT
from tests.browser.dashboard_page import (
    HOSTILE,
    active,
    cells,
    drawn,
    heading,
    load,
    select,
    settle,
    tick,
    type_filter,
    write_page,
)
from tests.synthetic_sweep import SyntheticSweep


@pytest.mark.usefixtures("browser")
def test_dashboard_opens_from_disk_without_network_or_error() -> None:
    """The checks are in the fixture's teardown."""


def test_hostile_name_is_shown_as_text(browser: Chrome) -> None:
    assert cells(browser, "Run")[0] == HOSTILE
    assert browser.find_elements(By.CSS_SELECTOR, "img, #table script") == []


def test_numbers_are_rounded_as_in_the_printed_table(browser: Chrome) -> None:
    shares = [count / 320 for count in range(321)]
    shown = browser.execute_script("return arguments[0].map((share) => percent(share))", shares)
    assert shown == [f"{100 * share:.2f}" for share in shares]
    eighths = [count / 8 for count in range(-80, 81)]
    assert browser.execute_script("return arguments[0].map((value) => significant(value))", eighths) == [
        f"{value:.3g}".replace("-", "−") for value in eighths
    ]
    powers = [count / 256 for count in range(1, 257)]
    assert browser.execute_script("return arguments[0].map(probability)", powers) == [f"{p:.3f}" for p in powers]


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


def test_two_sweeps_are_shown_side_by_side(browser: Chrome, page: Path) -> None:
    load(browser, page.parent / "both.html")
    section = browser.find_element(By.ID, "sweeps").text
    assert "8 jobs completed in both" in section
    assert "2.14.0" in section
    assert "2.15.0" in section
    select(browser, "sweep", "later")
    assert set(cells(browser, "sweep")) == {"later"}


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
