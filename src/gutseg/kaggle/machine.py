"""Whether the machine that Kaggle gave can predict in time; asked before any weights are loaded."""

import logging
import time
from pathlib import Path

import numpy as np

from gutseg import gpu, runs
from gutseg.data.index import Issues
from gutseg.data.submission import wanted_rows
from gutseg.data.volume import describe
from gutseg.files import competition_folder
from gutseg.inference.ensemble import Ensemble

log = logging.getLogger(__name__)

HOURS = 9.0  # what Kaggle gives a notebook
# The rest is left for reading, post-processing and a slower start than the trial's.
SHARE = 0.8
PLANES = 4


def check_gpu(blend: Path, images: Path, debug_scans: int = 3) -> None:
    """Raise ValueError for a GPU that torch does not support, unless the CPU has the time.

    Without a GPU, and with one that works, nothing happens.
    """
    problem = gpu.unsupported()
    if not problem:
        return
    remedy = "set machine_shape to NvidiaTeslaT4 in kernel-metadata.json (or pick GPU T4 x2)"
    rows, _ = wanted_rows(competition_folder(images), debug_scans, Issues(collect=True))
    slices = rows["id"].nunique()
    hours = slices * seconds_per_slice(runs.ensemble(blend)) / 3600
    found = f"{problem}; on the CPU {slices} slices take about {hours:.1f} of {HOURS:.0f} hours"
    if hours > SHARE * HOURS:
        raise ValueError(f"{found}, too long: {remedy}")
    log.warning("%s, so the CPU predicts; to be faster, %s", found, remedy)


def seconds_per_slice(ensemble: Ensemble, side: int = 266) -> float:
    """Return how long a slice takes where the ensemble is, measured on noise."""
    noise = np.random.default_rng(0).integers(0, 1000, (PLANES, side, side), dtype=np.uint16)
    scan, planes = describe("trial", noise), np.arange(PLANES)
    ensemble(scan, planes[:1])  # compiles and allocates
    start = time.perf_counter()
    ensemble(scan, planes)
    return (time.perf_counter() - start) / PLANES
