"""Test-time augmentation: every look is undone, and the mean is over what was looked at."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from gutseg.config import Predict, validate
from gutseg.config.sections import Config
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.volume import describe
from gutseg.inference.ensemble import mean_of, weighted_mean
from gutseg.inference.looks import LOOKS, Look, looks, passes, with_strides
from gutseg.inference.parts import Part
from gutseg.inference.predictor import Predictor, probabilities
from gutseg.inference.views import ViewPredictor
from gutseg.settings import Tta

CPU = torch.device("cpu")


class First(nn.Module):
    """The logit is the first channel, that of the slice before."""

    def forward(self, images):
        return images[:, :1]


class Column(nn.Module):
    """The logit of a pixel is its column, whatever the image."""

    def forward(self, images):
        return torch.arange(images.shape[3]).float().expand(len(images), 1, *images.shape[2:])


def _inputs(stride=1, slices=3):
    stack = Stack(slices=slices, stride=stride)
    return Inputs(stack, Scaling(kind="scan"), Geometry(kind="native"))


@pytest.fixture(scope="module")
def steps():
    """A scan whose slice z has the grey value 100 z at every pixel, and 900 at the last."""
    image = np.repeat(100 * np.arange(10, dtype=np.uint16), 12 * 16).reshape(10, 12, 16)
    return describe("case1_day0", image)


def test_every_name_has_its_looks_and_its_cost():
    assert tuple(LOOKS) == get_args(Tta)
    assert [passes(name) for name in LOOKS] == [1, 2, 4, 3, 3, 3]


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_done_is_undone(name):
    images = torch.rand(2, 3, 40, 56)
    for look in LOOKS[name]:
        back = look.back(look.there(images), (40, 56))
        if look.scale == 1:
            assert torch.equal(back, images)
        else:
            # half a pixel aside the interpolation would move a ramp by 1 / 55
            ramp = torch.linspace(0, 1, 56).expand(2, 3, 40, 56)
            found = look.back(look.there(ramp), (40, 56))[..., 2:-2]
            torch.testing.assert_close(found, ramp[..., 2:-2], atol=1e-3, rtol=0)
            assert look.there(images).shape[2:] == (round(40 * look.scale), round(56 * look.scale))


def test_the_mean_is_over_places_where_the_network_saw_a_pixel():
    """Column 10 lies in columns 18 and 2 of the two shifted images of 32; column 30 in 6, 22."""
    found = probabilities(Column(), torch.rand(1, 3, 16, 32), LOOKS["shifts"])[0, 0, 0]
    for column, places in ((10, (10, 18, 2)), (30, (30, 6, 22))):
        expected = torch.tensor(places).float().sigmoid().mean()
        assert found[column] == pytest.approx(float(expected))
    wide = probabilities(Column(), torch.rand(1, 3, 16, 32), (Look(scale=2.0),))[0, 0, 0]
    # columns 6 and 7 of the doubled image are halves of column 3
    halves = torch.tensor([6.0, 7.0]).sigmoid().mean()
    assert wide[3] == pytest.approx(float((torch.tensor(3.0).sigmoid() + halves) / 2))


@pytest.mark.parametrize(("stride", "seen"), [(1, (1, 2)), (2, (2, 1, 3)), (3, (3, 2))])
def test_strides_look_at_neighbours_that_are_closer_and_farther(steps, stride, seen):
    settings = Predict(tta="strides", batch_size=3)
    predictor = Predictor(First(), _inputs(stride), settings, device=CPU)
    found = predictor(steps)[0, :, 5, 5]
    for z in range(10):
        greys = torch.tensor([max(z - step, 0) / 9 for step in seen])
        assert found[z] == round(255 * float(greys.sigmoid().mean())), z
    assert [one.stack.stride for one in predictor.strided] == list(seen[1:])


def test_validation_sees_the_stack_as_it_was_trained(steps):
    predictor = Predictor(First(), _inputs(), Predict(tta="strides", batch_size=4), device=CPU)
    plain = Predictor(First(), _inputs(), Predict(batch_size=4), device=CPU)
    for (_, images), (_, others) in zip(
        predictor.batches(steps, np.arange(10)), plain.batches(steps, np.arange(10)), strict=True
    ):
        assert torch.equal(images, others)


def test_another_view_has_strides_of_its_own(steps):
    """Rows of a volume of equal rows: every stride shows the same."""
    views = [
        ViewPredictor(First(), _inputs(), Predict(tta=tta), view="coronal", device=CPU)
        for tta in ("strides", "none")
    ]
    strides, plain = (one(steps, np.arange(3, 9)) for one in views)
    assert strides.shape == (1, 6, 12, 16) and strides.std() > 0
    np.testing.assert_array_equal(strides, plain)
    parts = views[0].parts(steps, np.arange(3), lambda _, __, images: images[:, :1])
    assert next(parts)[1].shape == (1, 3, 12, 16)


def test_an_ensemble_of_other_looks_is_the_mean_of_its_networks(steps):
    predictors = [
        Predictor(First(), _inputs(), Predict(tta=tta, batch_size=4), device=CPU)
        for tta in ("none", "strides", "strides", "shifts")
    ]
    z, weights = np.arange(10), [1.0, 2.0, 1.0, 1.0]
    expected = weighted_mean([one(steps, z) for one in predictors], weights)
    np.testing.assert_array_equal(mean_of(predictors, weights, [Part(steps, z)]), expected)


def test_strides_need_a_stack():
    with pytest.raises(
        ValueError, match="tta: strides looks at other steps .* one slice at a time"
    ):
        Predictor(First(), _inputs(slices=1), Predict(tta="strides"), device=CPU)
    assert looks("shifts", Stack(slices=1)) == LOOKS["shifts"]
    assert with_strides(_inputs(), LOOKS["flips"]) == []
    for changes, reason in (
        ({"stack": {"slices": 1}}, "an input of one slice has no steps"),
        ({"data": {"source": "isbi"}, "loss": {"name": "bce_dice"}}, "isbi has single images"),
    ):
        content = {"name": "x", "predict": {"tta": "strides"}} | changes
        with pytest.raises(ValueError, match=f"predict.tta: strides, but {reason}"):
            validate(Config, content, "x.yaml")
