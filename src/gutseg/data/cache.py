"""The cache of `gutseg prepare`: one folder of memory-mapped arrays a scan, and one index."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from gutseg.constants import CLASSES
from gutseg.data import rle
from gutseg.data.index import Faults
from gutseg.data.volume import Scan, read_scan
from gutseg.paths import need_file, read_json, replacing, write_json

INDEX = "index.parquet"


class Cache:
    """A folder that `gutseg prepare` has finished; scans open as memory maps."""

    def __init__(self, folder: Path) -> None:
        """Open a cache; raises FileNotFoundError when `gutseg prepare` has not finished."""
        self.folder = folder
        path = need_file(folder / INDEX, f"run: gutseg prepare RAW --out {folder}")
        self.index = pd.read_parquet(path)
        self.scan = lru_cache(maxsize=None)(self._open)

    def _open(self, name: str) -> Scan:
        folder = self.folder / name
        facts = read_json(need_file(folder / "scan.json", "run gutseg prepare again"))
        return Scan(
            name,
            image=np.load(folder / "image.npy", mmap_mode="r"),
            counts=np.load(folder / "histogram.npy"),
            body=tuple(facts["body"]),
            mask=np.load(folder / "mask.npy", mmap_mode="r"),
        )

    def class_shares(self, rows: pd.DataFrame) -> list[float]:
        """Return the share of the pixels that each class has on some rows of the index."""
        found, pixels = np.zeros(len(CLASSES)), 0
        for name, z in rows.groupby("scan")["z"]:
            labels = self.scan(name).mask[z.to_numpy()]
            pixels += labels.size
            found += [np.count_nonzero(labels >> bit & 1) for bit in range(len(CLASSES))]
        return (found / max(pixels, 1)).tolist()

    # Worker processes reopen the memory maps instead of receiving copies of them.
    def __getstate__(self) -> dict:
        return {"folder": self.folder, "index": self.index}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.scan = lru_cache(maxsize=None)(self._open)


def cache_scan(
    slices: pd.DataFrame, labels: pd.DataFrame, raw: Path, out: Path, faults: Faults
) -> pd.DataFrame:
    """Write one scan to out/<scan> unless it is there already; return its rows of the index.

    slices, labels: the scan's rows of `index.join`. A scan counts as there when the names and
    sizes of its PNGs and the text of its labels are unchanged.
    """
    name = slices["scan"].iloc[0]
    fingerprint = _fingerprint(slices, labels, raw)
    done = out / name / "scan.json"
    if done.is_file() and (facts := read_json(done))["fingerprint"] == fingerprint:
        for where, problem in facts["faults"]:
            faults.add(where, problem)
        return pd.read_parquet(out / name / INDEX)
    scan, readable = read_scan(slices, raw, faults)
    planes = dict(zip(readable["id"], readable["z"], strict=True))
    mask, unreadable = _decode(labels, scan.shape, planes, faults)
    kept = readable[readable["labelled"] & ~readable["id"].isin(unreadable)]
    index = kept.drop(columns="labelled")
    for bit, organ in enumerate(CLASSES):
        index[organ] = (mask >> bit & 1).any(axis=(1, 2))[index["z"]]
    _write(out / name, scan, mask, index, {"fingerprint": fingerprint, "faults": faults.rows})
    return index


def _fingerprint(slices: pd.DataFrame, labels: pd.DataFrame, raw: Path) -> str:
    digest = hashlib.sha256()
    for file in slices["file"]:
        digest.update(f"{file} {(raw / file).stat().st_size}\n".encode())
    for row in labels[["id", "class", "segmentation"]].itertuples(index=False):
        digest.update(" ".join(row).encode() + b"\n")
    return digest.hexdigest()


def _decode(
    labels: pd.DataFrame, shape: tuple[int, int, int], planes: dict[str, int], faults: Faults
) -> tuple[np.ndarray, set[str]]:
    """Draw a scan's labels: (Z, H, W) uint8, one bit a class, and the ids that did not read."""
    mask = np.zeros(shape, np.uint8)
    unreadable = set()
    for row in labels[labels["segmentation"] != ""].itertuples():
        if row.id not in planes:
            continue
        where = f"train.csv row {row.row} ({row.id}, {row[2]})"
        try:
            organ = rle.decode(row.segmentation, *shape[1:])
        except ValueError as error:
            faults.add(where, str(error))
            unreadable.add(row.id)
        else:
            mask[planes[row.id]] |= organ.astype(np.uint8) << CLASSES.index(row[2])
    return mask, unreadable


def _write(folder: Path, scan: Scan, mask: np.ndarray, index: pd.DataFrame, facts: dict) -> None:
    with replacing(folder) as temporary:
        temporary.mkdir()
        np.save(temporary / "image.npy", scan.image)
        np.save(temporary / "mask.npy", mask)
        np.save(temporary / "histogram.npy", scan.counts)
        index.to_parquet(temporary / INDEX)
        write_json(temporary / "scan.json", facts | {"body": scan.body})
