import pytest
import torch
from torch.nn import functional as F

from gutseg.models.gdl_unet import gdl_unet
from gutseg.models.unet_valid import unet_valid


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def _plain(network, images):
    """[Ronneberger 2015] figure 1, level by level, from the tensors of the state in their order."""
    state = network.state_dict()

    def twice(features, name):
        for layer in (0, 2):
            weight, bias = state[f"{name}.{layer}.weight"], state[f"{name}.{layer}.bias"]
            features = F.conv2d(features, weight, bias).clamp(min=0)
        return features

    depth = len(network.encoder)
    left = [twice(images, "encoder.0")]
    for level in range(1, depth):
        batch, channels, height, width = left[-1].shape
        blocks = left[-1].reshape(batch, channels, height // 2, 2, width // 2, 2)
        left.append(twice(blocks.amax(dim=(3, 5)), f"encoder.{level}"))
    features = left.pop()
    for step in range(depth - 1):
        weight, bias = state[f"up.{step}.weight"], state[f"up.{step}.bias"]
        # kernel 2, stride 2: every pixel becomes a 2x2 block of its own
        blocks = torch.einsum("bihw,iouv->bohuwv", features, weight)
        grown = blocks.flatten(4, 5).flatten(2, 3) + bias[:, None, None]
        skip = left.pop()
        cut = (skip.shape[2] - grown.shape[2]) // 2
        both = torch.cat((skip[:, :, cut:-cut, cut:-cut], grown), dim=1)
        features = twice(both, f"decoder.{step}")
    return F.conv2d(features, state["head.weight"], state["head.bias"])


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (unet_valid(2, 3, widths=(4, 5, 6, 7, 8)), 204),
        (gdl_unet(2, 3, widths=(4, 5, 6)), 60),
        (unet_valid(1, 1, widths=(4, 5)), 22),
    ],
)
def test_it_is_the_network_of_the_figure(network, side):
    images = torch.rand(1, network.encoder[0][0].in_channels, side, side, dtype=torch.float64)
    network = network.double()
    with torch.no_grad():
        found, expected = network.valid(images), _plain(network, images)
    assert found.shape[2] == side - network.shrink
    torch.testing.assert_close(found, expected)


def test_parameters_are_those_of_the_paper():
    with torch.device("meta"):
        assert _count(unet_valid(1, 2)) == 31_030_658
        # 64 in each of the first level's two channels more, 65 in one class more
        assert _count(unet_valid(3, 3)) == 31_030_658 + 2 * 9 * 64 + 65
        assert _count(gdl_unet(1, 2)) == 1_861_762


def test_dropout_is_at_the_bottom():
    network = gdl_unet(1, 1, widths=(2, 2, 2), dropout=1.0).train()
    images = torch.rand(1, 1, 48, 48)
    skips_alone = network(images)
    network.encoder[-1][0].weight.data.mul_(3)  # what enters the bottom is dropped
    assert torch.equal(network(images), skips_alone)
    assert not torch.equal(network.eval()(images), skips_alone)
