import contextlib
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from folders import read_png

from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.masks import rle_reading


def test_volumes_are_memory_maps_in_slice_order(cache):
    scan = Cache(cache).scan("case1_day0")
    assert isinstance(scan.image, np.memmap) and isinstance(scan.mask, np.memmap)
    raw = cache.parent / "raw"
    rows = Cache(cache).index.query("scan == 'case1_day0'")
    assert rows["z"].tolist() == list(range(8)) and rows["slice"].tolist() == list(range(1, 9))
    for row in rows.itertuples():
        np.testing.assert_array_equal(scan.image[row.z], read_png(raw / row.file, 40, 48))


def test_masks_hold_one_bit_a_class(cache):
    scan = Cache(cache).scan("case3_day0")
    table = pd.read_csv(cache.parent / "raw" / "train.csv", keep_default_na=False)
    table = table[table["id"] == "case3_day0_slice_0004"]
    for bit, organ in enumerate(CLASSES):
        text = table.loc[table["class"] == organ, "segmentation"].iloc[0]
        np.testing.assert_array_equal(scan.mask[3] >> bit & 1, rle_reading.decode(text, 40, 48))
        assert text


def test_index_flags_say_where_organs_are(cache):
    opened = Cache(cache)
    for row in opened.index.itertuples():
        present = [bool((opened.scan(row.scan).mask[row.z] >> bit & 1).any()) for bit in range(3)]
        assert present == [getattr(row, organ) for organ in CLASSES]


def test_a_worker_reopens_the_maps(cache):
    opened = Cache(cache)
    opened.scan("case1_day0")
    data = pickle.dumps(opened)
    assert len(data) < 50_000
    np.testing.assert_array_equal(
        pickle.loads(data).scan("case2_day0").image, opened.scan("case2_day0").image
    )


def test_missing_cache_and_scan(cache, tmp_path):
    with pytest.raises(FileNotFoundError, match="run: gutseg prepare RAW --out"):
        Cache(tmp_path)
    with pytest.raises(FileNotFoundError, match="run: gutseg prepare RAW --out .*cache again"):
        Cache(cache).scan("case9_day9")


@pytest.fixture
def own(cache, tmp_path):
    """A copy of the cache that a test may damage."""
    shutil.copytree(cache, tmp_path / "cache")
    return tmp_path / "cache"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def _unbalanced(path):
    """A header with a bracket open, at which numpy raises neither ValueError nor OSError."""
    data = path.read_bytes()
    path.write_bytes(data[:10] + data[10:].replace(b")", b" ", 1))


def _other_type(path):
    np.save(path, np.load(path).astype(np.int64))


DAMAGE = {
    "image.npy": [
        (_cut, r"image.npy is cut: it has 30841 of 30848 bytes; run: gutseg prepare RAW --out"),
        (lambda p: p.write_bytes(b""), "image.npy .*run: gutseg prepare"),
        (lambda p: p.unlink(), "image.npy does not exist; run: gutseg prepare"),
        (_unbalanced, "image.npy has a damaged header; run: gutseg prepare"),
        (_other_type, r"image.npy holds int64 \(8, 40, 48\); expected 3 axes of uint16"),
        (lambda p: np.save(p, np.load(p)[:, :8]), "image .8, 8, 48., mask .8, 40, 48. and a hist"),
        (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 300), "image.npy .*prepare"),
    ],
    "mask.npy": [(_cut, "mask.npy is cut: it has 15481 of 15488 bytes")],
    "histogram.npy": [
        (_cut, "histogram.npy is cut"),
        (lambda p: np.save(p, np.zeros(9, np.uint32)), "a histogram of 0 voxels"),
    ],
    "scan.json": [
        (lambda p: p.write_text("{}"), "scan.json is damaged or of another version; run: gut"),
        (lambda p: p.write_text("[1, 2"), "scan.json is damaged"),
        (lambda p: p.write_bytes(b"\xff\x00"), "scan.json is damaged"),
        (lambda p: p.write_text("[" * 100_000), "scan.json is damaged"),
        (lambda p: p.write_text(p.read_text().replace(": true", ": false")), "is damaged"),
    ],
}


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [(name, *case) for name, cases in DAMAGE.items() for case in cases],
)
def test_a_damaged_scan_is_named_when_it_opens(own, name, spoil, message):
    """A cut array that is mapped ends the process with a bus error on its last page."""
    opened = Cache(own)
    spoil(own / "case1_day0" / name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        opened.scan("case1_day0")
    assert opened.scan("case1_day5").shape == (8, 40, 48)


def _as_table(path, change):
    change(pd.read_parquet(path)).to_parquet(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "index.parquet is damaged .*run: gutseg prepare RAW --out .* again"),
        (lambda p: p.write_bytes(b""), "index.parquet is damaged"),
        (lambda p: p.write_text("id,scan\n"), "index.parquet is damaged"),
        (lambda p: _as_table(p, lambda t: t.drop(columns=["z"])), "has no column z; run"),
        (lambda p: _as_table(p, lambda t: t.assign(scan="../x")), "not of the form case1_day0"),
        (lambda p: _as_table(p, lambda t: t.astype({"case": str})), "column case is .*; run: gut"),
        (lambda p: _as_table(p, lambda t: t.assign(z=np.nan)), "column z is float64; run"),
        (lambda p: _as_table(p, lambda t: t.assign(stomach=2)), "column stomach is int64"),
        (lambda p: _as_table(p, lambda t: t.iloc[:0]), "index.parquet lists no slice; run"),
        (lambda p: _as_table(p, lambda t: t.iloc[[0, 0, 1]]), "lists a slice twice; run: gut"),
    ],
)
def test_a_damaged_index_is_named(own, spoil, message):
    spoil(own / "index.parquet")
    with pytest.raises(ValueError, match=message):
        Cache(own)


def test_a_flipped_byte_of_the_index_is_never_taken_for_another_index(own):
    path = own / "index.parquet"
    data, index = path.read_bytes(), Cache(own).index
    for at in range(4, len(data) // 2, 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with contextlib.suppress(ValueError):
            assert Cache(own).index.equals(index), f"byte {at} of {len(data)}"


def test_an_array_that_is_cut_while_it_is_open_is_named(own):
    opened = Cache(own)
    before = opened.scan("case1_day0")
    os.truncate(own / "case1_day0" / "mask.npy", 4096)
    with pytest.raises(
        ValueError, match=r"mask.npy was cut while it was open; run: gutseg prepare"
    ):
        opened.scan("case1_day0")
    assert opened.scan("case1_day5") is opened.scan("case1_day5") is not before


def test_an_index_of_another_cache_is_noticed(own):
    path = own / "index.parquet"
    _as_table(path, lambda t: t.assign(z=t["z"] + (t["scan"] == "case1_day0")))
    with pytest.raises(
        ValueError, match="index.parquet lists planes of case1_day0 up to 8, .*has 8"
    ):
        Cache(own).scan("case1_day0")
