"""What the planner finds is what a plain count on the same arrays finds."""

import numpy as np
import pytest
from pictures import write_nuclei
from scipy import ndimage

from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources import read
from gutseg.planning import Machine, fingerprint, table

SEEN = Inputs(Stack(), Scaling(), Geometry(kind="native"))
MACHINE = Machine(cores=2, memory_gib=8.0)


@pytest.fixture(scope="module")
def organs(cache):
    """The cache of six patients' scans: its source and fingerprint."""
    data = read("competition", cache, SEEN, {})
    return data, fingerprint("competition", data, MACHINE)


def test_the_list_of_slices_gives_counts_days_sizes_and_empties(organs):
    _, found = organs
    assert (found.images, found.scans, found.groups, found.most_days) == (46, 6, 5, 2)
    assert found.sizes == {(40, 48): 5, (36, 36): 1} and found.depth == 8
    assert found.empty_share == 0
    assert found.volumes and not found.exclusive and found.background is None
    assert found.spacings == ((3.0, 1.5, 1.5),)


def test_planes_without_objects_are_counted_in_the_whole_list(cache):
    data = read("competition", cache, SEEN, {})
    data.index.loc[data.index.index[:10], ["large_bowel", "small_bowel", "stomach"]] = False
    assert fingerprint("competition", data, MACHINE).empty_share == pytest.approx(10 / 46)


def test_pixels_pieces_and_greys_of_volumes_are_those_of_plain_counts(organs):
    data, found = organs
    scans = [data.scan(name) for name in sorted(data.index["scan"].unique())]
    for bit, one in enumerate(found.classes):
        masks = [scan.labels >> bit & 1 for scan in scans]
        inside = sum(mask.sum() for mask in masks)
        assert one.share == pytest.approx(inside / sum(mask.size for mask in masks))
        pieces = [ndimage.label(mask, np.ones((3, 3, 3)))[1] for mask in masks]
        assert one.pieces == np.median(pieces)
        flat = [ndimage.label(plane, np.ones((3, 3)))[1] for mask in masks for plane in mask]
        assert one.piece_pixels == pytest.approx(inside / sum(flat))
    assert sorted(one.high for one in found.greys) == sorted(s.percentile(99.5) for s in scans)
    assert found.grey_spread == max(s.percentile(99.5) for s in scans) / min(
        s.percentile(99.5) for s in scans
    )
    height, width = (np.median([s.body[i + 1] - s.body[i] for s in scans]) for i in (0, 2))
    assert found.body == (int(height), int(width))


def test_pictures_count_without_what_is_ignored(tmp_path):
    data = read("png_folder", write_nuclei(tmp_path), SEEN, {"ignore": 255})
    dotted = data.pictures["0"].labels[0]
    dotted[:] = 0
    dotted[10:38:4, 10:50:4] = 1  # 70 pieces of one class, none of the other
    found = fingerprint("png_folder", data, MACHINE)
    assert [one.name for one in found.objects] == ["class 1", "class 2"]
    assert sum(one.share for one in found.classes) == pytest.approx(1)
    pictures = list(data.pictures.values())
    kept = sum((~one.ignore).sum() for one in pictures)
    first = sum(((one.labels == 1) & ~one.ignore).sum() for one in pictures)
    assert found.objects[0].share == pytest.approx(first / kept)
    for number, one in enumerate(found.objects, 1):
        masks = [(p.labels[0] == number) & ~p.ignore[0] for p in pictures]
        pieces = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks if mask.any()]
        assert (one.pieces, max(pieces)) == (np.median(pieces), 70 if number == 1 else 3)
    assert (found.channels, found.depth, found.exclusive, found.volumes) == (3, 1, True, False)
    assert all(0 <= one.low < one.high <= one.largest <= 1 for one in found.greys)


def test_one_image_cannot_be_planned_for(tmp_path):
    data = read("png_folder", write_nuclei(tmp_path, 1), SEEN, {"ignore": 255})
    with pytest.raises(ValueError, match="1 labelled images of 1 group, and no fold divides one"):
        fingerprint("png_folder", data, MACHINE)


def test_the_table_says_what_was_found(organs):
    rows = dict(line.split("  ", 1) for line in table(organs[1]).splitlines() if line[0] != " ")
    said = {name: value.strip() for name, value in rows.items()}
    assert said["sizes"] == "40 x 48 (5), 36 x 36 (1)"
    assert said["images"] == "46 in 6 scans of 5 groups, at most 2 each"
    assert said["machine"] == "2 cores, 8.0 GiB, no GPU" and said["weights"] == "none"
