"""Networks as shapes: built and run without memory or arithmetic, on torch's meta device.

How the size and the cost of a network are known before it exists.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

RANDOM = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_}


class _Shapes(TorchFunctionMode):
    """Draws no weights, and keeps the drop-path rates that constructors read back."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in RANDOM or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func is torch.linspace and kwargs.get("device") is None:
            kwargs = kwargs | {"device": "cpu"}
        return func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors that have shapes but no memory."""
    with torch.device("meta"), _Shapes():
        yield


def blueprint(construct: Callable[[], nn.Module]) -> nn.Module | None:
    """Return a network's shapes, or None where its constructor reads values of its tensors."""
    try:
        with shapes_only():
            # whatever was made on the CPU by name follows
            return construct().to("meta")
    except RuntimeError as error:
        if "meta tensors" in str(error):
            return None
        raise


def giga_macs(network: nn.Module, shape: Sequence[int]) -> float:
    """Return the 10⁹ multiply-accumulates of one forward of a network that is shapes only.

    shape: of the images. Counted are convolutions and products of matrices, the attention's too.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.empty(*shape, device="meta"))
    return counter.get_total_flops() / 2e9


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off, on devices that have it: the meta device does not."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
