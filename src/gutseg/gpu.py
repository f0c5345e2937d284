"""Whether this torch can compute on the GPU at hand."""

import re
from collections.abc import Iterable

import torch


def unsupported() -> str:
    """Say which GPU torch cannot compute on, and why; "" where it can, or where there is none.

    `torch.cuda.is_available()` is true of a GPU that torch was not built for; the first operation
    fails. torch 2.10 as Kaggle has it leaves out the P100's compute capability, 6.0.
    """
    if not torch.cuda.is_available():
        return ""
    built = torch.cuda.get_arch_list()
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        if not covers(built, capability):
            found = f"of compute capability {capability[0]}.{capability[1]}"
            version = f"torch {torch.__version__} was built for {', '.join(built)}"
            return f"the GPU {torch.cuda.get_device_name(index)} is {found} and {version}"
    return ""


def covers(built: Iterable[str], capability: tuple[int, int]) -> bool:
    """Say whether machine code for these architectures runs on a GPU of this capability.

    built: as torch.cuda.get_arch_list() says. sm_75 runs on 7.5 and later 7.x, compute_75, which
    the driver compiles, on all from 7.5 on, and sm_90a on 9.0 alone.
    """
    for name in built:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if not found:
            return True  # AMD's are called gfx...: nothing is known against them
        one = (int(found[2]), int(found[3]))
        if found[4] == "a":
            fits = capability == one
        else:
            fits = capability >= one and (found[1] == "compute" or capability[0] == one[0])
        if fits:
            return True
    return False
