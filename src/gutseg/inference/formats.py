"""File formats of exported networks: how each is written, and read again for the check."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.registry import brief

Arrays = tuple[np.ndarray, ...]
Answer = Callable[[Arrays], np.ndarray]
NAMES = ("slices", "low", "high")


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    suffix: str
    # how its files begin
    begins: bytes
    # (module, example arguments, path) -> what the written file answers
    write: Callable[[nn.Module, tuple[Tensor, ...], Path], Answer]


def write_onnx(module: nn.Module, arguments: tuple[Tensor, ...], path: Path) -> Answer:
    """Write ONNX, opset 18, and open it with onnxruntime."""
    try:
        import onnx  # noqa: F401, torch's exporter needs it
        import onnxruntime
    except ImportError:
        raise ValueError(
            "--to onnx writes with onnx and checks with onnxruntime, which are not installed: "
            "pip install 'gutseg[export]'"
        ) from None
    names = NAMES[: len(arguments)]
    with warnings.catch_warnings(action="ignore"):  # on numbers that are the same for every scan
        try:
            torch.onnx.export(
                module,
                arguments,
                str(path),
                dynamo=False,
                opset_version=18,
                input_names=list(names),
                output_names=["probabilities"],
            )
        except Exception as error:
            # torch's and onnx's own: their text is for those who write operators
            raise _unwritable("onnx", error) from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def write_torch(module: nn.Module, arguments: tuple[Tensor, ...], path: Path) -> Answer:
    """Write what torch.export.load reads (.pt2), and load it."""
    with warnings.catch_warnings(action="ignore"):
        try:
            torch.export.save(torch.export.export(module, arguments), path)
        except Exception as error:
            raise _unwritable("torch.export", error) from None
        loaded = torch.export.load(path).module()

    def answer(arrays: Arrays) -> np.ndarray:
        with torch.no_grad():
            return loaded(*map(torch.from_numpy, arrays)).numpy()

    return answer


def _unwritable(to: str, error: Exception) -> ValueError:
    return ValueError(
        f"--to {to}: this network cannot be written so ({type(error).__name__}: {brief(error)})"
    )


FORMATS = {
    "onnx": Format(".onnx", b"\x08", write_onnx),
    "torch.export": Format(".pt2", b"PK", write_torch),
}
