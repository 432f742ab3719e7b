"""A real browser: JupyterLab in headless Chromium, as a user drives it."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from conftest import BUILD, QUICKSTART, TESTDATA

SCREENSHOTS = BUILD / "screenshots"
START = 90_000  # ms for JupyterLab to come up, cold caches on a loaded machine
RUN = 600  # s for a notebook to run

# The settings a test needs: every cell drawn, not only those in view; no news popup.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
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
    for path in (QUICKSTART, TESTDATA / "showcase.ipynb"):
        if not path.exists():
            continue
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, root / path.name)
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


def test_new_notebook(page, lab):
    """Type a cell, see its value; an error with its position; the interrupt button."""
    page.goto(lab.page())
    page.locator('.jp-LauncherCard[title="Go (Gonvex)"]').first.click()
    wait_for_notebook(page, lab)

    def run(code):
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
        page.keyboard.insert_text(code)
        page.keyboard.press("Shift+Enter")

    run("6 * 7")
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("42")
    run("x := undefinedName")
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("undefinedName")
    run('fmt.Println("begun")\nfor {\n}')
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("begun")
    menu(page, "Kernel", "Interrupt Kernel")
    wait_idle(page)
    run("2 + 3")
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("5")


@pytest.mark.parametrize("name", [QUICKSTART.name, "showcase.ipynb"])
def test_run_all_cells(page, lab, name):
    path = lab.root / name
    assert path.exists(), f"{name} is missing"
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
    may_fail = sum("raises-exception" in c.metadata.get("tags", []) for c in code_cells)
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() <= may_fail

    # One picture of the whole notebook, from the top, for people to look at.
    scroller = page.locator(".jp-Notebook .jp-WindowedPanel-outer")
    tall = scroller.evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(int(tall) + 150, 12000)})
    scroller.evaluate("e => { e.scrollTop = 0 }")
    page.wait_for_timeout(1000)
    page.screenshot(path=SCREENSHOTS / name.replace(".ipynb", "_in_jupyterlab.png"))
    page.set_viewport_size({"width": 1280, "height": 1000})

    # And what is saved is a valid notebook with the same outputs.
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + START / 1000
    while path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline, "the notebook was not saved"
        page.wait_for_timeout(100)
    saved = nbformat.read(path, as_version=4)
    nbformat.validate(saved)
    assert all(c.execution_count for c in saved.cells if c.cell_type == "code")
    errors = [
        o for c in saved.cells if c.cell_type == "code" for o in c.outputs
        if o.output_type == "error" and "raises-exception" not in c.metadata.get("tags", [])
    ]  # fmt: skip
    assert not errors, errors


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
