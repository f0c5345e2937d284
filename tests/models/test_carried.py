"""What the rows written from papers carry of the options of `model:`."""

import pytest
import torch
from network_cases import evaluated, small

from gutseg.models import extend
from gutseg.models.input_norm import Seen
from gutseg.models.presence import Gate

# of the small networks: channels of the features that a presence head reads
DEEPEST = {
    "segmenter": 64,
    "transunet": 64,
    "unet_valid": 8,
    "gdl_unet": 16,
    "two_path_cnn": 16,
    "deepmedic": 8,
}


@pytest.mark.parametrize(("name", "channels"), DEEPEST.items())
def test_a_presence_head_sits_on_the_deepest_features(name, channels):
    network = extend(small(name), 5, 3, gate=Gate()).train()
    masks, presence = network(torch.rand(2, 5, 40, 36))
    assert masks.shape == (2, 3, 40, 36) and presence.shape == (2, 3)
    assert network.presence.linear.in_features == 2 * channels
    assert network.eval()(torch.rand(2, 5, 40, 36)).shape == (2, 3, 40, 36)


def test_deepmedic_in_3_d_has_a_presence_head_too():
    network = extend(small("deepmedic", dims=3), 5, 3, dims=3, gate=Gate()).train()
    masks, presence = network(torch.rand(1, 5, 4, 9, 7))
    assert masks.shape == (1, 3, 4, 9, 7) and presence.shape == (1, 3)


@pytest.mark.parametrize(("name", "bottom"), [("unet_valid", 4), ("gdl_unet", 2)])
def test_valid_u_nets_take_attention_at_every_level(name, bottom):
    attention = {"local_levels": [0], "external_levels": [-1], "local_heads": 2}
    network = extend(small(name), 5, 3, attention=attention).eval()
    assert len(network.added) == 3  # on both sides of level 0, once at the bottom
    levels = network.network.levels
    assert [place.module for place in levels[0]] == ["encoder.0", f"decoder.{bottom - 1}"]
    assert [place.module for place in levels[bottom]] == [f"encoder.{bottom}"]
    with torch.no_grad():
        assert network(torch.rand(1, 5, 21, 30)).shape == (1, 3, 21, 30)


@pytest.mark.parametrize("name", ["segmenter", "transunet"])
def test_published_transformers_saw_images_between_minus_one_and_one(name):
    assert evaluated(name).seen == Seen((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
