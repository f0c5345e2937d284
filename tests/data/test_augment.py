import albumentations as A
import numpy as np
import pytest
from scipy import ndimage

from gutseg.data.augment import AUGMENTATIONS, Augmenter, CoarseElastic, StainStrength

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 5, 48, 64)).astype(np.float32)
LABELS = RNG.integers(0, 8, (6, 48, 64)).astype(np.uint8)
# every argument of every preset, set to something else than its default
OTHER = {
    ("elastic_blur_noise", "displacement"): 0.1,
    ("elastic_blur_noise", "noise"): 0.3,
    ("flips", "vertical"): True,
    ("mild", "shift"): 0.2,
    ("mild", "angle"): 40.0,
    ("mild", "noise"): 0.3,
    ("mild_elastic", "shift"): 0.2,
    ("mild_elastic", "angle"): 40.0,
    ("mild_elastic", "noise"): 0.3,
    ("mild_elastic", "displacement"): 0.1,
    ("stain", "strength"): 1.0,
    ("stain", "zoom"): 0.4,
    ("stain", "angle"): 60.0,
    ("winner1", "quarter_turns"): True,
    ("nnunet", "unit"): 1.0,
    ("auto3dseg", "unit"): 1.0,
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_presets_keep_shapes_ranges_and_bits(name):
    images, labels = Augmenter(name)(IMAGES, LABELS, seed=3)
    assert images.shape == IMAGES.shape and images.dtype == np.float32
    assert labels.shape == LABELS.shape and labels.dtype == np.uint8
    assert images.min() >= 0 and images.max() <= 1
    assert labels.max() <= 7
    changed = not np.array_equal(images, IMAGES)
    assert changed == (name != "none")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_alone_decides(name):
    augment = Augmenter(name)
    first = augment(IMAGES, LABELS, seed=1)
    other = augment(IMAGES, LABELS, seed=2)
    again = Augmenter(name)(IMAGES, LABELS, seed=1)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert name == "none" or not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("setting", OTHER)
def test_every_argument_changes_the_result(setting):
    name, key = setting
    images, labels = IMAGES[:, :, :, :48], LABELS[:, :, :48]
    # some changes are made to every tenth image
    usual, changed = (
        [Augmenter(name, **params)(images, labels, seed=seed)[0] for seed in range(1, 5)]
        for params in ({}, {key: OTHER[setting]})
    )
    assert not np.array_equal(usual, changed)


def test_two_flips_are_independent():
    """One seed handed to every transform would always flip both ways at once."""
    corner = np.zeros((64, 1, 4, 4), np.float32)
    corner[:, 0, 0, 0] = 1
    flipped, _ = Augmenter("flips", vertical=True)(corner, np.zeros((64, 4, 4), np.uint8), seed=0)
    places = [int(image.argmax()) for image in flipped]
    assert all(6 <= places.count(place) <= 28 for place in (0, 3, 12, 15))


def test_image_and_labels_move_together():
    square = np.zeros((48, 64), np.float32)
    square[12:36, 20:44] = 1
    batch = np.repeat(square[None, None], 5, axis=1)
    for seed in range(5):
        images, labels = Augmenter("winner1")(batch, square[None].astype(np.uint8) * 5, seed)
        bright = images[0, 2] > 0.35
        assert set(np.unique(labels)) <= {0, 5}
        overlap = (bright & (labels[0] == 5)).sum() / (bright | (labels[0] == 5)).sum()
        assert overlap > 0.8


def test_quarter_turns_need_a_square_input():
    with pytest.raises(ValueError, match="quarter_turns needs a square geometry.size"):
        Augmenter("winner1", quarter_turns=True)(IMAGES, LABELS, seed=1)


def test_elastic_treats_all_channels_alike_whatever_their_number():
    for channels in (1, 2, 3, 5, 7):
        warp = CoarseElastic(displacement=0.1, p=1.0)
        warp.set_random_seed(5)
        image = np.repeat(IMAGES[0, 0][..., None], channels, axis=2)
        result = warp(image=image)["image"]
        assert result.shape == image.shape
        np.testing.assert_array_equal(result, np.repeat(result[..., :1], channels, axis=2))
        assert not np.array_equal(result, image)


@pytest.mark.parametrize("channels", [None, 1, 3, 5, 7, 9])
def test_elastic_warps_images_linearly_and_labels_to_the_nearest_pixel(channels):
    """By scipy; a linear warp would turn the bits {1, 4} into {2, 3} between them."""
    rng = np.random.default_rng(7)
    warp = CoarseElastic(displacement=0.1, p=1.0)
    warp.set_random_seed(7)
    field = warp.get_params_dependent_on_data({"shape": (48, 64)}, {})
    at = [field["map_y"], field["map_x"]]
    labels = rng.choice(np.array([0, 1, 4], np.uint8), (48, 64))
    found = warp.apply_to_mask(labels, **field)
    nearest = ndimage.map_coordinates(labels, at, order=0, mode="grid-constant")
    # OpenCV rounds the coordinates to 1/32 of a pixel: no verdict halfway between two
    sure = np.all(np.abs(np.array(at) % 1 - 0.5) > 1 / 32, axis=0)
    np.testing.assert_array_equal(found[sure], nearest[sure])
    image = ndimage.gaussian_filter(rng.random((48, 64, channels or 1)), (1, 1, 0))
    image = (image if channels else image[..., 0]).astype(np.float32)
    planes = np.moveaxis(image, -1, 0).copy() if channels else image[None]
    # as augmenters hand it over: a view with the channels last
    image = np.moveaxis(planes, 0, -1) if channels else image
    linear = [ndimage.map_coordinates(p, at, order=1, mode="grid-constant") for p in planes]
    expected = np.stack(linear, axis=-1) if channels else linear[0]
    np.testing.assert_allclose(warp.apply(image, **field), expected, atol=0.02)


def test_elastic_field_has_the_stated_size():
    """The standard deviation at the lattice points is `displacement` of the shorter side."""
    warp = CoarseElastic(displacement=0.05, grid=4, p=1.0)
    warp.set_random_seed(0)
    shape = {"shape": (200, 300)}
    fields = [warp.get_params_dependent_on_data(shape, {})["map_x"] for _ in range(200)]
    shifts = np.stack(fields) - np.arange(300, dtype=np.float32)
    # cubic interpolation keeps lattice values at the cells' centres
    centres = shifts[:, 25::50, 37::75]
    assert centres.std() == pytest.approx(0.05 * 200, rel=0.1)


def _bicubic(lattice, length):
    """Weights (length, points) of Keys' cubic with a = -.75, pixel centres on pixel centres."""
    weights = np.zeros((length, lattice))
    at = (np.arange(length) + 0.5) * lattice / length - 0.5
    for row, x in enumerate(at):
        for point in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
            t = abs(x - point)
            near = 1.25 * t**3 - 2.25 * t**2 + 1
            far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
            weights[row, min(max(point, 0), lattice - 1)] += near if t <= 1 else far
    return weights


def test_elastic_field_is_the_lattice_resized_by_cubics():
    warp = CoarseElastic(displacement=0.05, grid=4)
    warp.set_random_seed(3)
    field = warp.get_params_dependent_on_data({"shape": (40, 60)}, {})
    lattice = np.random.default_rng(3).standard_normal((4, 4, 2), np.float32) * 0.05 * 40
    rows, columns = np.mgrid[:40, :60]
    for plane, start, name in ((0, columns, "map_x"), (1, rows, "map_y")):
        shift = _bicubic(4, 40) @ lattice[..., plane] @ _bicubic(4, 60).T
        np.testing.assert_allclose(field[name], start + shift, atol=1e-4)
        assert field[name].dtype == np.float32


def test_elastic_grid_sets_the_smoothness():
    rough, smooth = (CoarseElastic(displacement=0.05, grid=g, p=1.0) for g in (12, 3))
    steps = []
    for warp in (rough, smooth):
        warp.set_random_seed(0)
        field = warp.get_params_dependent_on_data({"shape": (96, 96)}, {})["map_x"]
        steps.append(np.abs(np.diff(field - np.arange(96), axis=1)).mean())
    assert steps[0] > 2 * steps[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"displacement": 0.5}, "displacement = 0.5; expected a share between 0 and 0.5"),
        ({"displacement": 0.0}, "displacement = 0.0"),
        ({"grid": 1}, "grid = 1; expected at least 2"),
    ],
)
def test_elastic_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        CoarseElastic(**settings)


