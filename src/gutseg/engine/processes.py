"""Processes that work side by side for one parent."""

import logging
import multiprocessing
import os
import threading
from multiprocessing.connection import wait

import torch


def settle(threads: int) -> None:
    """Prepare a process that takes one piece of work after the other."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent must not leave children behind that write into the same folders."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
