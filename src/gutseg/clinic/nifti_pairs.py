"""Folders of label maps as NIfTI, predictions and truth: pairs of files with one name."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gutseg.clinic.extras import need_extra
from gutseg.clinic.geometry import SQUARE, Geometry
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.clinical import Clinical, OrganResult, measure_scan
from gutseg.progress import progress
from gutseg.registry import brief, counted, listed
from gutseg.settings import Missing

log = logging.getLogger(__name__)
# nnU-Net writes it beside data and predictions: it names the labels
NAMES = "dataset.json"
# of a voxel's smallest side: how far corners of two volumes may be apart
SAME_PLACE = 0.05
Labels = Mapping[str, tuple[int, ...]]


def measure_pairs(
    predicted: Path, truth: Path, how: Clinical, missing: Missing = "refuse"
) -> list[OrganResult]:
    """Measure the label maps of one folder against those of another with the same names.

    Organs are the labels of `dataset.json` of either folder, or `label 1` ... where there is none.
    Raises ValueError where a file has no counterpart; with `missing="empty"` an absent prediction
    is empty, and one without truth is left out.
    """
    need_extra("nifti", "--truth FOLDER")
    ours, theirs = _files(predicted), _files(truth)
    extra, absent = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    for names, folder, other in ((absent, predicted, truth), (extra, truth, predicted)):
        problem = f"{folder} has no file for {counted(names, 'scan')} of {other}"
        if names and missing == "refuse":
            raise ValueError(f"{problem}; expected equal names (--missing empty scores the others)")
        if names:
            left = "taken for empty" if names is absent else "left out"
            log.warning("%s; %s", problem, left)
    named = _named(predicted) or _named(truth) or _named(truth.parent)
    results = []
    for name in progress(sorted(theirs), desc="measure", unit="scan"):
        results += _measure_pair(name, ours.get(name), theirs[name], named, how)
    return results


def _files(folder: Path) -> dict[str, Path]:
    """Return the NIfTI files of a folder by their names without .nii or .nii.gz."""
    found: dict[str, Path] = {}
    for path in sorted(_listing(folder)):
        name = path.name.removesuffix(".gz")
        if not name.endswith(".nii") or path.name.startswith("."):
            continue
        name = name.removesuffix(".nii")
        if name in found:
            raise ValueError(f"{folder} has {found[name].name} and {path.name}; keep one of them")
        found[name] = path
    if not found:
        raise ValueError(f"{folder} holds no .nii or .nii.gz; expected one label map per scan")
    return found


def _listing(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected one of label maps as .nii or .nii.gz")
    return folder.iterdir()


def _measure_pair(
    name: str, predicted: Path | None, truth: Path, named: Labels | None, how: Clinical
) -> list[OrganResult]:
    from gutseg.clinic.nifti import read_labels  # nibabel is an extra

    expected, geometry = read_labels(truth)
    found = np.zeros_like(expected)
    if predicted:
        found, other = read_labels(predicted)
        _check_same_grid(predicted, other, truth, geometry)
    _check_right_angles(truth, geometry)
    seen = sorted({*np.unique(expected).tolist(), *np.unique(found).tolist()} - {0})
    if named is None:
        named = {f"label {number}": (number,) for number in seen}
    elif unknown := set(seen) - {number for numbers in named.values() for number in numbers}:
        labels = listed(map(str, sorted(unknown)), len(unknown))
        raise ValueError(f"{truth} or its prediction holds labels that {NAMES} lacks: {labels}")
    if not named:
        return []
    ours, theirs = (
        BitRows.from_arrays(np.stack([np.isin(labels, numbers) for numbers in named.values()]))
        for labels in (found, expected)
    )
    return measure_scan(name, ours, theirs, tuple(named), geometry.spacing, how)


def _check_same_grid(path: Path, one: Geometry, truth: Path, other: Geometry) -> None:
    if one.shape != other.shape:
        sizes = (" x ".join(map(str, grid.shape)) for grid in (one, other))
        raise ValueError(
            f"{path} and {truth} have {' and '.join(sizes)} voxels; resample the prediction to the "
            "grid of the truth"
        )
    corners = np.vstack([np.zeros(3), np.diag(other.shape)])
    apart = np.abs(one.to_patient(corners) - other.to_patient(corners)).max()
    if not apart <= SAME_PLACE * min(other.spacing):
        raise ValueError(
            f"{path} and {truth} have affines that differ by up to {apart:.3g} mm; resample the "
            "prediction to the grid of the truth"
        )


def _check_right_angles(path: Path, geometry: Geometry) -> None:
    askew = np.abs(geometry.directions @ geometry.directions.T - np.eye(3)).max()
    if not askew <= SQUARE:
        raise ValueError(
            f"{path}: its axes are not at right angles (cosine {askew:.3f}); resample it to a "
            "straight grid"
        )


def _named(folder: Path) -> Labels | None:
    """Return the organs of a folder's `dataset.json`, None without that file.

    nnU-Net's two forms: {"stomach": 1} and {"1": "stomach"}; a list of labels is a region.
    """
    path = folder / NAMES
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text())["labels"]
        pairs = [(key, value) for key, value in said.items()]
        if pairs and all(str(key).isdigit() for key, _ in pairs):
            pairs = [(str(name), int(key)) for key, name in pairs]
        labels = {str(key): _numbers(value) for key, value in pairs if key != "background"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{path} does not name labels ({brief(error)})"
        raise ValueError(f'{problem}; expected {{"labels": {{"stomach": 1}}}}') from None
    if "ignore" in labels:
        raise ValueError(f"{path} has a label `ignore`; leave its voxels out of both label maps")
    return labels


def _numbers(value: object) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(type(one) is int and 1 <= one <= 255 for one in numbers):
        raise ValueError(f"{value} is not a label from 1 to 255")
    return tuple(numbers)
