"""The cache of `gutseg prepare`: one folder of memory-mapped arrays per scan, and one index."""

import hashlib
import json
import tokenize
from collections.abc import Iterable
from mmap import mmap
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from gutseg.constants import CLASSES
from gutseg.data.index import INDEX, SCAN_FOLDER, Issues
from gutseg.data.volume import Scan, read_file, read_scan, voxel_size
from gutseg.files import need_file, read_json, replacing_folder, write_json
from gutseg.masks.rle_reading import decode
from gutseg.registry import brief

FACTS = "scan.json"
ARRAYS = {"image": (np.uint16, 3), "mask": (np.uint8, 3), "histogram": (np.uint32, 1)}
# what lies in the folder of a scan besides its facts
SCAN_FILES = (*(f"{array}.npy" for array in ARRAYS), INDEX)
# the kinds of numpy dtype that a column of the index may have; O and T are text
KINDS = {
    **dict.fromkeys(("id", "scan", "file"), "OT"),
    **dict.fromkeys(("case", "day", "slice", "height", "width", "z"), "iu"),
    **dict.fromkeys(("spacing_y", "spacing_x"), "f"),
    **dict.fromkeys(CLASSES, "b"),
}
# raised whenever prepare computes other pixels, labels or facts from the same input
VERSION = 2


class Cache:
    """A folder that `gutseg prepare` has finished; scans open as memory maps."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError when `prepare` has not finished, ValueError when damaged."""
        self.folder = folder
        self.remedy = f"run: gutseg prepare RAW --out {folder}"
        self.index = _read_index(need_file(folder / INDEX, self.remedy), self.remedy)
        self._opened: dict[str, Scan] = {}

    def scan(self, name: str) -> Scan:
        """Return a scan of read-only maps; ValueError or FileNotFoundError if a file is damaged."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        scan = self._opened[name]
        # reading a map beyond the end of its file ends the process with a bus error
        for array in cast(list[np.memmap], [scan.image, scan.labels]):
            if cast(mmap, array.base).size() < array.offset + array.nbytes:
                raise ValueError(f"{array.filename} was cut while it was open; {self.remedy} again")
        return scan

    def release(self) -> None:
        """Forget the opened scans; a walk over all of them then needs the memory of one."""
        self._opened.clear()

    def fingerprint(self, name: str) -> str:
        """Return a hash of the files that a scan was made from; raises errors as `scan` does."""
        return self._facts(name)["fingerprint"]

    def _facts(self, name: str) -> dict[str, Any]:
        path = need_file(self.folder / name / FACTS, f"{self.remedy} again")
        facts = _facts(path)
        if facts is None:
            raise ValueError(f"{path} is damaged or of another version; {self.remedy} again")
        return facts

    def _open(self, name: str) -> Scan:
        facts = self._facts(name)
        arrays = {}
        for array, (dtype, axes) in ARRAYS.items():
            path = need_file(self.folder / name / f"{array}.npy", f"{self.remedy} again")
            try:
                arrays[array] = _open_array(path, dtype, axes)
            except (ValueError, OSError) as error:
                raise ValueError(f"{path} {error}; {self.remedy} again") from None
        image, mask = arrays["image"], arrays["mask"]
        # small, and another map would be another open file
        counts = np.array(arrays["histogram"])
        if image.shape != mask.shape or not image.size or counts.sum() != image.size:
            raise ValueError(
                f"{self.folder / name}: image {image.shape}, mask {mask.shape} and a histogram of "
                f"{counts.sum()} voxels do not belong together; {self.remedy} again"
            )
        rows = self.index[self.index["scan"] == name]
        z = rows["z"]
        if not z.between(0, len(image) - 1).all():
            raise ValueError(
                f"{self.folder / INDEX} lists planes of {name} up to {z.max()}, its image has "
                f"{len(image)}: the files do not belong together; {self.remedy} again"
            )
        size = voxel_size(rows) if len(rows) else None
        body = tuple(facts["body"])
        return Scan(name, image=image, counts=counts, body=body, mask=mask, voxel_mm=size)

    # worker processes reopen the memory maps instead of receiving copies of them
    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": {}}


def _read_index(path: Path, remedy: str) -> pd.DataFrame:
    try:
        index = pd.read_parquet(path, page_checksum_verification=True)
    # which of them depends on the byte that is damaged
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged ({brief(error)}); {remedy} again") from None
    if missing := [column for column in KINDS if column not in index.columns]:
        raise ValueError(f"{path} has no column {', '.join(missing)}; {remedy} again")
    for column, kinds in KINDS.items():
        if index[column].dtype.kind not in kinds:
            raise ValueError(f"{path}: column {column} is {index[column].dtype}; {remedy} again")
    if index.empty or index["id"].duplicated().any():
        problem = "lists no slice" if index.empty else "lists a slice twice"
        raise ValueError(f"{path} {problem}; {remedy} again")
    if not index["scan"].astype(str).str.fullmatch(SCAN_FOLDER.pattern).all():
        raise ValueError(f"{path} names scans that are not of the form case1_day0; {remedy} again")
    return index


def _facts(path: Path) -> dict[str, Any] | None:
    """Read a scan.json; None when it is not one that `prepare` wrote."""
    try:
        facts = read_json(path)
        seal = facts.pop("seal")
        return facts if seal == _seal(facts) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _seal(facts: dict[str, Any]) -> str:
    """A hash of what a scan.json says, kept in it: a changed digit of the box is noticed."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _open_array(path: Path, dtype: type, axes: int) -> np.ndarray:
    """Map an array read-only; raises ValueError when it is cut: reading on is a bus error."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"is an array of format {version}; expected (1, 0)")
        try:
            shape, fortran, found = np.lib.format.read_array_header_1_0(stream)
        except (SyntaxError, tokenize.TokenError):  # the header is a Python literal
            raise ValueError("has a damaged header") from None
        expected = stream.tell() + int(np.prod(shape, dtype=object)) * found.itemsize
    if found != dtype or len(shape) != axes or fortran:
        raise ValueError(f"holds {found} {shape}; expected {axes} axes of {np.dtype(dtype)}")
    if (size := path.stat().st_size) != expected:
        raise ValueError(f"is cut: it has {size} of {expected} bytes")
    return np.load(path, mmap_mode="r")


def cache_scan(
    slices: pd.DataFrame, labels: pd.DataFrame, raw: Path, out: Path, issues: Issues
) -> pd.DataFrame:
    """Write one scan to out/<scan> unless it is there already; return its rows of the index.

    slices, labels: the scan's rows of `prepare.join`. A scan counts as there when its PNGs and the
    text of its labels are unchanged and could be read, and so are the files of out/<scan>.
    """
    name = slices["scan"].iloc[0]
    fingerprint = _fingerprint(raw, slices["file"], labels)
    if (there := _unchanged(out / name, fingerprint)) is not None:
        return there

    before = len(issues.rows)
    scan, readable = read_scan(slices, lambda file: read_file(raw / file), issues)
    planes = dict(zip(readable["id"], readable["z"], strict=True))
    mask, unreadable = decode_labels(labels, scan.shape, planes, issues)
    kept = readable[readable["labelled"] & ~readable["id"].isin(unreadable)]
    index = _with_classes(kept.drop(columns="labelled"), mask)
    facts = {"fingerprint": fingerprint, "whole": len(issues.rows) == before}
    _write(out / name, scan, mask, index, facts)
    return index


def cache_labels(
    slices: pd.DataFrame, scan: Scan, mask: np.ndarray, out: Path, *, made_by: str
) -> pd.DataFrame:
    """Write a scan with labels of its own to out/<scan>; return its rows of the index.

    slices: its rows, with z. mask: (Z, H, W) uint8, one bit per class. made_by: what made it.
    """
    index = _with_classes(slices, mask)
    digest = hashlib.sha256(f"{made_by}\n".encode())
    for array in (scan.image, mask):
        digest.update(array.tobytes())
    out.mkdir(parents=True, exist_ok=True)
    facts = {"fingerprint": digest.hexdigest(), "whole": True}
    _write(out / scan.name, scan, mask, index, facts)
    return index


def _with_classes(slices: pd.DataFrame, mask: np.ndarray) -> pd.DataFrame:
    """Return rows of the index with a column per class: whether the slice shows it."""
    shown = {
        organ: np.any(mask >> bit & 1, axis=(1, 2))[slices["z"]]
        for bit, organ in enumerate(CLASSES)
    }
    return slices.assign(**shown)


def _fingerprint(raw: Path, files: Iterable[str], labels: pd.DataFrame) -> str:
    # Bytes, not sizes and times: a damaged file is often replaced by one of its size, and a copy
    # keeps its time. Hashing is 3 % of the time that decoding takes.
    digest = hashlib.sha256(f"version {VERSION}\n".encode())
    for file in files:
        try:
            content = read_file(raw / file)
        except ValueError as error:
            content = str(error).encode()
        digest.update(f"{file} {hashlib.sha256(content).hexdigest()}\n".encode())
    for row in labels[["id", "class", "segmentation"]].itertuples(index=False):
        digest.update(" ".join(row).encode() + b"\n")
    return digest.hexdigest()


def _unchanged(folder: Path, fingerprint: str) -> pd.DataFrame | None:
    """Return a cached scan's rows of the index when its files are those that were written."""
    facts = _facts(folder / FACTS)
    if facts is None or facts["fingerprint"] != fingerprint or not facts["whole"]:
        return None
    if facts["files"] != _hashes(folder):
        return None
    return pd.read_parquet(folder / INDEX)


