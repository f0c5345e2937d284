"""How much memory a piece of work takes at its peak."""

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from torch import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MB = 2**20
# glibc's mallopt: the number of a setting, and what it becomes
TRIM, MMAP = (-1, 1024 * MB), (-3, 32 * MB)


class PeakMemory:
    """Peak MB since it was made: allocated on the GPU, or growth of the process on a CPU.

    On Linux the kernel's high-water mark is set back first; elsewhere the growth of the highest
    mark is taken, which is too low where earlier work of the process took more.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.start = torch.cuda.memory_allocated(device)
        else:
            try:  # give freed memory back, then reset the high-water mark
                ctypes.CDLL(None).malloc_trim(0)
                CLEAR.write_text("5")
                self.resettable = True
            except (OSError, AttributeError):
                self.resettable = False
            self.start = self._mark()

    def growth(self) -> float:
        """Return MB above the start."""
        return (self._mark() - self.start) / MB

    def _mark(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if self.resettable:
            lines = STATUS.read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def warm_up(device: torch.device) -> None:
    """Take one small step, so that no cell pays for what a process loads at its first one."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ConvTranspose2d(2, 2, 2))
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 1, 8, 8, device=device)).sum().backward()
    optimizer.step()


@cache
def keep_freed() -> None:
    """Let this process keep up to a GB that it freed, in place of asking for it at every step.

    By default glibc gives large tensors back at once, and the kernel clears each one's pages when
    the next step takes them again: a tenth of a step. Other libraries of C have no such setting.
    """
    with suppress(OSError, AttributeError, TypeError):  # TypeError: Windows has no CDLL(None)
        for number, value in (TRIM, MMAP):
            ctypes.CDLL(None).mallopt(number, value)
