import pytest
import torch
import torch.nn.functional as F

from gutseg.engine.presence import WithPresence
from gutseg.losses import Criterion
from gutseg.models import extend
from gutseg.models.presence import Gate, Outputs
from gutseg.models.unet3p import ClassHead, FullScaleLevel, unet3p
from tests.models.plain import conv, count, enlarge, norm, random_norms

SMALL = (4, 6, 8)
# The authors' convolutions keep their biases, which the norms cancel: 10 of the encoder's widths,
# 5 skips of 64 and one mix of 320 a level.
IDLE = 2 * (64 + 128 + 256 + 512 + 1024) + 4 * (5 * 64 + 320)


@pytest.mark.parametrize(
    ("options", "expected", "millions"),
    [
        ({}, 26_971_011, 26.98),
        ({"deep_supervision": True}, 27_024_591, 27.03),
        ({"deep_supervision": True, "gate": "multiply"}, 27_027_666, 27.03),
    ],
)
def test_has_the_parameters_of_the_paper(options, expected, millions):
    with torch.device("meta"):
        found = count(unet3p(3, 3, **options))
    assert found == expected
    assert round((found + IDLE) / 1e6, 2) == millions


def _unit(state, name, features):
    return norm(state, f"{name}.1", conv(state, f"{name}.0", features)).relu()


def _level(state, name, scales, level):
    """Equation 1: pool what is finer, take the own level, enlarge what is coarser; convolve."""
    found = []
    for k, features in enumerate(scales):
        if k < level:
            features = F.max_pool2d(features, 2 ** (level - k))
        if k > level:
            features = enlarge(features, 2 ** (k - level))
        found.append(_unit(state, f"{name}.skips.{k}", features))
    return _unit(state, f"{name}.mix", torch.cat(found, dim=1))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_matches_equation_1_written_step_by_step(level):
    torch.manual_seed(0)
    block = random_norms(FullScaleLevel(level, [2, 3, 4], 5))
    scales = [torch.rand(2, width, 16 // 2**k, 8 // 2**k) for k, width in enumerate((2, 3, 4))]
    state = {f"x.{key}": value for key, value in block.state_dict().items()}
    with torch.no_grad():
        found = block(scales)
        torch.testing.assert_close(found, _level(state, "x", scales, level))
    assert found.shape == (2, 15, 16 // 2**level, 8 // 2**level)


def _scales(state, images):
    """Figure 1 c at three levels: what every level of the decoder gives, finest first."""

    def stage(level, features):
        for k in (0, 1):
            name = f"encoder.{level}"
            features = conv(state, f"{name}.{3 * k}", features)
            features = norm(state, f"{name}.{3 * k + 1}", features).relu()
        return features

    e0 = stage(0, images)
    e1 = stage(1, F.max_pool2d(e0, 2))
    e2 = stage(2, F.max_pool2d(e1, 2))
    d1 = _level(state, "decoder.0", [e0, e1, e2], 1)
    d0 = _level(state, "decoder.1", [e0, d1, e2], 0)
    return d0, d1, e2


def test_matches_figure_1_written_step_by_step():
    torch.manual_seed(0)
    network = random_norms(unet3p(3, 2, widths=SMALL))
    images, state = torch.rand(2, 3, 16, 24), network.state_dict()
    with torch.no_grad():
        expected = conv(state, "head", _scales(state, images)[0])
        torch.testing.assert_close(network(images), expected)


def test_deep_supervision_sees_every_level():
    torch.manual_seed(0)
    network = random_norms(unet3p(3, 2, widths=SMALL, deep_supervision=True))
    images, state = torch.rand(2, 3, 16, 24), network.state_dict()
    with torch.no_grad():
        d0, d1, e2 = _scales(state, images)
        expected = [
            conv(state, "head", d0),
            conv(state, "side_heads.0", d1),
            conv(state, "side_heads.1", e2),
        ]
        torch.testing.assert_close(network(images), expected[0])
        # training mode of the network alone: the norms keep their statistics
        network.training = True
        for found, wanted in zip(network(images), expected, strict=True):
            torch.testing.assert_close(found, wanted)


def test_deep_supervision_trains_on_any_size():
    network = unet3p(1, 2, widths=SMALL, deep_supervision=True).train()
    found = network(torch.rand(2, 1, 15, 22))
    assert [logits.shape for logits in found] == [(2, 2, 15, 22)] * 3
    loss, terms = Criterion("deep_supervision", loss="bce")(found, torch.zeros(2, 2, 15, 22))
    loss.backward()
    assert list(terms) == ["scale0", "scale1", "scale2"]


def test_the_class_head_is_the_maximum_of_a_map_of_logits():
    torch.manual_seed(0)
    head, features = ClassHead(3, 2).eval(), torch.rand(2, 3, 4, 5)
    weight, bias = head[1].weight[:, :, 0, 0], head[1].bias
    expected = torch.stack(
        [(weight @ image.flatten(1) + bias[:, None]).amax(dim=1) for image in features]
    )
    torch.testing.assert_close(head(features), expected)


@pytest.mark.parametrize("gate", ["multiply", "threshold"])
def test_a_class_that_the_head_denies_vanishes_and_the_other_stays(gate):
    """The authors multiply logits by 0, after which a sigmoid says 0.5 everywhere."""
    torch.manual_seed(0)
    network = random_norms(unet3p(1, 2, widths=SMALL, gate=gate))
    images = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        network.class_head[1].weight.zero_()
        network.class_head[1].bias.copy_(torch.tensor([-12.0, 12.0]))
        found = network(images).sigmoid()
        state = network.state_dict()
        bare = conv(state, "head", _scales(state, images)[0]).sigmoid()
    assert bare[:, 0].max() > 0.2
    assert found[:, 0].max() < 1e-5
    torch.testing.assert_close(found[:, 1], bare[:, 1], atol=1e-4, rtol=1e-4)


def test_training_gives_the_masks_bare_and_the_head_beside_them():
    torch.manual_seed(0)
    network = unet3p(1, 2, widths=SMALL, deep_supervision=True, gate="multiply").train()
    found = network(torch.rand(3, 1, 14, 16))
    assert isinstance(found, Outputs)
    assert [logits.shape for logits in found.masks] == [(3, 2, 14, 16)] * 3
    assert found.presence.shape == (3, 2)
    # the masks do not reach the class head: what each image shows does, through the loss beside
    head = list(network.class_head.parameters())
    masks = sum(logits.square().mean() for logits in found.masks)
    assert torch.autograd.grad(masks, head, allow_unused=True, retain_graph=True) == (None, None)
    target = torch.zeros(3, 2, 14, 16)
    target[0, 1] = 1
    criterion = WithPresence(Criterion("deep_supervision", loss="bce"), 0.5)
    loss, terms = criterion(found, target)
    shown = torch.tensor([[0.0, 1], [0, 0], [0, 0]])
    expected = 0.5 * F.binary_cross_entropy_with_logits(found.presence, shown)
    torch.testing.assert_close(terms["presence"], expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_config_sets_what_the_gate_of_its_own_head_does():
    network = unet3p(1, 2, widths=SMALL, gate="multiply")
    assert extend(network, 1, 2, gate=Gate("threshold", threshold=0.3)) is network
    assert (network.gate.effect, network.gate.threshold) == ("threshold", 0.3)
    # without one of its own, the head of any network, on the deepest features
    found = extend(unet3p(1, 2, widths=SMALL), 1, 2, gate=Gate())
    assert found.presence.linear.in_features == 2 * SMALL[-1]
