"""Notebooks through `gonvex exec`, with no Python in sight, and through nbclient."""

import os
import shutil
import subprocess

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import KERNEL, QUICKSTART, ROOT, TESTDATA, TIMEOUT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def scale_of(path):
    """Makes a notebook that takes a scale small; NOTEBOOK_SCALE=1 runs all at full size."""
    return ["-p", f"scale={os.environ.get('NOTEBOOK_SCALE', '0.1')}"] if '"scale := 1.0' in path.read_text() else []


def outputs_of(notebook):
    return [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]


def pictures(notebook):
    return [o for o in outputs_of(notebook) if {"image/png", "image/svg+xml"} & set(o.get("data", {}))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_exec_without_python(path, gonvex, tmp_path):
    out, page = tmp_path / path.name, tmp_path / "page.html"
    run = subprocess.run(
        [gonvex, "exec", path, "-o", out, "--html", page, *scale_of(path)],
        env={"PATH": "/nowhere", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30 * 60,
    )
    assert run.returncode == 0, run.stderr
    notebook = nbformat.read(out, as_version=4)
    nbformat.validate(notebook)
    assert pictures(notebook), "no cell shows a picture"
    text = page.read_text()
    assert "data:image/" in text or "<svg" in text
    # The committed notebook has outputs too: that is what a reader sees first.
    assert outputs_of(nbformat.read(path, as_version=4)), f"{path.name} is committed without outputs"


def test_there_is_a_quickstart():
    assert QUICKSTART in NOTEBOOKS


@pytest.mark.parametrize("path", [QUICKSTART, TESTDATA / "showcase.ipynb"], ids=lambda p: p.name)
def test_nbclient(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, kernel_name=KERNEL, timeout=10 * TIMEOUT, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert pictures(notebook)


def test_exec_needs_no_home(gonvex, tmp_path):
    shutil.copy(TESTDATA / "showcase.ipynb", tmp_path)
    run = subprocess.run(
        [gonvex, "exec", "showcase.ipynb"], env={}, cwd=tmp_path, capture_output=True, text=True, timeout=10 * TIMEOUT
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "showcase.executed.ipynb").exists() and (tmp_path / "showcase.executed.html").exists()
