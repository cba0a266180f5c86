"""The pages in headless Chromium: nothing fails, every control works, phones and dark mode."""

import json
import shutil
from pathlib import Path

import pytest

from silo_jax.reporting import write_report
from silo_jax.reporting.several import write_runs_report
from tests.reporting_comparison import OPTIONS, write_comparison
from tests.reporting_oracle import write_search
from tests.reporting_premise import write_premise
from tests.reporting_run import config, write_run

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver (chromium-driver) are not there"
)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
KINDS = ("run", "several", "comparison", "oracle", "premise")

# The data that figure number i draws; a control's other choice; a page that is wider than its view.
DRAWN = "return JSON.stringify(document.querySelectorAll('.plot')[arguments[0]].data)"
FIGURES = "return document.querySelectorAll('.plot .main-svg:first-child').length"
OVERHANG = "return document.documentElement.scrollWidth - window.innerWidth"
CHANGE = """
const field = document.querySelectorAll('.interactive')[arguments[0]].querySelectorAll(
  'select, input')[arguments[1]];
if (field.tagName === 'SELECT') field.selectedIndex = arguments[2];
else field.checked = arguments[2] === 0;
field.dispatchEvent(new Event('change', {bubbles: true}));
"""
FIELDS = """
return [...document.querySelectorAll('.interactive')].map((figure) =>
  [...figure.querySelectorAll('select, input')].map((field) => field.selectedIndex ?? 0));
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_run(folder / "run")
    write_run(folder / "short", {0: 3, 1: 3}, config() | {"seeds": [0, 1]})
    write_comparison(folder / "comparison")
    write_search(folder / "oracle")
    (folder / "premise").mkdir()
    write_premise(folder / "premise")
    several = write_runs_report([folder / "run", folder / "short"], folder / "several")
    single = {kind: write_report(folder / kind) for kind in KINDS if kind != "several"}
    return single | {"several": several}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def show(browser, page: Path, *, width: int = 1200, scheme: str = "light") -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    colours = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [colours]})
    browser.get(page.as_uri())


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_changes_its_figure_and_back_without_an_error(browser, pages, kind):
    show(browser, pages[kind])
    fields = browser.execute_script(FIELDS)
    assert browser.execute_script(FIGURES) == len(fields)
    assert sum(map(len, fields)) > 0
    for figure, starts in enumerate(fields):
        before = browser.execute_script(DRAWN, figure)
        for field, start in enumerate(starts):
            browser.execute_script(CHANGE, figure, field, 1 if start == 0 else 0)
            assert browser.execute_script(DRAWN, figure) != before, (figure, field)
            browser.execute_script(CHANGE, figure, field, start)
            assert browser.execute_script(DRAWN, figure) == before, (figure, field)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_fits_a_phone_and_has_other_colours_in_the_dark(browser, pages, kind):
    from selenium.webdriver.support.wait import WebDriverWait

    ink = "return document.querySelector('.plot').layout.font.color"
    lines = "return document.querySelector('.plot .xtick text').style.fill"
    show(browser, pages[kind], width=390)
    assert browser.execute_script(OVERHANG) <= 0
    light = browser.execute_script(ink), browser.execute_script(lines)
    colours = {"name": "prefers-color-scheme", "value": "dark"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [colours]})
    WebDriverWait(browser, 10).until(lambda _: browser.execute_script(lines) != light[1])
    assert (light[0], browser.execute_script(ink)) == ("#1c1c1e", "#e6e6e8")
    assert browser.execute_script(OVERHANG) <= 0
    assert browser.get_log("browser") == []


def test_the_keyboard_picks_a_density_and_a_button_unticks_every_schedule(browser, pages):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, pages["comparison"])
    form = browser.find_element(By.CSS_SELECTOR, ".interactive form")
    menu = form.find_element(By.NAME, "density")
    menu.send_keys(Keys.ARROW_DOWN)
    drawn = json.loads(browser.execute_script(DRAWN, 0))
    assert [(trace["mode"], *trace["x"]) for trace in drawn] == [
        ("markers", option) for option in sorted(OPTIONS, key="silo".__eq__)
    ]
    form.find_element(By.CSS_SELECTOR, "button[value=none]").send_keys(Keys.ENTER)
    assert json.loads(browser.execute_script(DRAWN, 0)) == []
    form.find_element(By.CSS_SELECTOR, "input[value=cosine]").send_keys(Keys.SPACE)
    assert [trace["name"] for trace in json.loads(browser.execute_script(DRAWN, 0))] == ["cosine"]
