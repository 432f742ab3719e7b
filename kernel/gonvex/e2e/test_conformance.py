"""The tests of kernel/kerneltest/jupyter, which speak to any kernel, on the registered one."""

import os
import subprocess
import sys

from conftest import KERNEL, ROOT

FOLDER = ROOT / "kernel" / "kerneltest" / "jupyter"


def run(*command):
    done = subprocess.run(
        [sys.executable, *command], cwd=FOLDER, env={**os.environ, "KERNEL_NAME": KERNEL}, capture_output=True, text=True, timeout=900
    )
    return done.stdout + done.stderr


def test_conformance():
    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_kernel.py")
    assert " passed" in told and "failed" not in told and "skipped" not in told and "error" not in told, told


def test_robustness():
    """Forged, replayed, broken and hostile messages; stalled and half-open clients; lost parents."""
    told = run("test_robust.py", KERNEL)
    line = told.rpartition("| passed |")[2].partition("\n")[0]  # the log follows the table
    passed, of = line.strip(" |").split("/")
    assert passed == of and int(of) >= 29, told
