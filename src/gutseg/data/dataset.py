"""Training batches from the cache; a PNG is never touched."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from gutseg.constants import CLASSES
from gutseg.data.augment import Augmenter
from gutseg.data.cache import Cache
from gutseg.data.inputs import Inputs
from gutseg.data.maps import Maps
from gutseg.data.sampler import Batch, BatchSampler


@dataclass(frozen=True)
class Samples(Dataset):
    """Slices by position; one item is a whole batch.

    rows: rows of the cache's index. An item is a dict of `images` (B, S, h, w) float32,
    `target` (B, C, h, w) float32 in {0, 1}, `maps`, what the loss weighs pixels with, by name,
    and `ids`, the list of slice ids.
    """

    cache: Cache
    rows: pd.DataFrame
    inputs: Inputs
    augment: Augmenter
    maps: Maps = field(default_factory=Maps)

    @property
    def has_label(self) -> np.ndarray:
        """(N,) bool: whether the slice shows any organ."""
        return self.rows[list(CLASSES)].to_numpy().any(axis=1)

    def __getitem__(self, batch: Batch) -> dict:
        rows = self.rows.iloc[batch.positions]
        images, labels = zip(*map(self._read, rows["scan"], rows["z"]), strict=True)
        images, labels = self.augment(np.concatenate(images), np.concatenate(labels), batch.seed)
        masks = unpack(labels)
        return {
            "images": torch.from_numpy(images),
            "target": torch.from_numpy(masks),
            "maps": self.maps.tensors(masks),
            "ids": rows["id"].tolist(),
        }

    def _read(self, name: str, z: int) -> tuple[np.ndarray, np.ndarray]:
        scan, planes = self.cache.scan(name), np.array([z])
        return self.inputs.images(scan, planes), self.inputs.labels(scan, planes)


def unpack(labels: np.ndarray) -> np.ndarray:
    """Spread class bits (B, H, W) uint8 over channels: (B, C, H, W) float32 in {0, 1}."""
    bits = np.arange(len(CLASSES), dtype=np.uint8)[:, None, None]
    return (labels[:, None] >> bits & 1).astype(np.float32)


def loader(samples: Samples, sampler: BatchSampler, workers: int, pin: bool) -> DataLoader:
    """Wrap samples for training; workers > 0 pays when augmentation costs more than transport.

    Whole batches come from the dataset, so nothing is collated. pin: page-locked memory for
    copies to a GPU.
    """
    if workers:
        # the default passes one open file a tensor: "received 0 items of ancdata"
        torch.multiprocessing.set_sharing_strategy("file_system")
    return DataLoader(
        samples,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
