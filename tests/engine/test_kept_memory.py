"""Memory that a training frees is kept for its next step."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from gutseg.engine.memory import keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):  # steps that take 128 MB and free them
        parts = [np.ones(2**20) for _ in range(16)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed()
faults()  # what is kept is taken once
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_pages_are_not_cleared_at_every_step():
    ran = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    # hundreds of thousands of pages of 4 kB, or some hundred of 2 MB
    assert after < before / 5
