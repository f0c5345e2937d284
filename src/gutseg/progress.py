"""Progress bars that stay readable in a log file or a Kaggle notebook."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(items: Iterable | None = None, **settings: Any) -> tqdm:
    """Return a tqdm bar; where nobody watches a terminal it writes a line every 30 seconds.

    settings: tqdm's own keyword arguments.
    """
    watched = sys.stderr.isatty()
    return tqdm(items, mininterval=0.1 if watched else 30, **settings)
