"""Notebooks through `gonvex exec`, with no Python in sight, and through nbclient."""

import os
import re
import shutil
import subprocess

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import KERNEL, QUICKSTART, ROOT, TESTDATA, TIMEOUT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


SCALE = os.environ.get("NOTEBOOK_SCALE", "0.1")


def scale_of(path):
    """Makes a notebook that takes a scale small; NOTEBOOK_SCALE=1 runs all at full size."""
    return ["-p", f"scale={SCALE}"] if '"scale := 1.0' in path.read_text() else []


def outputs_of(notebook):
    return [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]


def pictures(notebook):
    return [o for o in outputs_of(notebook) if {"image/png", "image/svg+xml"} & set(o.get("data", {}))]


NUMBER = re.compile(r"[-+]?\d+(?:\.(\d+))?(?:e[-+]?\d+)?")


def golden(notebook):
    """What the cells tagged "golden" print: the numbers that a notebook stands for."""
    return "".join(
        o.get("text", "")
        for c in notebook.cells
        if c.cell_type == "code" and "golden" in c.metadata.get("tags", [])
        for o in c.outputs
    )


def assert_same_numbers(got, want):
    """Words and whole numbers are the same, and others but for two units of the
    last digit that is printed: a notebook prints as many digits as it is sure of."""
    assert NUMBER.sub("#", got) == NUMBER.sub("#", want)
    for a, b in zip(NUMBER.finditer(got), NUMBER.finditer(want)):
        unit = 10.0 ** -len(b[1]) if b[1] else 0
        assert abs(float(a[0]) - float(b[0])) <= 2.001 * unit, f"{a[0]}, where {b[0]} is wanted, in:\n{got}"


def committed(path):
    return golden(nbformat.read(path, as_version=4))


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
    if SCALE == "1" or not scale_of(path):
        assert_same_numbers(golden(notebook), committed(path))


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.name >= "04"], ids=lambda p: p.name)
def test_parts(path):
    """Every notebook with figures can be run small, and has numbers to hold it to."""
    notebook = nbformat.read(path, as_version=4)
    parameters = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1 and "scale := 1.0" in parameters[0].source
    text = "".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert "**The question.**" in text and "**What to see.**" in text
    assert committed(path)


def test_there_is_a_quickstart():
    assert QUICKSTART in NOTEBOOKS


@pytest.mark.parametrize("path", [*NOTEBOOKS, TESTDATA / "showcase.ipynb"], ids=lambda p: p.name)
def test_nbclient(path, gonvex, tmp_path):
    """Through Jupyter's own client the numbers are those of `gonvex exec`."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if scale_of(path):
                cell.source = cell.source.replace("scale := 1.0", f"scale := float64({SCALE})")
    NotebookClient(
        notebook, kernel_name=KERNEL, timeout=30 * 60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert pictures(notebook)
    if golden(notebook):
        out = tmp_path / path.name
        command = [gonvex, "exec", path, "-o", out, "--no-html", *scale_of(path)]
        subprocess.run(command, check=True, timeout=30 * 60)
        assert_same_numbers(golden(notebook), golden(nbformat.read(out, as_version=4)))


def test_exec_needs_no_home(gonvex, tmp_path):
    shutil.copy(TESTDATA / "showcase.ipynb", tmp_path)
    run = subprocess.run(
        [gonvex, "exec", "showcase.ipynb"], env={}, cwd=tmp_path, capture_output=True, text=True, timeout=10 * TIMEOUT
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "showcase.executed.ipynb").exists() and (tmp_path / "showcase.executed.html").exists()
