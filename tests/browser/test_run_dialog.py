"""What the dashboard shows of a single run, in a real browser."""

import json
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from mnist_resnet.comparing.dashboard import write_dashboard
from mnist_resnet.job_folder import write_metrics
from tests.browser.dashboard_page import active, load
from tests.synthetic_sweep import SyntheticSweep


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
