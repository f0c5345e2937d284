import pickle

import numpy as np
import pandas as pd
import pytest

from gutseg.constants import CLASSES
from gutseg.data import rle
from gutseg.data.cache import Cache
from gutseg.data.volume import read_png


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
        np.testing.assert_array_equal(scan.mask[3] >> bit & 1, rle.decode(text, 40, 48))
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
