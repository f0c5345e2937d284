"""A cache and its folds as a data set of nnU-Net, and its segmentations as csvs to score."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.constants import CLASSES, SLICE_MM
from gutseg.data.cache import Cache
from gutseg.files import write_json
from gutseg.masks.rle_writing import encode

DATASET = "Dataset501_gutseg"
ENDING = ".nii.gz"


@dataclass(frozen=True)
class Part:
    """Slices of one scan on one side of a fold: a volume, which nnU-Net calls a case.

    Where folds hold whole patients, a part is a whole scan.
    """

    name: str
    scan: str
    # planes of the scan, in order
    z: tuple[int, ...]


def split(rows: pd.DataFrame) -> tuple[dict[str, Part], list[dict[str, list[str]]]]:
    """Return the parts by name, and of every fold the names that it trains on and holds out.

    rows: columns scan, z and fold. Folds are those of `splits_final.json`, from 0 on.
    """
    parts: dict[tuple[str, tuple[int, ...]], Part] = {}
    splits = []
    for fold in sorted(rows["fold"].unique()):
        held = rows["fold"] == fold
        sides: dict[str, list[str]] = {}
        for side, chosen in (("train", rows[~held]), ("val", rows[held])):
            sides[side] = []
            for scan, z in chosen.groupby("scan")["z"]:
                key = str(scan), tuple(sorted(z.tolist()))
                parts.setdefault(key, Part(f"{scan}_part{len(parts):03d}", *key))
                sides[side].append(parts[key].name)
        splits.append(sides)
    return {part.name: part for part in parts.values()}, splits


def exclusive(labels: np.ndarray) -> np.ndarray:
    """Turn bits of classes into class numbers, 0 without any: the last of CLASSES that overlap."""
    numbers = np.zeros_like(labels)
    for bit in range(len(CLASSES)):
        numbers[(labels >> bit & 1).astype(bool)] = bit + 1
    return numbers


def write_dataset(data: Cache, parts: Collection[Part], folder: Path) -> None:
    """Write imagesTr, labelsTr and dataset.json of nnU-Net's raw format below a folder."""
    for part in parts:
        scan, planes = data.scan(part.scan), list(part.z)
        row = data.index[data.index["scan"] == part.scan].iloc[0]
        voxel_mm = SLICE_MM, float(row["spacing_y"]), float(row["spacing_x"])
        image = np.asarray(scan.image)[planes].astype(np.float32)
        _save(folder / "imagesTr" / f"{part.name}_0000{ENDING}", image, voxel_mm)
        labels = exclusive(np.asarray(scan.labels)[planes])
        _save(folder / "labelsTr" / f"{part.name}{ENDING}", labels, voxel_mm)
    facts = {
        # anything but CT gets the z-score of each volume
        "channel_names": {"0": "MR"},
        "labels": {"background": 0} | {name: bit + 1 for bit, name in enumerate(CLASSES)},
        "numTraining": len(parts),
        "file_ending": ENDING,
    }
    write_json(folder / "dataset.json", facts)


def _save(path: Path, planes: np.ndarray, voxel_mm: tuple[float, float, float]) -> None:
    """Write planes (Z, H, W); a NIfTI file has columns first."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*voxel_mm[::-1], 1.0])
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(planes.T), affine), path)


def read_planes(path: Path) -> np.ndarray:
    """Read class numbers (Z, H, W) that nnU-Net wrote, or that `write_dataset` did."""
    import nibabel

    return np.asarray(nibabel.load(path).dataobj).T.astype(np.uint8)


def write_csvs(data: Cache, parts: Sequence[Part], masks: Path, out: Path, name: str) -> None:
    """Write OUT/NAME.csv of the segmentations MASKS/PART.nii.gz, and OUT/NAME_truth.csv.

    Raises ValueError for a segmentation of another shape than its part.
    """
    found, truth = [], []
    for part in parts:
        scan, path = data.scan(part.scan), masks / f"{part.name}{ENDING}"
        numbers, expected = read_planes(path), (len(part.z), *scan.shape[1:])
        if numbers.shape != expected:
            raise ValueError(f"{path} is {numbers.shape}; expected {expected}, delete it")
        names = data.index[data.index["scan"] == part.scan].set_index("z")["id"]
        for plane, z in zip(numbers, part.z, strict=True):
            for bit, organ in enumerate(CLASSES):
                row = {"id": names[z], "class": organ}
                found.append(row | {"predicted": encode(plane == bit + 1)})
                inside = np.asarray(scan.labels)[z] >> bit & 1
                truth.append(row | {"segmentation": encode(inside)})
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(found).to_csv(out / f"{name}.csv", index=False)
    pd.DataFrame(truth).to_csv(out / f"{name}_truth.csv", index=False)
