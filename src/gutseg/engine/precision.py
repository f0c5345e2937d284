"""Which precision the device is good at, and the loss scaling that belongs to it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """Autocast type of a device (None: float32) and its gradient scaler."""

    device: torch.device
    dtype: torch.dtype | None
    scaler: torch.amp.GradScaler

    def autocast(self) -> AbstractContextManager:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


def choose(device: torch.device, amp: bool) -> Precision:
    """bfloat16 where the GPU has it natively, float16 with a scaler elsewhere, float32 on CPU."""
    if device.type != "cuda" or not amp:
        dtype = None
    elif torch.cuda.is_bf16_supported(including_emulation=False):
        dtype = torch.bfloat16
    else:
        dtype = torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    return Precision(device, dtype, scaler)
