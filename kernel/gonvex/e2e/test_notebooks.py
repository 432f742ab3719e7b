"""Notebooks through `gonvex exec`, with no Python in sight, and through nbclient.
test_browser.py runs them in JupyterLab, and the numbers are the same three ways."""

import shutil
import subprocess

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import KERNEL, QUICKSTART, TESTDATA, TIMEOUT
from notebooks import NOTEBOOKS, SCALE, assert_same, cleared, golden, outputs_of, takes_scale


def pictures(notebook):
    return [o for o in outputs_of(notebook) if {"image/png", "image/svg+xml"} & set(o.get("data", {}))]


def committed(path):
    return golden(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_exec_without_python(path, executed):
    notebook, page = executed(path)
    nbformat.validate(notebook)
    assert pictures(notebook), "no cell shows a picture"
    assert "data:image/" in page or "<svg" in page
    # The committed notebook has outputs too: that is what a reader sees first.
    assert outputs_of(nbformat.read(path, as_version=4)), f"{path.name} is committed without outputs"
    if SCALE == "1" or not takes_scale(path):
        assert_same(golden(notebook), committed(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_parts(path):
    """Every notebook has a question and numbers to hold it to, and those that take long a scale."""
    notebook = nbformat.read(path, as_version=4)
    parameters = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1
    text = "".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert "**The question.**" in text and committed(path)
    if path.name >= "04":
        assert "scale := 1.0" in parameters[0].source and "**What to see.**" in text


def test_there_is_a_quickstart():
    assert QUICKSTART in NOTEBOOKS


@pytest.mark.parametrize("path", [*NOTEBOOKS, TESTDATA / "showcase.ipynb"], ids=lambda p: p.name)
def test_nbclient(path, executed, tmp_path):
    """Through Jupyter's own client the numbers are those of `gonvex exec`."""
    notebook = cleared(path)
    NotebookClient(
        notebook, kernel_name=KERNEL, timeout=30 * 60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert pictures(notebook)
    if golden(notebook):
        assert_same(golden(notebook), golden(executed(path)[0]))


def test_exec_needs_no_home(gonvex, tmp_path):
    shutil.copy(TESTDATA / "showcase.ipynb", tmp_path)
    run = subprocess.run(
        [gonvex, "exec", "showcase.ipynb"], env={}, cwd=tmp_path, capture_output=True, text=True, timeout=10 * TIMEOUT
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "showcase.executed.ipynb").exists() and (tmp_path / "showcase.executed.html").exists()
