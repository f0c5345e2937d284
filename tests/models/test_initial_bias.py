import copy

import pytest
import torch
from network_cases import small
from torch import nn

from gutseg.models import MODELS, build, extend
from gutseg.models.initial_bias import heads, set_initial_bias
from gutseg.models.presence import Gate

WIDTHS = {"widths": [8, 16, 32, 48]}


def _without_weights(network, names):
    """The network with heads that answer with their bias alone."""
    network = copy.deepcopy(network)
    for name in names:
        nn.init.zeros_(dict(network.named_parameters())[name.replace("bias", "weight")])
    return network


@pytest.mark.parametrize(
    ("row", "params", "names"),
    [
        ("unet", WIDTHS, ["head.bias"]),
        ("smp", {"encoder": "resnet18"}, ["net.segmentation_head.0.bias"]),
        (
            "smp",
            {"encoder": "resnet18", "architecture": "PAN"},
            ["net.segmentation_head.0.bias"],
        ),
        (
            "unet",
            WIDTHS | {"deep_supervision": True},
            ["head.bias", "side_heads.0.bias", "side_heads.1.bias"],
        ),
    ],
)
def test_every_pixel_starts_as_likely_as_its_class(row, params, names):
    network = build(row, 3, 3, **params)
    assert heads(network, 3, 3) == names
    images = torch.rand(2, 3, 128, 128)
    shares = torch.tensor([0.02, 0.3, 0.11])
    set_initial_bias(network, 3, shares.tolist(), exclusive=False)
    logits = _without_weights(network, names)(images)
    for found in logits if isinstance(logits, list) else [logits]:
        expected = shares[:, None, None].expand_as(found)
        torch.testing.assert_close(found.sigmoid(), expected)
    shares = torch.tensor([0.85, 0.05, 0.1])
    set_initial_bias(network, 3, shares.tolist(), exclusive=True)
    found = _without_weights(network.eval(), names)(images)
    torch.testing.assert_close(found.softmax(dim=1), shares[:, None, None].expand_as(found))


@pytest.mark.parametrize("name", MODELS)
def test_every_row_has_heads_to_set(name):
    count = {"unetpp_deep": 4}.get(name, 1)
    assert len(heads(small(name), 5, 3)) == count
    if name == "dynunet":  # of volumes too
        assert len(heads(small(name, dims=3), 5, 3, dims=3)) == count


def test_a_class_that_never_occurs_or_is_everywhere_starts_finite():
    network = build("unet", 1, 2, **WIDTHS)
    set_initial_bias(network, 1, [0.0, 1.0], exclusive=False)
    assert network.head.bias.tolist() == pytest.approx([-13.8155, 13.8155], rel=1e-3)


def test_the_bias_of_a_presence_head_stays_and_so_does_the_state_of_training():
    network = extend(build("unet", 3, 3, norm="batch", dropout=0.5, **WIDTHS), 3, 3, gate=Gate())
    before, state = network.presence.linear.bias.clone(), copy.deepcopy(network.state_dict())
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    set_initial_bias(network, 3, [0.1, 0.2, 0.3], exclusive=False)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(network.presence.linear.bias, before)
    changed = [k for k, value in network.state_dict().items() if not torch.equal(value, state[k])]
    assert changed == ["network.head.bias"]


def test_a_head_without_a_bias_is_refused():
    bare = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1, bias=False))
    with pytest.raises(ValueError, match="model.initial_bias: this network's head has no bias"):
        set_initial_bias(bare, 3, [0.1, 0.2], exclusive=False)
    normed = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU())
    assert heads(normed, 3, 2) == []
    assert heads(normed[:2], 3, 2) == ["1.bias"]
