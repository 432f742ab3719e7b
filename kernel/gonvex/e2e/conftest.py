"""End-to-end tests: the installed binary under real clients.

They run in the environment that install.sh makes, where the kernel is registered:

    GONVEX=PREFIX/bin/gonvex BUILD=build PREFIX/share/gonvex/venv/bin/python -m pytest kernel/gonvex/e2e
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager

from notebooks import SCALE, takes_scale

ROOT = Path(__file__).resolve().parents[3]
TESTDATA = ROOT / "kernel" / "gonvex" / "testdata"
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"
BUILD = Path(os.environ.get("BUILD") or ROOT / "build").resolve()
KERNEL = "gonvex"
TIMEOUT = 60  # seconds until a test gives up on a message; generous, for loaded machines


@pytest.fixture(scope="session")
def gonvex():
    """The installed binary."""
    path = os.environ.get("GONVEX") or shutil.which("gonvex")
    assert path, "no gonvex: run ./install.sh test, or set GONVEX"
    return path


@pytest.fixture(scope="session")
def environment():
    """Python's own bin folder first, so that `jupyter` is this environment's."""
    return {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}


@pytest.fixture(scope="session")
def executed(gonvex, tmp_path_factory):
    """What `gonvex exec` makes of a notebook, with no Python in sight: the notebook, and
    the text of its page. Each is run once."""
    @functools.cache
    def run(path):
        folder = tmp_path_factory.mktemp("executed")
        out, page = folder / path.name, folder / "page.html"
        scale = ["-p", f"scale={SCALE}"] if takes_scale(path) else []
        done = subprocess.run(
            [gonvex, "exec", path, "-o", out, "--html", page, *scale],
            env={"PATH": "/nowhere", "HOME": str(folder)},
            capture_output=True, text=True, timeout=30 * 60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return nbformat.read(out, as_version=4), page.read_text()

    return run


class Client:
    """A kernel and a blocking client, with what the tests ask for most."""

    def __init__(self, flags=(), wrapper=(), **start):
        self.manager = KernelManager(kernel_name=KERNEL)
        spec = self.manager.kernel_spec
        spec.argv = [*wrapper, *spec.argv, *flags]
        self.manager.start_kernel(**start)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def run(self, code, hook=None, **options):
        """Runs a cell; returns its reply's content and its outputs."""
        outputs = []

        def collect(message):
            outputs.append(message)
            if hook:
                hook(message)

        reply = self.client.execute_interactive(
            code, timeout=TIMEOUT, output_hook=collect, **{"allow_stdin": False, **options}
        )
        return reply["content"], outputs

    def text(self, code, **options):
        """Runs a cell that must succeed; returns what it printed and the value it showed."""
        content, outputs = self.run(code, **options)
        assert content["status"] == "ok", content
        printed = "".join(m["content"]["text"] for m in outputs if m["msg_type"] == "stream")
        value = "".join(
            m["content"]["data"]["text/plain"] for m in outputs if m["msg_type"] == "execute_result"
        )
        return printed + value

    def workers(self):
        """The process ids of the kernel's workers."""
        return children(self.manager.provisioner.pid)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def children(parent):
    """Process ids whose parent is the given one, from /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        # The name, in parentheses, may hold spaces: the fields start after its end.
        state, ppid = text.rpartition(")")[2].split()[:2]
        if int(ppid) == parent and state != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.fixture
def start():
    """Starts kernels that end with the test."""
    clients = []

    def start(*args, **options):
        clients.append(Client(*args, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def kernel(start):
    return start()
