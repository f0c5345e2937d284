"""Networks of images turned into networks of volumes: equal slices are answered as the slice."""

import pytest
import torch
from network_cases import small

from gutseg.models import build, load_encoder
from gutseg.models.inflate import thickened
from gutseg.models.padding import margins

DEEP = {"dims": 3}
STRIDES = ([1, 2, 2, 2, 2], [2, 1, 1, 2, 1])
BILINEAR = {"options": {"decoder_interpolation": "bilinear"}}


def _moved(network):
    """Give batch normalisation something to do in eval mode."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.8, 1.2)
    return network.eval()


def _pair(**params):
    """A network of images and one of volumes that was made of the same weights."""
    network = _moved(small("smp_unet", 2, 3, **{k: v for k, v in params.items() if k == "options"}))
    deep = _moved(small("smp_unet", 2, 3, dims=3, **params))
    return network, deep


def test_kernels_by_hand():
    weight = torch.tensor([[[[3.0, 6.0]]]])
    repeated = thickened(weight, 3, "repeat")
    assert repeated.shape == (1, 1, 3, 1, 2) and repeated[0, 0, :, 0].tolist() == [[1, 2]] * 3
    centred = thickened(weight, 3, "centre")
    assert centred[0, 0, :, 0].tolist() == [[0, 0], [3, 6], [0, 0]]


@pytest.mark.parametrize("inflation", ["repeat", "centre"])
@pytest.mark.parametrize(
    ("z_strides", "more", "depth"),
    [(STRIDES[0], {}, 7), (STRIDES[1], BILINEAR, 4), (STRIDES[0], {}, 1)],
)
def test_equal_slices_are_answered_as_the_slice(inflation, z_strides, more, depth):
    """At the ends too, where zeros beyond the volume would show, and of any depth."""
    network, deep = _pair(inflation=inflation, z_strides=z_strides, **more)
    image = torch.rand(2, 2, 50, 64)
    with torch.no_grad():
        expected = network(image)
        found = deep(image[:, :, None].expand(-1, -1, depth, -1, -1))
    assert found.shape == (2, 3, depth, 50, 64)
    for z in range(depth):
        torch.testing.assert_close(found[:, :, z], expected, rtol=1e-5, atol=1e-5)


def test_slices_are_halved_where_the_strides_say():
    for strides in STRIDES:
        deep, sizes = small("smp_unet", 2, 3, dims=3, z_strides=strides).eval(), [16]
        features = deep.encoder(torch.rand(1, 2, 16, 64, 64))
        for stride in strides:
            sizes.append(sizes[-1] // stride)
        assert [part.shape[2] for part in features] == sizes
        assert [part.shape[3] for part in features] == [64, 32, 16, 8, 4, 2]


def test_neighbours_are_mixed_and_only_by_repeated_kernels():
    volume = torch.rand(1, 2, 4, 32, 32)
    other = volume.clone()
    other[:, :, 3] = 0
    for inflation, mixed in (("repeat", True), ("centre", False)):
        deep = _moved(
            small("smp_unet", 2, 3, dims=3, inflation=inflation, z_strides=[1, 1, 1, 1, 1])
        )
        with torch.no_grad():
            change = (deep(volume) - deep(other)).abs().amax(dim=(0, 1, 3, 4))
        assert change[3] > 1e-3 and (change[0] > 1e-5) == mixed


def test_weights_of_images_fill_the_encoder():
    """The file's three channels become one; its kernels become as deep as they are high."""
    published = small("smp_unet", 3, 3, encoder="resnet18").eval()
    state = {f"module.{key}": value for key, value in published.encoder.state_dict().items()}
    image = torch.rand(1, 1, 64, 64)
    for inflation in ("repeat", "centre"):
        deep = small("smp_unet", 1, 3, encoder="resnet18", dims=3, inflation=inflation).eval()
        load_encoder(deep, state)
        with torch.no_grad():
            expected = published.encoder(image.expand(-1, 3, -1, -1))[-1]
            found = deep.encoder(image[:, :, None].expand(-1, -1, 5, -1, -1))[-1]
        torch.testing.assert_close(found[:, :, 0], expected, rtol=1e-4, atol=1e-5)
    del state["module.layer4.1.bn2.bias"]
    with pytest.raises(ValueError, match=r"1 \(layer4.1.bn2.bias\) missing"):
        load_encoder(deep, state)


def test_frozen_parameters_stay_frozen_and_the_state_is_as_wide():
    network = small("smp_unet", 2, 3, options={"encoder_depth": 3, "decoder_channels": [8, 8, 8]})
    deep = small(
        "smp_unet", 2, 3, dims=3, options={"encoder_depth": 3, "decoder_channels": [8, 8, 8]}
    )
    grads = [{k: p.requires_grad for k, p in one.named_parameters()} for one in (network, deep)]
    assert grads[0] == grads[1] and deep.multiple == network.multiple == 8
    assert margins((20, 30), 8) and deep(torch.rand(1, 2, 3, 20, 30)).shape == (1, 3, 3, 20, 30)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"encoder": "tu-test_efficientnet"}, "part of this network that is written for images"),
        ({"encoder": "se_resnet50"}, "SE"),
        ({"encoder": "tu-seresnet18"}, "SEModule"),
        ({"options": {"decoder_attention_type": "scse"}}, "SCSEModule"),
        ({"options": {"decoder_interpolation": "bicubic"}}, "'bicubic' has no form for volumes"),
        ({"z_strides": [1, 2, 3, 2, 2]}, "z_strides"),
        ({"z_strides": [1, 2]}, "z_strides"),
    ],
)
def test_what_has_no_form_for_volumes_is_named(params, named):
    with pytest.raises(ValueError, match=named):
        build("smp_unet", 1, 3, dims=3, **({"encoder": "tu-test_resnet"} | params))
