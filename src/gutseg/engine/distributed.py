"""One process or many: ranks, devices, sums over ranks, and the random numbers of each."""

import os
import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

# Initial weights are drawn before the first epoch and must be the same on every rank.
INITIAL = -1


@dataclass(frozen=True)
class World:
    """This process among all that train together, and the device it trains on."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and shows progress."""
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        if self.size == 1:
            return tensor
        total = tensor.to(self.device)
        dist.all_reduce(total)
        return total.to(tensor.device)

    def broadcast(self, module: nn.Module) -> None:
        """Overwrite a module's parameters and buffers with those of rank 0.

        Ranks differ in the running statistics of normalisation layers after an epoch.
        """
        if self.size > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def barrier(self) -> None:
        """Block until every rank has come this far."""
        if self.size > 1:
            dist.barrier()


def init() -> World:
    """Join the processes that torchrun started; without torchrun, a world of one.

    Takes the GPU by itself: NCCL and one GPU a local rank where there is one, gloo elsewhere.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(int(os.environ.get("RANK", 0)), size, device)


def destroy(world: World) -> None:
    """Close the process group that `init` opened."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def seed_everything(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices) for one epoch of one rank.

    What is drawn is a pure function of the three: resume is then bit-exact.
    """
    words = np.random.SeedSequence([seed, epoch + 1, rank]).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 (libraries still draw from the global state)
    torch.manual_seed(int(words[2]))
