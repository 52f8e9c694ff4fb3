"""What a reader sees in Chromium: notebooks in JupyterLab, and the book.

``make browser`` makes the book, and then runs this.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from urllib.parse import unquote

import pytest
from test_package import public_helpers

import gtzan_mfcc
from conftest import PROJECT
from gtzan_mfcc import toy

webdriver = pytest.importorskip(
    "selenium.webdriver", reason="needs Selenium: make browser"
)
Wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Chromium and its driver: apt install chromium chromium-driver",
)

HERE = PROJECT / "tests" / "browser"
BUILD = PROJECT / "build" / "browser"
TOY = PROJECT / "data" / "toy-2"
NOTEBOOKS = sorted(PROJECT.glob("notebooks/*.ipynb"))
BOOK = PROJECT / "build" / "book"
REFERENCE = [f"reference/gtzan_mfcc.{name}.html" for name in gtzan_mfcc.__all__]
SOURCES = [*NOTEBOOKS, *PROJECT.glob("*.md"), *PROJECT.glob("[ac-z]*/*.md")]
PAGES = [
    *("index.html", "reference.html", "genindex.html", *REFERENCE),
    *(str(path.relative_to(PROJECT).with_suffix(".html")) for path in SOURCES),
]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--window-size=1400,1000")
    BUILD.mkdir(parents=True, exist_ok=True)
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as browser:
        yield browser


@pytest.fixture
def ask(browser):
    """Give a function that evaluates JavaScript in the page."""
    script = (HERE / "page.js").read_text()
    return lambda question: browser.execute_script(f"{script}\nreturn {question}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab on copies of the notebooks; give their address."""
    work = tmp_path_factory.mktemp("lab")
    notebooks = shutil.copytree(PROJECT / "notebooks", work / "notebooks")
    shutil.copytree(HERE / "labconfig", work / "labconfig")
    # The toy corpus, also where the notebooks would find GTZAN in data/.
    env = os.environ | {
        "GTZAN_DIR": str(toy.make_corpus(TOY)),
        "SNAPSHOTS_DIR": "",
        "TQDM_DISABLE": "",
        "BUILD_DIR": str(work / "build"),
        "JUPYTER_CONFIG_DIR": str(work),
    }
    options = "-m jupyterlab --no-browser --allow-root --expose-app-in-browser".split()
    log = work / "log"
    with subprocess.Popen(
        [sys.executable, *options, notebooks],
        env=env,
        stderr=log.open("w"),
    ) as server:
        address = None
        while address is None:
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
            address = re.search(r"(http://127\S+)(\?token=\S+)", log.read_text())
        yield f"{address[1]}/tree/%s{address[2]}&reset"
        server.terminate()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_run_all_in_jupyterlab(browser, ask, lab, path):
    def wait(question, minutes=1):
        Wait(browser, minutes * 60).until(lambda _: ask(question), question)

    browser.get(lab % path.name)
    wait("idle()")
    ask("runAll() && null")
    wait("window.ran && idle()", minutes=15)
    for share in (0, 0.5, 1):
        ask(f"scrollTo({share})")
        browser.save_screenshot(BUILD / f"{path.stem}-{share}.png")
    assert not ask("errors()")
    counts = ask("counts()")
    assert counts and counts == list(range(1, len(counts) + 1))
    assert "TOY CORPUS" in ask("text()")
    # What is shown where there is no picture, player or widget of an object.
    assert not re.search(r"<\S+( object|: >)|Error displaying widget", ask("text()"))
    # Appendix B has pictures only if there are real recordings.
    assert ask("pictures().length > 0") == (path.stem != "B_real_recordings")
    assert ask("pictures().every(Boolean)")
    players = ask("players().length > 0 && players().every(Boolean)")
    assert players == ("notebook.player(" in path.read_text(encoding="utf-8"))
    ask("remember()")
    if path.stem == "3_augmentation":
        slider = browser.find_element("css selector", ".jupyter-widgets .noUi-handle")
        slider.send_keys(webdriver.Keys.ARROW_RIGHT)
        wait("isNew() && idle()")
    if path.stem == "8_your_own_music":
        ask("upload()")
        chooser = browser.find_element("css selector", "body > input[type=file]")
        chooser.send_keys(str(TOY / "waltz" / "waltz.00000.wav"))
        wait("isNew() && idle()")
    browser.save_screenshot(BUILD / f"{path.stem}-end.png")
    assert not ask("errors()")
    ask("shutDown()")


@pytest.fixture
def open_page(browser):
    """Give a function that opens a page of the book in a window of a width."""

    def open_page(page, width):
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(f"{BOOK.as_uri()}/{page}")

    return open_page


@pytest.mark.parametrize("width", [400, 800, 1400])
@pytest.mark.parametrize("page", PAGES)
def test_page_is_not_cut_off(browser, ask, open_page, page, width):
    open_page(page, width)
    name = page.removesuffix(".html").replace("/", "-")
    browser.save_screenshot(BUILD / f"{name}-{width}.png")
    assert ask("all('article').length") == 1
    assert not ask("cutOff()")
    assert not ask("isScrolledSideways()")
    assert not [link for link in ask("links()") if not os.path.exists(unquote(link))]
    assert not ask("loadedFromNetwork()")


@pytest.mark.parametrize("page", PAGES)
def test_hidden_cells_open(browser, ask, open_page, page):
    open_page(page, 800)
    for cell in browser.find_elements("css selector", "article details"):
        browser.execute_script("arguments[0].open = false", cell)
        cell.find_element("css selector", "summary").click()
        assert cell.get_attribute("open")


def test_contents_open_on_a_telephone(browser, open_page):
    open_page("index.html", 400)
    link = browser.find_element("css selector", ".bd-sidebar-primary [href*='6_leak']")
    browser.find_element("css selector", ".primary-toggle").click()
    Wait(browser, 10).until(lambda _: link.is_displayed())
    browser.save_screenshot(BUILD / "contents-400.png")
    link.click()
    assert "6_leakage.html" in browser.current_url


def test_search_finds_leakage(browser, ask, open_page):
    open_page("search.html?q=leakage", 1400)
    Wait(browser, 30).until(lambda _: ask("found().length > 1"))
    browser.save_screenshot(BUILD / "search-1400.png")
    assert any("6_leakage.html" in link for link in ask("found()"))


@pytest.mark.parametrize("name", gtzan_mfcc.__all__)
def test_reference_has_every_public_name(ask, open_page, name):
    open_page(f"reference/gtzan_mfcc.{name}.html", 1400)
    module = importlib.import_module(f"gtzan_mfcc.{name}")
    names = {f"gtzan_mfcc.{name}.{each.__name__}" for each in public_helpers(module)}
    assert names <= set(ask("all('dt[id]').map((each) => each.id)"))
