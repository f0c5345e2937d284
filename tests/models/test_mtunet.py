import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gutseg.models.mtunet import (
    GaussianAxialAttention,
    LocalGlobalAttention,
    MixedBlock,
    WindowSummary,
    mtunet,
)
from tests.models.plain import conv, count, double_up, enlarge, norm, random_norms


def _spread_out(module):
    """Give every weight a size that nobody could leave out unseen."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def test_has_79_07_million_parameters_with_those_that_the_authors_never_use():
    # one linear map for every of the ten blocks, of 256, 512 and 1024 channels
    never_called = sum(n * (c * c + c) for n, c in ((2, 256), (6, 512), (2, 1024)))
    # of the 1x1 convolutions in six residual stages, each followed by a batch norm
    idle = 2 * (64 + 128 + 256)
    with torch.device("meta"):
        network = mtunet(3, 3)
    assert count(network) == 75_267_383
    assert count(network) + never_called + idle == 79_074_999
    assert round(count(network.bottom) / 1e6 + 2 * 1024 * 1025 / 1e6, 1) == 37.9


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (3, 2)])
def test_a_summary_matches_a_loop_over_windows(size):
    torch.manual_seed(0)
    block, image = _spread_out(WindowSummary(6)), torch.randn(6, *size)
    weight, bias = block.scores.weight, block.scores.bias
    expected = torch.zeros(6, math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    for row in range(expected.shape[1]):
        for column in range(expected.shape[2]):
            window = image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            scores = (weight @ window.mean(dim=(1, 2)) + bias).reshape(4, 4)
            scores = scores[: window.shape[1], : window.shape[2]]
            shares = scores.exp() / scores.exp().sum()
            expected[:, row, column] = (window * shares).sum(dim=(1, 2))
    with torch.no_grad():
        torch.testing.assert_close(block(image[None])[0], expected)


def _axial(block, image):
    """Rows and columns, pixel by pixel, for one image (C, r, c)."""
    query, key, value = (
        torch.einsum("oc,chw->ohw", layer.weight, image) + layer.bias[:, None, None]
        for layer in (block.query, block.key, block.value)
    )
    sharpness, offset = block.sharpness, block.offset
    found = torch.zeros_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            lines = (
                (key[:, row], value[:, row], column),
                (key[:, :, column], value[:, :, column], row),
            )
            for keys, values, place in lines:
                scores = torch.stack(
                    [
                        query[:, row, column] @ keys[:, other]
                        - (sharpness[0] * (other - place) ** 2 + offset[0])
                        for other in range(keys.shape[1])
                    ]
                )
                found[:, row, column] += values @ scores.softmax(dim=0)
    return found


def test_axial_attention_matches_a_loop_over_pixels():
    torch.manual_seed(0)
    block, tokens = _spread_out(GaussianAxialAttention(6)), torch.randn(2, 6, 4, 5)
    with torch.no_grad():
        expected = torch.stack([_axial(block, image) for image in tokens])
        torch.testing.assert_close(block(tokens), expected)


def test_the_gaussian_alone_worked_by_hand():
    """Keys of zero leave the bias: weights 1, e^-s, e^-4s of the distances 0, 1, 2."""
    block = GaussianAxialAttention(1).eval()
    with torch.no_grad():
        for layer, gain in ((block.query, 0), (block.key, 0), (block.value, 1)):
            layer.weight.fill_(gain)
            layer.bias.zero_()
        block.sharpness.fill_(math.log(2))
        block.offset.fill_(3.0)
        found = block(torch.tensor([[[[16.0, 0.0, 0.0]]]]))
    # along the row 16 times 1, 1/2, 1/16 over their sums; down a column of one only itself
    first = 16 * 1 / (1 + 1 / 2 + 1 / 16) + 16
    assert found[0, 0, 0].tolist() == pytest.approx([first, 4, 16 / 16 / (25 / 16)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_beyond_half_precision_stay_finite(dtype):
    torch.manual_seed(0)
    block = _spread_out(GaussianAxialAttention(64))
    tokens = 60 * torch.randn(1, 64, 4, 4)
    with torch.no_grad(), torch.autocast("cpu", dtype):
        assert block(tokens).isfinite().all()
        query = block.query(tokens.permute(0, 2, 3, 1)).float()
    assert (query @ query.transpose(2, 3)).max() > torch.finfo(torch.float16).max


def test_windows_and_their_summaries_are_mixed():
    torch.manual_seed(0)
    block, features = _spread_out(LocalGlobalAttention(8)), torch.randn(2, 8, 6, 9)
    with torch.no_grad():
        local = block.local(features)
        spread = enlarge(block.among(block.summary(local)), 4)[..., :6, :9]
        expected = conv(block.state_dict(), "merge", torch.cat((spread, local), dim=1))
        torch.testing.assert_close(block(features), expected)


def _normal(state, name, features):
    centred = features - features.mean(dim=1, keepdim=True)
    deviation = torch.sqrt(centred.square().mean(dim=1, keepdim=True) + 1e-6)
    weight, bias = (state[f"{name}.{key}"][:, None, None] for key in ("weight", "bias"))
    return centred / deviation * weight + bias


def test_a_mixed_block_is_two_residual_attentions_of_normalised_features():
    torch.manual_seed(0)
    block, features = _spread_out(MixedBlock(8)), torch.randn(2, 8, 6, 9)
    state = block.state_dict()
    with torch.no_grad():
        first = features + block.local_global(_normal(state, "norms.0", features))
        second = first + block.external(_normal(state, "norms.1", first))
        torch.testing.assert_close(block(features), second)


def _stage(state, name, features):
    def unit(part, found):
        return norm(state, f"{name}.{part}.1", conv(state, f"{name}.{part}.0", found))

    found = unit("second", unit("first", features).relu())
    return (found + unit("third", found)).relu()


def _plain(network, images):
    """The paper's network, step by step; the mixed blocks are those of the network."""
    state = network.state_dict()

    def shrunk(level, features):
        found = conv(state, f"shrink.{level}.0.0", features, stride=2)
        return norm(state, f"shrink.{level}.0.1", found).relu()

    c0 = _stage(state, "stages.0", images)
    c1 = _stage(state, "stages.1", F.max_pool2d(c0, 2))
    c2 = _stage(state, "stages.2", F.max_pool2d(c1, 2))
    tokens = norm(state, "embed.0.1", conv(state, "embed.0.0", F.max_pool2d(c2, 2))).relu()
    tokens = tokens + F.interpolate(state["positions"], tokens.shape[2:], mode="bilinear")
    m0 = network.mixed[0](tokens)
    m1 = network.mixed[1](shrunk(0, m0))
    bottom = network.bottom(shrunk(1, m1))
    joined = torch.cat((double_up(state, "mixed_up.0", bottom), m1), dim=1)
    back = network.mixed_back[0][1](conv(state, "mixed_back.0.0", joined))
    back = network.mixed_back[1](torch.cat((double_up(state, "mixed_up.1", back), m0), dim=1))
    for level, skip in enumerate((c2, c1, c0)):
        joined = torch.cat((skip, double_up(state, f"up.{level}", back)), dim=1)
        back = _stage(state, f"back.{level}", joined)
    return conv(state, "head", back)


def test_matches_the_paper_written_step_by_step():
    torch.manual_seed(0)
    network, images = random_norms(mtunet(3, 2, width=2)), torch.rand(2, 3, 64, 96)
    nn.init.normal_(network.positions)
    with torch.no_grad():
        torch.testing.assert_close(network(images), _plain(network, images))


def test_positions_are_the_papers_at_224_and_stretched_elsewhere():
    network = mtunet(1, 1, width=2)
    ramp = torch.arange(28.0).expand(28, 28)
    with torch.no_grad():
        network.positions.copy_(ramp.expand_as(network.positions))
        assert torch.equal(network._placed(torch.zeros(1, 8, 28, 28))[0, 0], ramp)
        wide = network._placed(torch.zeros(1, 8, 14, 56))[0, 0]
    # twice as many columns: the same ramp in half steps about the same centre, flat at its ends
    assert wide[0, :4].tolist() == [0, 0.25, 0.75, 1.25]
    assert torch.equal(wide[0], wide[13])


def test_an_odd_width_is_refused_by_the_heads():
    with pytest.raises(ValueError, match="heads 8 does not divide 12 channels"):
        mtunet(3, 3, width=3)
