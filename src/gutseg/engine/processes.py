"""What a process needs before it computes beside others."""

import logging

import torch


def settle(threads: int) -> None:
    """Prepare a process that takes one piece of work after the other."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(threads)
