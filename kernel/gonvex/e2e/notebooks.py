"""The numbers that notebooks stand for, and what it takes to compare them."""

import os
import re
from pathlib import Path

import nbformat

NOTEBOOKS = sorted((Path(__file__).resolve().parents[3] / "notebooks").glob("[0-9]*.ipynb"))

# A notebook that takes a scale runs small; NOTEBOOK_SCALE=1 runs all at full size.
SCALE = os.environ.get("NOTEBOOK_SCALE", "0.1")


def takes_scale(path):
    return '"scale := 1.0' in path.read_text()


def cleared(path):
    """The notebook without its outputs, at the scale of the tests."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = cell.source.replace("scale := 1.0", f"scale := float64({SCALE})")
    return notebook


def outputs_of(notebook):
    return [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]


def golden(notebook):
    """What the cells tagged "golden" print: the numbers that a notebook stands for."""
    return "".join(
        o.get("text", "")
        for c in notebook.cells
        if c.cell_type == "code" and "golden" in c.metadata.get("tags", [])
        for o in c.outputs
    )


NUMBER = re.compile(r"[-+]?\d+(?:\.(\d+))?(?:e[-+]?\d+)?")


def assert_same(got, want):
    """Words and whole numbers are the same, and others but for two units of the
    last digit that is printed: a notebook prints as many digits as it is sure of."""
    assert NUMBER.sub("#", got) == NUMBER.sub("#", want)
    for a, b in zip(NUMBER.finditer(got), NUMBER.finditer(want)):
        unit = 10.0 ** -len(b[1]) if b[1] else 0
        assert abs(float(a[0]) - float(b[0])) <= 2.001 * unit, f"{a[0]}, where {b[0]} is wanted, in:\n{got}"
