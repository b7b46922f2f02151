"""The dashboard's plots in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.comparing.dashboard.page import render
from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.pareto import pareto_front
from mnist_resnet.config.objective import objective_of
from mnist_resnet.job_folder import SEARCH, Status, write_metrics
from tests.browser.dashboard_page import (
    CLAIM,
    drawn,
    load,
    plotted,
    select,
    set_display,
    settle,
    tick,
    type_filter,
    wait_for_plot,
    write_page,
)
from tests.synthetic_sweep import SyntheticSweep


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


def test_names_at_marks_lie_over_no_other_name_or_mark(browser: Chrome) -> None:
    script = "return placesOfNames(arguments[0], arguments[1], [400, 300])"
    marks = [[100, 100], [112, 100], [395, 150], *[[200, 250]] * 5]
    places = browser.execute_script(script, marks, ["a name of a group"] * len(marks))
    assert places[:3] == ["top center", "bottom center", "middle left"]
    assert sorted(map(str, places[3:])) == ["None", "bottom center", "middle left", "middle right", "top center"]


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


def test_claims_that_are_not_plotted_are_named(browser: Chrome, tmp_path: Path) -> None:
    loss = CLAIM | {"metric": "train_loss", "value": 0.01}
    load(browser, write_page(tmp_path / "loss", SyntheticSweep(claims=[CLAIM, loss], predictions=False)))
    drawn(browser, "claims")
    assert "claims about train loss are in the table" in browser.find_element(By.ID, "claims").text


def test_dark_mode_applies_to_the_plots(browser: Chrome) -> None:
    def colours() -> list[Any]:
        text = drawn(browser, "curves").find_element(By.CSS_SELECTOR, ".xtick text").value_of_css_property("fill")
        return [text, browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")]

    light = colours()
    set_display(browser, width=1280, scheme="dark")
    WebDriverWait(browser, 30).until(lambda _: colours()[0] != light[0])
    assert colours()[1] != light[1]


def test_page_before_any_run_has_reported_has_no_empty_plot(browser: Chrome, tmp_path: Path) -> None:
    queued = SyntheticSweep(statuses=dict.fromkeys(range(12)), claims=[CLAIM], predictions=False)
    load(browser, write_page(tmp_path / "queued", queued))
    browser.execute_script("document.getElementById('claims').scrollIntoView()")
    settle(browser)
    assert "0 of 3" in browser.find_element(By.ID, "claims").text
    assert "No run has reported anything yet" in browser.find_element(By.ID, "curves").text
    assert browser.find_elements(By.CSS_SELECTOR, ".plot") == []


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