def test_elastic_is_an_albumentations_transform():
    assert repr(CoarseElastic()) == "CoarseElastic(p=0.5, displacement=0.02, grid=8)"
    again = A.from_dict(A.to_dict(CoarseElastic(displacement=0.3, grid=2, p=1.0)))
    assert (again.displacement, again.grid, again.p) == (0.3, 2, 1.0)


def test_stain_scales_the_density_of_every_channel_by_its_own_factor():
    dye = StainStrength(strength=1.0, p=1.0)
    dye.set_random_seed(1)
    image = RNG.uniform(0.1, 0.9, (32, 48, 3)).astype(np.float32)
    factors = np.log(dye(image=image)["image"]) / np.log(image)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0, 0], factors.shape), rtol=1e-4)
    assert len(set(factors[0, 0].round(3))) == 3
    # half of a density and twice of it are equally likely, 1 in the middle
    drawn = [
        dye.get_params_dependent_on_data({"shape": (4, 4, 5)}, {})["powers"] for _ in "a" * 999
    ]
    logs = np.log2(drawn)
    assert np.abs(logs).max() <= 1 and logs.max() > 0.99 and logs.min() < -0.99
    assert abs(logs.mean()) < 0.03


def test_stain_keeps_white_and_takes_a_plane_of_grey():
    dye = StainStrength(strength=0.5, p=1.0)
    dye.set_random_seed(0)
    plane = np.array([[1.0, 0.5], [0.0, -1e-7]], np.float32)
    made = dye(image=plane)["image"]
    assert made.shape == (2, 2) and made[0, 0] == 1 and not made[1].any()
    assert 0.5**1.5 <= made[0, 1] <= 0.5 ** (1 / 1.5) and made[0, 1] != 0.5


def test_stain_refuses_a_strength_below_nothing():
    with pytest.raises(ValueError, match=r"strength = -0.1; expected 0 \(no change\) or more"):
        StainStrength(strength=-0.1)
