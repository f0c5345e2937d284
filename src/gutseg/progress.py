"""Progress bars that stay readable in a log file or a Kaggle notebook."""

import multiprocessing
import sys
import threading
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# tqdm's own lock is a semaphore of the system, of which the end of a killed helper leaves a warning
tqdm.set_lock(threading.RLock())


def progress(items: Iterable | None = None, *, disable: bool = False, **settings: Any) -> tqdm:
    """Return a tqdm bar; without a terminal it writes a line every 30 seconds."""
    watched = sys.stderr.isatty()
    # several processes would write over each other's bars
    helper = multiprocessing.parent_process() is not None
    return tqdm(items, mininterval=0.1 if watched else 30, disable=disable or helper, **settings)
