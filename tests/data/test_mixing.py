"""CutMix and MixUp: what comes of two images, their labels and their ignored pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
from pictures import write_nuclei

from gutseg import epochs, experiment
from gutseg.config import load
from gutseg.data.mixing import Mix, mixed
from gutseg.data.sampler import Batch

# every image, and its labels, is one number all over
NUMBERS = np.array([0.0, 1.0, 2.0, 3.0], np.float32)


def _planes(ignored=None):
    images = np.broadcast_to(NUMBERS[:, None, None, None], (4, 2, 20, 30)).copy()
    return images, images[:, 0].astype(np.uint8), ignored


def _masks(labels):
    return (labels[:, None] == np.arange(4)[:, None, None]).astype(np.float32)


def _mixed(seed=0, ignored=None, **settings):
    mix = Mix(share=1.0, **settings)
    return mixed(mix, _planes(ignored), _masks, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_a_box_of_another_image_comes_with_its_labels(seed):
    images, labels, _ = _mixed(seed)
    assert (images == labels[:, None]).all()
    for number, (own, image) in enumerate(zip(NUMBERS, images[:, 0], strict=True)):
        foreign = image != own
        if foreign.any():
            rows, columns = (np.flatnonzero(foreign.any(axis)) for axis in (1, 0))
            # one box, all of it from one image, the same box in all
            assert foreign.sum() == len(rows) * len(columns)
            assert rows[-1] - rows[0] + 1 == len(rows)
            assert len(np.unique(image[foreign])) == 1
            first = images[:, 0, rows[0], columns[0]]
            assert sorted(first) == NUMBERS.tolist() and first[number] != own


def test_the_area_of_the_box_follows_the_share_that_is_drawn():
    """Uniform shares have mean 1/2; sides are rounded."""
    areas = [(_mixed(seed)[0][:, 0] != NUMBERS[:, None, None]).max(0).mean() for seed in range(300)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    few = [
        (_mixed(seed, alpha=0.1)[0][:, 0] != NUMBERS[:, None, None]).max(0).mean()
        for seed in range(300)
    ]
    assert (
        np.mean([0.1 < area < 0.9 for area in few])
        < 0.4
        < np.mean([0.1 < area < 0.9 for area in areas])
    )


def test_an_average_of_two_images_has_the_average_of_their_labels():
    images, soft, _ = _mixed(3, kind="mixup")
    assert soft.dtype == images.dtype == np.float32
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
    # a pixel's value is the mean of the numbers that its labels give
    np.testing.assert_allclose((soft * NUMBERS[:, None, None]).sum(1), images[:, 0], atol=1e-6)
    shares = np.unique(np.round(soft, 6))
    shares = shares[(shares > 0) & (shares < 1)]  # 1 is an image with itself
    assert len(shares) == 2 and shares.sum() == pytest.approx(1, abs=1e-5)


def test_what_is_ignored_in_either_image_stays_ignored():
    ignored = np.zeros((4, 20, 30), bool)
    ignored[1] = True
    averaged = _mixed(3, ignored, kind="mixup")[2]
    order = np.random.default_rng(3)
    order.random()
    partners = order.permutation(4)
    assert (averaged[1]).all() and (averaged[np.flatnonzero(partners == 1)]).all()
    images, _, pasted = _mixed(1, ignored)
    assert (pasted == (images[:, 0] == 1)).all()


def test_only_a_share_of_the_batches_is_mixed():
    random, mix = np.random.default_rng(0), Mix(share=0.25)
    same = [mixed(mix, planes := _planes(), _masks, random)[0] is planes[0] for _ in range(400)]
    assert np.mean(same) == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
@pytest.mark.parametrize("crop", ["crop={size: [32, 32]}", "crop=null"])
def test_batches_of_a_config_are_mixed_and_drawn_again_the_same(tmp_path, kind, crop):
    write_nuclei(tmp_path / "data")
    source = f"source: png_folder, folder: {tmp_path / 'data'}, params: {{ignore: 255}}"
    (tmp_path / "x.yaml").write_text(
        f"data: {{{source}, folds: 2}}\n"
        "geometry: {kind: native}\nmodel: {name: unet, params: {widths: [8, 16]}}\n"
        "loss: {name: dice, maps: {}}\ntrain: {batch_size: 4}\n"
    )
    mix = f"mix={{kind: {kind}, share: 1.0}}"
    found = []
    for settings in ([crop], [crop, mix], [crop, mix]):
        config = load(tmp_path / "x.yaml", settings)
        data = experiment.source(config)
        batches = epochs.batches(config, data, experiment.rows(config, data), 0)
        found.append(batches[0 if config.crop else Batch(np.array([0, 2, 4, 0]), 5)])
    plain, first, second = (SimpleNamespace(**one) for one in found)
    assert (first.images == second.images).all() and (first.target == second.target).all()
    assert (plain.images != first.images).any()
    assert first.target.dim() == (4 if kind == "mixup" else 3)
