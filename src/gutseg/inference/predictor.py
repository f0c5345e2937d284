"""A trained network over planes of scans, at native size."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gutseg.config import Predict
from gutseg.data.inputs import Inputs
from gutseg.data.volume import Scan
from gutseg.inference.looks import Look, looks, with_strides
from gutseg.inference.parts import Batch, Locate, Part
from gutseg.losses.reductions import Mode
from gutseg.models.valid import ValidNet

log = logging.getLogger(__name__)

# Pixels of context around a tile, of which nothing is kept, where a network states none itself.
MARGIN = 32
# Pixels that a processor predicts at a time. What a convolution reads and writes then fits into a
# core's cache: a U-Net of 40 to 256 channels took 31 ms a slice for 4 of 128x128, 38 ms for 16.
CPU_PIXELS = 2**16


# A scan, planes of it and their images (B, S, h, w) -> (B, C, h, w)
Answer = Callable[[Scan, np.ndarray, Tensor], Tensor]


class NotFinite(ValueError, FloatingPointError):
    """The probabilities of a network that has diverged."""


def cut(parts: Sequence[Part], size: int) -> Iterator[Batch]:
    """Cut parts into batches of `size` planes, filled up with planes of the next part."""
    batch: Batch = []
    room = size
    for part in parts:
        z = part.z
        while len(z):
            batch.append(Part(part.scan, z[:room]))
            z, room = z[room:], room - len(batch[-1].z)
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


class Predictor:
    """Predicts class probabilities of planes, quantised to uint8 (255 = 1).

    A byte is what the out-of-fold files hold and what thresholds are chosen on, so the kernel
    sees the same numbers: a few MB a scan instead of 61 in float16.
    """

    # what a batch is made of
    unit = "planes"

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        settings: Predict | None = None,
        *,
        device: torch.device,
        dtype: torch.dtype | None = None,
        mode: Mode = "multilabel",
        name: str = "the network",
        whole: str = "",
        locate: Locate | None = None,
    ) -> None:
        """dtype: autocast type of the forward pass, None for float32.

        whole: what a network is called whose attention sees all of an image.

        name: what errors call the network, its run and fold where it has them.

        locate: finds the box of a scan that comes without, for geometry.kind found.
        """
        self.name = name
        self.model = model.to(device).eval()
        self.inputs = inputs.for_any_size()
        self.device = device
        self.dtype = dtype
        self.settings = settings or Predict()
        self.mode = mode
        self.whole = whole
        self.locate = locate
        self.looks = looks(self.settings.tta, inputs.stack)
        # what is seen after the channels of the images as they are, look by look
        self.strided = with_strides(self.inputs, self.looks)
        # planes that the device has the memory for; None: no limit was met so far
        self.most: int | None = None
        # a window is never larger than what the network was trained on
        fixed = inputs.geometry.kind != "native"
        largest = max(look.scale for look in [Look(), *self.looks])
        sides = [round(side * largest) for side in inputs.geometry.size] if fixed else []
        self.tile = max([self.settings.tile, *sides])
        # tiles of a valid network, whatever it is wrapped in, are aligned to its poolings
        valid = next((part for part in model.modules() if isinstance(part, ValidNet)), None)
        self.margin, self.step = (valid.margin, valid.stride) if valid else (MARGIN, 1)

    def network(self, images: Tensor) -> Tensor:
        """Return the logits of a batch under the precision of the device."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            return self.model(images)

    def logits(self, images: Tensor) -> Tensor:
        """Return logits (B, C, h, w) float32; larger images than `tile` are cut into tiles.

        A valid network answers tiles as it answers the whole image: their context is all that it
        sees, and at the border of the image it mirrors the same pixels.
        """
        if max(images.shape[2:]) <= self.tile:
            return self.network(images).float()
        if self.whole:
            _warn_of_tiles(self.whole, self.tile)
        rows = []
        for top, bottom in self._spans(images.shape[2]):
            row = []
            for left, right in self._spans(images.shape[3]):
                up, start = max(top - self.margin, 0), max(left - self.margin, 0)
                part = images[:, :, up : bottom + self.margin, start : right + self.margin]
                logits = self.network(part).float()
                row.append(logits[:, :, top - up : bottom - up, left - start : right - start])
            rows.append(torch.cat(row, dim=3))
        return torch.cat(rows, dim=2)

    def _spans(self, length: int) -> Iterator[tuple[int, int]]:
        """Cut a side into the fewest parts of nearly equal length, none above `tile`.

        The edges between parts are multiples of `step`.
        """
        steps = -(-length // self.step)
        parts = -(-steps // max(self.tile // self.step, 1))
        edges = np.linspace(0, steps, parts + 1).round().astype(int) * self.step
        return pairwise(np.minimum(edges, length).tolist())

    @property
    def sees(self) -> tuple[Any, ...]:
        """What `stacks` depends on."""
        strided = tuple(self.strided)
        return type(self), self.inputs, self.settings.batch_size, strided, self.locate

    @property
    def networks(self) -> list[nn.Module]:
        """All networks that it predicts with."""
        return [self.model, *(self.locate.networks if self.locate else [])]

    def located(self, scan: Scan) -> Scan:
        """Return a scan with the box that its window is of, where it needs one."""
        return scan if self.locate is None or scan.found else self.locate(scan)

    def batch_size(self, scan: Scan) -> int:
        """Return how many planes of a scan are predicted together."""
        # where the input has grown as many planes as take the memory of a usual batch
        usual, grown = self.inputs.geometry.size, self.inputs.window(scan).size
        return max(self.settings.batch_size * math.prod(usual) // math.prod(grown), 1)

    def batches(self, scan: Scan, z: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (planes, stacks on the device) batch by batch."""
        for batch, images in self.stacks([Part(scan, z)]):
            yield batch[0].z, self.first(images).to(self.device)

    def first(self, images: Tensor) -> Tensor:
        """Return of what `stacks` yields the images as they are, without those of other looks."""
        return images[:, : self.inputs.channels] if self.strided else images

    def stacks(self, parts: Sequence[Part]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield batches of planes with what the network sees of them, (B, S, h, w) float32.

        parts: of scans of one size (H, W). Behind the S channels come those of other strides.
        """
        parts = [Part(self.located(part.scan), part.z) for part in parts]
        for batch in cut(parts, self.batch_size(parts[0].scan)):
            images = [self._images(part) for part in batch]
            yield batch, torch.from_numpy(images[0] if len(images) == 1 else np.concatenate(images))

    def _images(self, part: Part) -> np.ndarray:
        seen = [inputs.images(part.scan, part.z) for inputs in (self.inputs, *self.strided)]
        return seen[0] if len(seen) == 1 else np.concatenate(seen, axis=1)

    def __call__(self, scan: Scan, z: np.ndarray | None = None) -> np.ndarray:
        """Return (C, len(z), H, W) uint8 probabilities of the planes z, by default all."""
        whole = Part(scan, np.arange(scan.shape[0]) if z is None else z)
        found = [self.predict(batch, images) for batch, images in self.stacks([whole])]
        return np.concatenate(found, axis=1)

    @torch.inference_mode()
    def predict(self, batch: Batch, images: Tensor) -> np.ndarray:
        """Return (C, B, H, W) uint8 probabilities of a batch and its images (B, S, h, w)."""
        found = self._within_memory(images).split([len(part.z) for part in batch])
        native = [self.native(part.scan, rows) for part, rows in zip(batch, found, strict=True)]
        return to_bytes(native[0] if len(native) == 1 else np.concatenate(native, axis=1))

    def _within_memory(self, images: Tensor) -> Tensor:
        """Return probabilities (B, C, h, w) of a batch, in parts where memory runs out."""
        size = len(images)
        if self.device.type == "cpu":
            size = max(CPU_PIXELS // math.prod(images.shape[2:]), 1)
        found = [
            self._halved(some, lambda one: self.probabilities(one)) for some in images.split(size)
        ]
        return found[0] if len(found) == 1 else torch.cat(found)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return mean probabilities (B, C, h, w) over the looks; images: as `stacks` has them."""
        return probabilities(self.logits, images, self.looks, self.mode, self.inputs.channels)

    def _halved(self, images: Tensor, answer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return answer(images); where memory runs out, from now on in half batches."""
        found: list[Tensor] = []
        while len(images):
            size = min(self.most or len(images), len(images))
            try:
                found.append(answer(images[:size].to(self.device)))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                self.most = size // 2
                log.warning(
                    "%s: out of memory at %d %s; %d at a time from now on",
                    *(self.name, size, self.unit, self.most),
                )
                torch.cuda.empty_cache()
                continue
            images = images[size:]
        return found[0] if len(found) == 1 else torch.cat(found)

    def parts(
        self, scan: Scan, z: np.ndarray, answer: Answer
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (some of the planes z, what a network says of them (C, B, H, W) float32).

        answer: what it says of a batch.
        """
        scan = self.located(scan)
        for planes, images in self.batches(scan, z):
            yield planes, self.native(scan, answer(scan, planes, images))

    def native(self, scan: Scan, found: Tensor) -> np.ndarray:
        """Bring probabilities (B, C, h, w) back to the slice: (C, B, H, W) float32.

        Raises NotFinite where they are not finite: a byte would hide it as an empty mask.
        """
        if not torch.isfinite(found).all():
            raise NotFinite(
                f"{self.name} predicts probabilities of {scan.name} that are not finite; "
                "its weights are of no use: train it again with a lower optim.lr or train.amp=false"
            )
        return self.inputs.native(scan, found.cpu().numpy())


@cache
def _warn_of_tiles(name: str, tile: int) -> None:
    """Say once in a process that a network answers parts of an image otherwise than all of it."""
    log.warning(
        "network %s: its attention sees the whole image, but images larger than %d pixels are cut "
        "into tiles; give predict.tile the image's side, if memory allows, or a smaller geometry",
        *(name, tile),
    )


def activation(logits: Tensor, mode: Mode = "multilabel") -> Tensor:
    """Return the probabilities (B, C, H, W) of logits: a sigmoid per class, or softmax over all."""
    return logits.sigmoid() if mode == "multilabel" else logits.softmax(dim=1)


def probabilities(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    seen: Sequence[Look] = (),
    mode: Mode = "multilabel",
    channels: int | None = None,
) -> Tensor:
    """Return the mean probabilities over an image and looks at it: (B, C, h, w) in [0, 1].

    images: (B, S, h, w), behind the first S = channels those of looks with other strides. channels:
    None for all.
    """
    total = activation(network(images[:, :channels]).float(), mode)  # (B, C, h, w)
    behind = iter(images.split(channels or images.shape[1], dim=1)[1:])
    for look in seen:
        given = next(behind) if look.stride else images[:, :channels]  # (B, S, h, w)
        found = activation(network(look.there(given)).float(), mode)
        total = total + look.back(found, (images.shape[2], images.shape[3]))
    return total / (1 + len(seen))


def to_bytes(found: np.ndarray) -> np.ndarray:
    """Quantise probabilities of any shape to uint8 (255 = 1)."""
    return np.rint(found * 255).astype(np.uint8)
