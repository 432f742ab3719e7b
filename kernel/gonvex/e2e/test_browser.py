"""A real browser: JupyterLab in headless Chromium, as a user drives it."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from conftest import BUILD, TESTDATA
from notebooks import NOTEBOOKS, assert_same, cleared, golden

SCREENSHOTS = BUILD / "screenshots"
START = 90_000  # ms for JupyterLab to come up, cold caches on a loaded machine
expect.set_options(timeout=START)
RUN = 600  # s for a notebook to run

# The settings a test needs: every cell drawn, not only those in view; no news popup, no
# question for a better name when a notebook is saved.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {"renameUntitledFileOnSave": False},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("no Chromium: apt-get install chromium")


class Lab:
    """A running server: its folder, and its address."""

    def __init__(self, root, url, token):
        self.root, self.url, self.token = root, url, token

    def page(self, path=""):
        return f"{self.url}/lab{path}?token={self.token}&reset"

    def kernels(self):
        deadline = time.monotonic() + START / 1000
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/kernels?token={self.token}", timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as e:
                # The server fails on a kernel that it has listed but not yet started:
                # "The 'last_activity' trait … expected a datetime, not the NoneType None".
                if e.code != 500 or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def shut_down(self, kernel):
        request = urllib.request.Request(f"{self.url}/api/kernels/{kernel}?token={self.token}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, environment):
    """A JupyterLab server on a folder with copies of the notebooks, their outputs cleared."""
    root = tmp_path_factory.mktemp("lab")
    for path in (*NOTEBOOKS, TESTDATA / "showcase.ipynb"):
        nbformat.write(cleared(path), root / path.name)
    settings = tmp_path_factory.mktemp("settings")
    for name, content in SETTINGS.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(json.dumps(content))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(16)
    log = open(BUILD / "jupyterlab.log", "w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
         "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}"],
        env={**environment, "JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(settings / "w")},
        stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START / 1000
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5).close()
            break
        except OSError:
            assert server.poll() is None, f"JupyterLab ended; see {log.name}"
            assert time.monotonic() < deadline, f"JupyterLab does not answer; see {log.name}"
            time.sleep(0.2)
    yield Lab(root, url, token)
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
    log.close()


@pytest.fixture(scope="module")
def browser():
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Containers have little /dev/shm, and no user namespaces for the sandbox.
        instance = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--disable-dev-shm-usage"], chromium_sandbox=False
        )
        yield instance
        instance.close()


@pytest.fixture
def page(browser, lab, request):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(START)
    yield page
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png".replace("/", "_"))
    page.close()
    for kernel in lab.kernels():  # the next test must not take this one's kernel for its own
        lab.shut_down(kernel["id"])


def wait_for_notebook(page, lab):
    """Until the notebook is on the page and its kernel has answered.

    The page also says "idle" before it has asked for a kernel; the server knows better.
    """
    expect(page.locator(".jp-Notebook")).to_be_visible(timeout=START)
    deadline = time.monotonic() + START / 1000
    while not any(k["execution_state"] == "idle" and k["connections"] for k in lab.kernels()):
        assert time.monotonic() < deadline, f"the kernel does not start: {lab.kernels()}"
        page.wait_for_timeout(200)
    expect(page.locator(".jp-Toolbar-kernelName").first).to_have_text("Go (Gonvex)", timeout=START)
    wait_idle(page)


def wait_idle(page):
    status = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-ExecutionIndicator")
    expect(status).to_have_attribute("data-status", "idle", timeout=START)


def menu(page, *labels):
    """Clicks through the menu bar."""
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{labels[0]}$")).click()
    for label in labels[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{label}$")).click()


def prompts(page):
    return page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()


def wait_for_all_cells(page, code_cells):
    """Until no cell is waiting ([*]) and all have a number."""
    deadline = time.monotonic() + RUN
    while True:
        now = prompts(page)
        if len(now) == code_cells and all(re.fullmatch(r"\[\d+\]:", p) for p in now):
            return
        assert time.monotonic() < deadline, f"cells did not all run: {now}"
        page.wait_for_timeout(200)


def test_launcher_offers_the_kernel(page, lab):
    page.goto(lab.page())
    card = page.locator('.jp-LauncherCard[title="Go (Gonvex)"]').first
    expect(card).to_be_visible(timeout=START)
    logo = card.locator("img").first
    expect(logo).to_be_visible()
    page.wait_for_function("e => e.naturalWidth > 0", arg=logo.element_handle())


@pytest.fixture
def cells(page, lab):
    """A new notebook."""
    page.goto(lab.page())
    page.locator('.jp-LauncherCard[title="Go (Gonvex)"]').first.click()
    wait_for_notebook(page, lab)
    return Cells(page)


class Cells:
    """Types into the last cell of a notebook, and looks at what it put out."""

    def __init__(self, page):
        self.page = page

    def type(self, code):
        self.page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
        self.page.keyboard.insert_text(code)

    def run(self, code):
        self.type(code)
        self.page.keyboard.press("Shift+Enter")

    @property
    def output(self):
        return self.page.locator(".jp-OutputArea-output").last

    def shows(self, text):
        expect(self.output).to_contain_text(text)


def test_new_notebook(page, cells):
    """Type a cell, see its value; an error with its position; the interrupt button."""
    cells.run("6 * 7")
    cells.shows("42")
    cells.run("x := undefinedName")
    cells.shows("undefinedName")
    cells.run('fmt.Println("begun")\nfor {\n}')
    cells.shows("begun")
    menu(page, "Kernel", "Interrupt Kernel")
    wait_idle(page)
    cells.run("2 + 3")
    cells.shows("5")


def test_complete(page, cells):
    cells.type("strings.ToUpp")
    page.keyboard.press("Tab")
    item = page.locator(".jp-Completer-item", has_text="ToUpper").first
    expect(item).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "completion.png")
    item.click()
    expect(page.locator(".jp-CodeCell .cm-content").last).to_contain_text("strings.ToUpper")


def test_inspect(page, cells):
    cells.type("strings.ToUpper")
    page.keyboard.press("Shift+Tab")
    tooltip = page.locator(".jp-Tooltip")
    expect(tooltip).to_contain_text("func ToUpper(s string) string")
    page.screenshot(path=SCREENSHOTS / "inspection.png")


def test_restart(page, cells):
    cells.run("gone := 1")
    cells.run("gone + 1")
    cells.shows("2")
    menu(page, "Kernel", "Restart Kernel…")
    page.locator(".jp-Dialog-button.jp-mod-accept").click()
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    wait_idle(page)
    cells.run("gone")
    cells.shows("undefined: gone")
    cells.run("6 * 7")
    cells.shows("42")


def test_restore(page, cells):
    """The worker dies; the cell says so, and %restore brings the variables back."""
    cells.run("kept := 41")
    cells.run("os.Getpid()")
    expect(cells.output).to_have_text(re.compile(r"^\d+$"))
    worker = int(cells.output.inner_text())
    cells.run('fmt.Println("begun")\nfor {\n}')
    cells.shows("begun")
    os.kill(worker, signal.SIGKILL)
    cells.shows("%restore runs the 2 cells")
    wait_idle(page)
    cells.run("%restore")
    cells.shows("restored: 2 cells")
    cells.run("kept + 1")
    cells.shows("42")


def test_load_fills_the_cell(page, lab, cells):
    (lab.root / "square.go").write_text("package main\n\nfunc square(x int) int { return x * x }\n")
    cells.run("%load square.go")
    expect(page.locator(".jp-CodeCell .cm-content").first).to_contain_text("func square")
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    wait_idle(page)
    cells.run("square(7)")
    cells.shows("49")


def test_slider(page, cells):
    """Moving it runs the callback, whose output stands below, and a later cell sees the value."""
    cells.run(
        's := &display.Slider{Label: "slope", Min: 0, Max: 10, Value: 2, Integer: true, OnChange: func(v float64) {\n'
        'fmt.Printf("slope is %v", v)\n'
        "p := plot.New()\n"
        "f := plotter.NewFunction(func(x float64) float64 { return v * x })\n"
        "p.Add(f); p.X.Max, p.Y.Max = 1, 10\n"
        "display.Show(p)\n}}\ns.Show()"
    )
    handle = page.locator(".widget-slider .noUi-handle")
    expect(handle).to_be_visible()
    expect(page.locator(".widget-label", has_text="slope")).to_be_visible()
    area = page.locator(".jp-OutputArea-output", has_text="slope is")
    expect(area).to_contain_text("slope is 2")
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(area).to_contain_text("slope is 5")
    expect(area.locator("svg, img")).to_have_count(1)
    page.screenshot(path=SCREENSHOTS / "slider.png")
    cells.run("s.Get()")
    cells.shows("5")
    cells.run("s.Set(9)")
    expect(area).to_contain_text("slope is 9")
    expect(page.locator(".widget-readout").first).to_have_text("9")
    # A page that is loaded anew finds the slider again, and it still works.
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)
    page.reload()
    expect(page.locator(".widget-readout").first).to_have_text("9")
    page.screenshot(path=SCREENSHOTS / "slider_reloaded.png")
    cells.run("s.Set(3)")
    expect(page.locator(".widget-readout").first).to_have_text("3")


def test_progress(page, cells):
    """One line that moves while the cell runs, and stays as text."""
    cells.run(
        'bar := display.NewProgress("training", 40)\nfor i := range 40 {\n'
        "time.Sleep(50 * time.Millisecond)\n"
        'bar.Set(i+1, fmt.Sprintf("loss %.3f", 1/float64(i+1)))\n}\nbar.Done("")'
    )
    bar = page.locator(".jp-OutputArea-output .gvx .bar i")
    expect(bar).to_be_visible()
    seen = set()
    while bar.count():
        seen.add(bar.first.evaluate("e => e.style.width", timeout=2000)) if bar.count() else None
        if len(seen) == 4:
            page.screenshot(path=SCREENSHOTS / "progress.png")
            break
    assert len(seen) >= 4, f"the bar does not move: {seen}"
    expect(cells.output).to_contain_text("✓")
    expect(cells.output).to_contain_text("40 / 40")
    assert page.locator(".jp-OutputArea-output").count() == 1


def wait_for_file(page, path, before):
    """The notebook that the server writes, in place: it is empty for a moment."""
    deadline = time.monotonic() + START / 1000
    while True:
        try:
            if path.stat().st_mtime_ns != before:
                return nbformat.read(path, as_version=4)
        except nbformat.reader.NotJSONError:
            pass
        assert time.monotonic() < deadline, "the notebook was not saved"
        page.wait_for_timeout(100)


@pytest.mark.parametrize("source", [*NOTEBOOKS, TESTDATA / "showcase.ipynb"], ids=lambda p: p.name)
def test_run_all_cells(page, lab, executed, source):
    name = source.name
    path = lab.root / name
    code_cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    page.goto(lab.page(f"/tree/{name}"))
    wait_for_notebook(page, lab)
    menu(page, "Run", "Run All Cells")
    wait_for_all_cells(page, len(code_cells))
    wait_idle(page)

    # What a person sees: pictures that have loaded, and no error but those asked for.
    loaded = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output img')].filter(i => i.complete && i.naturalWidth > 0).length"
    )
    drawn = page.locator(".jp-OutputArea-output svg").count()
    assert loaded + drawn > 0, "no picture is on the page"
    broken = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output img')].filter(i => !(i.complete && i.naturalWidth > 0)).length"
    )
    assert broken == 0, f"{broken} pictures did not load"
    cut = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output')]"
        ".filter(o => [...o.querySelectorAll('img, svg')].some(i => i.clientWidth > o.clientWidth)).length"
    )
    assert cut == 0, f"{cut} pictures are wider than the notebook"
    may_fail = sum("raises-exception" in c.metadata.get("tags", []) for c in code_cells)
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() <= may_fail

    # One picture of the whole notebook, from the top, for people to look at.
    scroller = page.locator(".jp-Notebook .jp-WindowedPanel-outer")
    tall = scroller.evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(int(tall) + 150, 16000)})
    scroller.evaluate("e => { e.scrollTop = 0 }")
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / name.replace(".ipynb", "_in_jupyterlab.png"))
    page.set_viewport_size({"width": 1280, "height": 1000})

    # And what is saved is a valid notebook with the same outputs.
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    saved = wait_for_file(page, path, before)
    nbformat.validate(saved)
    assert all(c.execution_count for c in saved.cells if c.cell_type == "code")
    errors = [
        o for c in saved.cells if c.cell_type == "code" for o in c.outputs
        if o.output_type == "error" and "raises-exception" not in c.metadata.get("tags", [])
    ]  # fmt: skip
    assert not errors, errors
    if golden(saved):
        assert_same(golden(saved), golden(executed(source)[0]))


def test_executed_page(browser, gonvex, tmp_path):
    """The HTML page of `gonvex exec` needs no network and loads its pictures."""
    subprocess.run(
        [gonvex, "exec", str(TESTDATA / "showcase.ipynb"), "-o", str(tmp_path / "s.ipynb")],
        check=True, env=os.environ, timeout=RUN, capture_output=True,
    )  # fmt: skip
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto((tmp_path / "s.html").as_uri())
    page.screenshot(path=SCREENSHOTS / "executed_page.png", full_page=True)
    pictures = page.evaluate("() => [...document.images].map(i => i.naturalWidth)")
    assert pictures and all(pictures)
    assert all(u.startswith(("file:", "data:")) for u in asked), asked
    page.close()
