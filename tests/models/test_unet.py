import pytest
import torch

from gutseg.models import build
from gutseg.models.attention import ExternalAttention, LocalAttention
from gutseg.models.hybrid_unet import HYBRID_WIDTHS, hybrid_unet
from gutseg.models.unet import NORMS, UNet, unet


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "in_channels", "count"),
    [
        ("unet4", 3, 2_503_963),
        ("unet4", 5, 2_504_683),
        ("unet5", 3, 5_716_507),
        ("unet5", 5, 5_717_227),
        ("hybrid4", 3, 2_504_179),
        ("hybrid4", 5, 2_504_467),
        ("hybrid5", 3, 5_716_723),
        ("hybrid5", 5, 5_717_011),
    ],
)
def test_presets_have_the_parameter_counts_of_seed_001(name, in_channels, count):
    assert _count(build(name, in_channels, 3)) == count


def test_widths_alone_give_the_plain_net_of_the_hybrid():
    # 2 504 179 - 529 760 (external at 256) - 2 * 16 640 (local at 64)
    assert _count(unet(3, 3, widths=HYBRID_WIDTHS)) == 1_941_139


@pytest.mark.parametrize(
    ("local", "external", "found"),
    [
        ((), (), []),
        ((1,), (), [("LocalAttention", 16)] * 2),
        ((), (-1,), [("ExternalAttention", 32)]),
        ((2,), (0, -2), [*[("ExternalAttention", 8)] * 2, *[("ExternalAttention", 16)] * 2]),
        ((0, -3), (), [("LocalAttention", 8)] * 2),
    ],
)
def test_attention_sits_on_both_sides_of_its_level_and_once_at_the_bottom(local, external, found):
    network = hybrid_unet(
        3, 1, widths=(8, 16, 32), local_levels=local, external_levels=external, external_heads=4
    )
    blocks = [
        (type(module).__name__, module.project.out_features)
        if isinstance(module, ExternalAttention)
        else (type(module).__name__, module.merge.out_features)
        for module in network.modules()
        if isinstance(module, LocalAttention | ExternalAttention)
    ]
    if local == (2,):
        found = [*found, ("LocalAttention", 32)]
    assert sorted(blocks) == sorted(found)


def test_without_levels_the_hybrid_is_the_plain_net():
    torch.manual_seed(0)
    plain = unet(3, 2, widths=HYBRID_WIDTHS)
    torch.manual_seed(0)
    bare = hybrid_unet(3, 2, local_levels=(), external_levels=())
    images = torch.rand(1, 3, 48, 40)
    assert torch.equal(plain(images), bare(images))


@pytest.mark.parametrize("levels", [{"external_levels": ()}, {"local_levels": ()}])
@pytest.mark.parametrize("change", [{"residual": False}, {"window": 3}, {"external_heads": 8}])
def test_each_kind_of_attention_hears_its_own_arguments(levels, change):
    def answer(**params):
        torch.manual_seed(0)
        return hybrid_unet(1, 1, **levels, **params)(images)

    images = torch.rand(1, 1, 64, 64)
    heard = "residual" in change or ("window" in change) == ("external_levels" in levels)
    assert torch.equal(answer(), answer(**change)) != heard


def test_attention_follows_the_convolutions_of_both_sides():
    asked = []

    def attention(level, channels):
        asked.append((level, channels))
        return torch.nn.Identity()

    UNet(1, 1, widths=(4, 6, 8), attention=attention)
    assert asked == [(0, 4), (1, 6), (2, 8), (1, 6), (0, 4)]


@pytest.mark.parametrize("norm", NORMS)
def test_logits_start_at_unit_scale_at_any_depth(norm):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    for depth in (2, 4, 6):
        logits = unet(3, 3, widths=(16,) * depth, norm=norm)(images)
        assert 0.2 < logits.std() < 5