def _hashes(folder: Path) -> dict[str, str]:
    """Hash the files of a scan, those that are there."""
    found = {}
    for path in filter(Path.is_file, (folder / name for name in SCAN_FILES)):
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def decode_labels(
    labels: pd.DataFrame, shape: tuple[int, int, int], planes: dict[str, int], issues: Issues
) -> tuple[np.ndarray, set[str]]:
    """Draw a scan's labels: (Z, H, W) uint8, one bit per class, and ids that are unreadable."""
    mask = np.zeros(shape, np.uint8)
    unreadable = set()
    drawn = labels[labels["id"].isin(planes) & (labels["segmentation"] != "")]
    columns = (drawn[name] for name in ("row", "id", "class", "segmentation"))
    for row, slice_id, organ, text in zip(*columns, strict=True):
        try:
            inside = decode(text, *shape[1:])
        except ValueError as error:
            issues.add(f"train.csv row {row} ({slice_id}, {organ})", str(error))
            unreadable.add(slice_id)
        else:
            mask[planes[slice_id]] |= inside.astype(np.uint8) << CLASSES.index(organ)
    return mask, unreadable


def _write(folder: Path, scan: Scan, mask: np.ndarray, index: pd.DataFrame, facts: dict) -> None:
    arrays = {"image": scan.image, "mask": mask, "histogram": scan.counts}
    with replacing_folder(folder, (*SCAN_FILES, FACTS)) as temporary:
        temporary.mkdir()
        for array in ARRAYS:
            np.save(temporary / f"{array}.npy", arrays[array])
        index.to_parquet(temporary / INDEX)
        facts = facts | {"files": _hashes(temporary), "body": list(scan.body)}
        write_json(temporary / FACTS, facts | {"seal": _seal(facts)})
