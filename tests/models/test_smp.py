import importlib
import socket

import pytest
import torch

from gutseg.models import build

DEFAULT = [
    ("Unet", "resnet18"),
    ("FPN", "tu-convnext_atto"),
    ("DeepLabV3Plus", "mobilenet_v2"),
    ("Segformer", "mit_b0"),
    ("PSPNet", "tu-mobilenetv3_small_100"),
]
REST = [
    ("UnetPlusPlus", "efficientnet-b0"),
    ("MAnet", "timm-efficientnet-b0"),
    ("Linknet", "vgg11_bn"),
    ("DeepLabV3", "resnet18"),
    ("PAN", "tu-regnety_002"),
    ("UPerNet", "tu-pvt_v2_b0"),
    ("Unet", "tu-eca_nfnet_l0"),
    ("Unet", "tu-tf_efficientnetv2_s"),
]


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _check(architecture, encoder, **params):
    network = build("smp", 5, 3, architecture=architecture, encoder=encoder, **params)
    # 50 and 66 fit no stride: the wrapper has to pad.
    logits = network(torch.rand(2, 5, 50, 66))
    assert logits.shape == (2, 3, 50, 66)
    logits.square().mean().backward()
    trained = {key for key, p in network.named_parameters() if p.requires_grad}
    reached = {key for key, p in network.named_parameters() if p.grad is not None}
    assert trained == reached


@pytest.mark.parametrize(("architecture", "encoder"), DEFAULT)
def test_an_architecture_on_an_encoder(offline, architecture, encoder):
    _check(architecture, encoder)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "encoder"), REST)
def test_another_architecture_on_another_encoder(offline, architecture, encoder):
    _check(architecture, encoder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder", "encoder_options"),
    [
        ("DPT", "tu-vit_tiny_patch16_224", {"dynamic_img_size": True}),
        ("Unet", "tu-swin_tiny_patch4_window7_224", {"strict_img_size": False}),
        ("Unet", "tu-maxvit_tiny_tf_224", {"img_size": [64, 96]}),
    ],
)
def test_encoders_of_one_size_open_up(offline, architecture, encoder, encoder_options):
    _check(architecture, encoder, encoder_options=encoder_options)


def test_stages_that_the_forward_skips_are_frozen_and_no_others():
    network = build("smp", 3, 3, architecture="PSPNet", encoder="resnet18")
    frozen = {key for key, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {
        f"net.encoder.{key}"
        for key, _ in network.encoder.named_parameters()
        if key.startswith(("layer3.", "layer4."))
    }
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.encoder.bn1.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("encoder", "asked", "stem"),
    [("resnet18", "imagenet", "conv1"), ("tu-resnet18", True, "model.conv1")],
)
def test_published_weights_arrive_adapted(monkeypatch, encoder, asked, stem):
    module = importlib.import_module("segmentation_models_pytorch.decoders.unet.model")
    get_encoder, published = module.get_encoder, []

    def download(name, **arguments):
        weights = arguments.pop("weights")
        made = get_encoder(name, weights=None, **arguments)
        if weights is not None:
            published.append((weights, made))
        return made

    monkeypatch.setattr(module, "get_encoder", download)
    network = build("smp", 5, 3, encoder=encoder, encoder_weights="imagenet")
    ((weights, source),) = published
    assert weights is asked or weights == asked
    rgb = source.get_submodule(stem).weight
    adapted = network.encoder.get_submodule(stem).weight
    torch.testing.assert_close(adapted.sum(1), rgb.sum(1))
    ours, theirs = network.encoder.state_dict(), source.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != f"{stem}.weight")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"architecture": "UNet"}, "unknown architecture 'UNet'; did you mean 'Unet'"),
        ({"encoder": "resnet35"}, "unknown encoder 'resnet35'; close names: .*resnet34"),
        ({"encoder": "tu-convnext_tiy"}, "close names: tu-convnext_tiny"),
        ({"encoder_weights": "imagnet"}, "'imagnet'; did you mean 'imagenet'"),
        ({"encoder": "tu-resnet18", "encoder_weights": "a1_in1k"}, r"tu-resnet18\.<tag>"),
        ({"options": {"decoder_channel": [1]}}, "Unet has no 'decoder_channel'; did you mean"),
        ({"options": {"activation": "sigmoid"}}, "Unet has no 'activation'"),
        ({"encoder_options": {"drop_path_rate": 0.1}}, "only `tu-` encoders"),
    ],
)
def test_bad_arguments_are_named(offline, params, message):
    with pytest.raises(ValueError, match=message):
        build("smp", 3, 3, **params)


@pytest.mark.slow
def test_an_encoder_of_one_size_says_how_to_open_it():
    with pytest.raises(ValueError, match=r"takes one image size only .* strict_img_size"):
        build("smp", 3, 3, encoder="tu-swin_tiny_patch4_window7_224")