def test_the_norms_differ_and_drop_the_idle_bias():
    images = torch.rand(2, 3, 32, 32)
    outputs = []
    for norm in NORMS:
        torch.manual_seed(0)
        network = unet(3, 3, widths=(12, 16), norm=norm)
        first = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
        assert (first.bias is None) == (norm != "none")
        outputs.append(network(images))
    for i, one in enumerate(outputs):
        assert not any(torch.allclose(one, other, atol=1e-2) for other in outputs[:i])


def test_skips_carry_full_resolution_detail():
    torch.manual_seed(0)
    network = unet(1, 1, widths=(8, 8, 8))
    images = torch.rand(1, 1, 16, 16)
    touched = images.clone()
    touched[..., 5, 5] += 1
    moved = (network(touched) - network(images)).abs()[0, 0]
    assert moved.argmax().item() // 16 in range(3, 8)
    assert moved[5, 5] > 5 * moved[15, 15]


def test_shifting_by_the_stride_shifts_the_interior():
    torch.manual_seed(0)
    network = unet(1, 1, widths=(4, 4, 4))
    images = torch.rand(1, 1, 96, 96)
    shifted = network(images.roll(4, dims=3))
    torch.testing.assert_close(shifted[..., 40:56, 44:60], network(images)[..., 40:56, 40:56])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (8,)}, r"widths \[8\]: give two or more"),
        ({"widths": (8, 0)}, r"widths \[8, 0\]"),
        ({"widths": (8, 16)}, "local_levels 2: choices are 0 to 1"),
        ({"norm": "bath"}, "unknown norm 'bath'; did you mean 'batch'"),
        ({"local_levels": (5,)}, "local_levels 5: choices are 0 to 4"),
        ({"external_levels": (-6,)}, "external_levels -6: choices are 0 to 4"),
        ({"local_heads": 7}, "heads 7 does not divide 64 channels"),
        ({"external_heads": 48}, "heads 48 does not divide 1024 channels"),
        ({"window": 0}, "window 0"),
        ({"dropout": 1.5}, "1.5"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        hybrid_unet(3, 3, **arguments)


def test_deep_supervision_gives_one_output_a_level_in_training_alone():
    torch.manual_seed(0)
    plain = unet(1, 2, widths=(4, 8, 12, 16)).train()
    torch.manual_seed(0)
    deep = unet(1, 2, widths=(4, 8, 12, 16), deep_supervision=True).train()
    images = torch.rand(2, 1, 21, 34)
    outputs = deep(images)
    assert [tuple(logits.shape) for logits in outputs] == [(2, 2, 21, 34)] * 3
    sides = [tuple(logits.shape[2:]) for logits in deep(torch.rand(2, 1, 24, 32))]
    assert sides == [(24, 32), (12, 16), (6, 8)]
    assert torch.equal(outputs[0], plain(images))  # it starts from the same weights
    assert torch.equal(deep.eval()(images), outputs[0])
    # 2 · 8 + 2 and 2 · 12 + 2
    assert _count(deep) - _count(plain) == 18 + 26
    assert [head.in_channels for head in deep.side_heads] == [8, 12]
    for number, head in enumerate(deep.side_heads):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, number)
    found = deep.train()(images)[1:]
    assert all((logits == number).all() for number, logits in enumerate(found))


def test_side_heads_see_their_level_and_all_below_it():
    """The gradient of the coarsest output reaches the bottom, but not the levels above its own."""
    deep = unet(1, 2, widths=(4, 8, 12, 16), deep_supervision=True).train()
    deep(torch.rand(1, 1, 16, 16))[2].sum().backward()
    touched = {key.split(".weight")[0] for key, p in deep.named_parameters() if p.grad is not None}
    assert "side_heads.1" in touched and "encoder.3.0.0" in touched and "decoder.0.0.0" in touched
    assert not touched & {"side_heads.0", "head", "decoder.1.0.0", "up.1", "decoder.2.0.0"}
