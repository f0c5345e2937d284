import pytest
import timm
import torch
from torch.nn import functional as F

from gutseg.models import load_encoder
from gutseg.models.transunet import CupStep, transunet

SMALL = {"embed_dim": 64, "layers": 1, "neck": 16, "widths": (8, 8, 8, 8)}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return transunet(2, 3, **SMALL).eval()


def _plain(layer, features):
    """A 3x3 convolution, batch norm in eval mode, ReLU."""
    conv, norm, _ = layer
    features = F.conv2d(F.pad(features, (1, 1, 1, 1)), conv.weight)
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    shift = norm.bias - norm.running_mean * scale
    return (features * scale[:, None, None] + shift[:, None, None]).clamp(min=0)


def _doubled(features):
    """Bilinear, corners on corners: pixel j of 2 n lies at j (n - 1) / (2 n - 1)."""
    for dim in (2, 3):
        side = features.shape[dim]
        place = torch.arange(2 * side) * (side - 1) / (2 * side - 1)
        low = place.floor().long().clamp(max=max(side - 2, 0))
        high = (low + 1).clamp(max=side - 1)
        share = (place - low).reshape([-1 if d == dim else 1 for d in range(4)])
        parts = features.index_select(dim, low), features.index_select(dim, high)
        features = parts[0] * (1 - share) + parts[1] * share
    return features


@pytest.mark.parametrize("skip_channels", [0, 5])
def test_a_step_of_the_cup(skip_channels):
    torch.manual_seed(0)
    step = CupStep(3, 4, skip_channels).eval()
    for key, value in step.state_dict().items():
        if "running" in key:
            value.uniform_(0.5, 1.5)
    features = torch.rand(2, 3, 4, 5)
    skip = torch.rand(2, skip_channels, 8, 10) if skip_channels else None
    with torch.no_grad():
        joined = _doubled(features)
        joined = joined if skip is None else torch.cat((joined, skip), dim=1)
        expected = _plain(step.convs[1], _plain(step.convs[0], joined))
        torch.testing.assert_close(step(features, skip), expected, rtol=1e-4, atol=1e-5)


def test_the_encoder_is_timms_and_the_skips_lie_on_its_way(network):
    """Built anew, on the size whose positions need no resampling."""
    vit = network.encoder.model
    images = torch.rand(1, 2, 64, 64)
    with torch.no_grad():
        tokens = vit.forward_features(images)[:, 1:]
        found, skips = network.encoder(images)
        stages = vit.patch_embed.backbone.stages
        torch.testing.assert_close(found, tokens.transpose(1, 2).reshape(1, 64, 4, 4))
        torch.testing.assert_close(skips[0], stages[1](skips[1]))
    assert [tuple(skip.shape[1:]) for skip in skips] == [(512, 8, 8), (256, 16, 16), (64, 32, 32)]
    assert skips[2].min() == 0  # behind the norm's ReLU


def test_the_network_is_its_parts_in_the_papers_order(network):
    images = torch.rand(1, 2, 32, 48)
    with torch.no_grad():
        features, (eighth, quarter, half) = network.encoder(images)
        features = _plain(network.neck, features)
        features = network.cup[0](features, eighth)
        features = network.cup[1](features, quarter)
        features = network.cup[2](features, half)
        features = network.cup[3](features, None)
        expected = network.head(features)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
    assert network.head.kernel_size == (3, 3)


def test_parameters_are_those_of_the_published_network():
    """105.28 M for nine classes: the published 105,277,081, a class token and its position."""
    with torch.device("meta"):
        network = transunet(3, 9)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 105_277_081 + 2 * 768
    encoder = sum(parameter.numel() for parameter in network.encoder.parameters())
    with torch.device("meta"):
        hybrid = timm.create_model("vit_base_r50_s16_224", num_classes=0)
    assert encoder == sum(parameter.numel() for parameter in hybrid.parameters())


def test_a_published_file_fits_the_encoder(network):
    source = network.encoder.model.state_dict()
    other = transunet(2, 1, **SMALL)
    load_encoder(other, source)
    loaded = other.encoder.model.state_dict()
    for key in ("pos_embed", "blocks.0.attn.qkv.weight", "patch_embed.backbone.stem.norm.weight"):
        assert torch.equal(loaded[key], source[key])
