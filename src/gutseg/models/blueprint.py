"""Networks as shapes: built and run without memory or arithmetic, on torch's meta device."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class _RatesOnCpu(TorchFunctionMode):
    """Keeps the drop-path rates that some constructors read back as they build."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.linspace and kwargs.get("device") is None:
            kwargs = kwargs | {"device": "cpu"}
        return func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make tensors that have shapes but no memory."""
    with torch.device("meta"), _RatesOnCpu():
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


def full_precision(device: torch.device) -> AbstractContextManager:
    """Switch autocast off, on devices that have it: the meta device does not."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
