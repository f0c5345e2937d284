"""Per-pixel maps against plain loops and by hand."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from gutseg.data.maps import MAPS, Maps, band, border, distance, lesion, signed
from gutseg.losses import Criterion


def _plane(rows: list[str]) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def _random(seed: int, shape: tuple[int, int] = (24, 31), grain: float = 2) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), grain)
    return noise > 0.16 / grain


def test_distance_is_one_at_the_edge_and_zero_at_the_deepest():
    mask = _plane([".......", ".#####.", ".#####.", ".#####.", "......."])
    found = distance(mask[None])[0].astype(float)
    # inside the deepest depth is 2, on its edge 1: (2 - 1) / 2
    assert found[2].tolist()[1:6] == [0.5, 0, 0, 0, 0.5]
    outside = ndimage.distance_transform_edt(~mask)
    expected = (outside.max() - outside) / outside.max()
    np.testing.assert_allclose(found[~mask], expected[~mask], atol=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_signed_distance_is_scipys(seed):
    mask = _random(seed)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    expected = np.where(mask, 1 - inside, outside)
    np.testing.assert_allclose(signed(mask[None])[0], expected, atol=2e-2)


def test_the_band_is_what_dilation_adds_and_erosion_takes():
    mask = _random(0)
    ball = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3
    grown = ndimage.binary_dilation(mask, ball)
    shrunk = ndimage.binary_erosion(mask, ball, border_value=1)
    np.testing.assert_array_equal(band(mask[None], width=3)[0], grown & ~shrunk)


def test_every_lesion_weighs_one():
    mask = _plane(["##..#", "#....", "..##.", "....#"])  # the lower two touch at a corner
    found = lesion(mask[None])[0].astype(float)
    assert found[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0, 1], abs=1e-3)
    assert found[2].tolist() == pytest.approx([0, 0, 1 / 3, 1 / 3, 0], abs=1e-3)
    assert found.sum() == pytest.approx(3, abs=3e-3)


def test_lesions_of_every_class_by_scipys_labels():
    masks = np.stack([_random(seed, grain=1) for seed in (3, 4)])
    for mask, found in zip(masks, lesion(masks), strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        assert count > 5
        sizes = ndimage.sum_labels(mask, labels, labels)
        expected = np.where(mask, 1 / np.maximum(sizes, 1), 0)
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("sigma", [5.0, 20.0])
def test_border_weights_against_a_plain_loop(sigma):
    mask = _random(1, (40, 170), grain=1.3)
    mask[:, 20:150] = False
    mask[20, 80] = True  # far from the others
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    assert count > 3
    each = np.stack([ndimage.distance_transform_edt(labels != n) for n in range(1, count)])
    nearest, second = np.sort(each, axis=0)[:2]
    gap = 10 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    balance = np.where(mask, 0.5 / mask.mean(), 0.5 / (1 - mask.mean()))
    expected = balance + np.where(mask, 0, gap)
    close = {"rtol": 2e-3, "atol": 2e-3}
    np.testing.assert_allclose(border(mask[None], sigma=sigma)[0], expected, **close)
    plain = border(mask[None], sigma=sigma, balance=False)[0]
    np.testing.assert_allclose(plain, 1 + np.where(mask, 0, gap), **close)


def test_the_border_is_that_of_the_last_class():
    first, last = _random(1), _random(2)
    found = border(np.stack([first, last]))
    assert found.shape == (1, *last.shape)
    np.testing.assert_array_equal(found, border(last[None]))
    assert not np.array_equal(found, border(first[None]))


@pytest.mark.parametrize("turn", [False, True])
def test_border_weights_of_two_cells_reach_five_sigma(turn):
    """Between cells eight pixels apart d1 + d2 is 8, the farther one up to 5 sigma away."""
    mask = np.zeros((3, 11), bool)
    mask[1, [1, 9]] = True
    found = border((mask.T if turn else mask)[None], w0=1e9, sigma=1.0, balance=False)[0]
    between = (found.T if turn else found)[1, 2:9]
    np.testing.assert_allclose(between[2:5], 1 + 1e9 * np.exp(-32), rtol=1e-6)


def test_a_single_cell_has_no_border_to_guard():
    mask = _plane(["....", ".##.", "...."])
    found = border(mask[None], balance=False)
    assert found.shape == (1, 3, 4) and (found == 1).all()


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_nowhere_and_everywhere(name, fill):
    found = Maps([name])(np.full((2, 3, 5, 6), fill, np.float32))[name]
    assert np.isfinite(found.astype(float)).all()
    assert found.shape == (2, 1 if name == "border" else 3, 5, 6)
    if name not in ("border", "lesion") and not (name == "pieces" and fill):
        assert not found.any()


def test_the_table_of_maps():
    """distance may be rough, it ends at 1; band is a mask."""
    types = {"distance": np.float16, "signed": np.float32, "band": bool}
    types |= {"lesion": np.float32, "border": np.float32, "pieces": np.int32, "skeleton": bool}
    found = Maps(list(MAPS))(_random(2)[None, None].astype(np.float32))
    assert {name: plane.dtype for name, plane in found.items()} == types
    assert all(isinstance(spec.source, str) for spec in MAPS.values())


@pytest.mark.parametrize("fill", [False, True])
def test_a_border_map_of_one_kind_of_pixels_weighs_one(fill):
    assert (border(np.full((1, 5, 6), fill)) == 1).all()


def test_settings_by_name():
    masks = _random(2)[None, None].astype(np.float32)
    thin = Maps(["band"], {"band": {"width": 1}})(masks)["band"]
    assert thin.sum() < Maps(["band"])(masks)["band"].sum()
    with pytest.raises(ValueError, match="band: width = 0"):
        Maps(["band"], {"band": {"width": 0}})(masks)


@pytest.mark.parametrize("side", [384, 1024])
@pytest.mark.parametrize("inside", [True, False])
def test_border_weights_of_a_large_crop_with_few_pixels_of_one_kind_are_finite(side, inside):
    """Three membrane pixels of a million weigh 174,763 each; float16 ends at 65,504."""
    mask = np.full((1, side, side), not inside)
    mask[0, side // 2, :3] = inside
    found = border(mask)[0]
    assert found[side // 2, 0] == pytest.approx(side * side / 6)
    assert found[0, 0] == pytest.approx(0.5 / (1 - 3 / side**2))
    logits = torch.zeros(1, 1, side, side, requires_grad=True)
    target = torch.from_numpy(mask)[None].float()
    loss, _ = Criterion("border_weight_ce")(
        logits, target, border=torch.from_numpy(found)[None, None]
    )
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2), rel=1e-4)  # weights have mean 1
    assert torch.isfinite(logits.grad).all()


def test_distances_and_shares_keep_their_digits_on_large_planes():
    """float16 rounds 4,095 to 4,096 and 1 / 1,690,000 to 6.0e-7."""
    mask = np.zeros((1, 2, 5000), bool)
    mask[..., :2] = True
    assert signed(mask)[0, 0, [2, 2051, 4096]].tolist() == [1, 2050, 4095]
    mask = np.zeros((1, 1300, 1302), bool)
    mask[..., 1:-1] = True
    assert lesion(mask)[0, 0, 1] == pytest.approx(1 / 1_690_000, rel=1e-6)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", [(2, 0, 6), (2, 6, 0), (0, 6, 6), (6, 6)])
def test_planes_without_pixels_are_refused(name, shape):
    """OpenCV ends the process over a plane of height 0."""
    with pytest.raises(ValueError, match=r"maps: masks \(.*\); expected \(C, H, W\) with pixels"):
        MAPS[name].build(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"maps: masks \(.*\)"):
        Maps([name])(np.zeros((0, 2, 6, 6), np.uint8))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("value", [np.uint8(255), np.float32(1), np.int64(1)])
def test_masks_of_any_type_are_inside_above_zero(name, value):
    mask = _random(3)[None]
    found = MAPS[name].build(np.where(mask, value, type(value)(0)))
    np.testing.assert_array_equal(found, MAPS[name].build(mask))
