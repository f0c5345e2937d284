import numpy as np
import pytest
import timm
import torch
from segmentation_models_pytorch.encoders._preprocessing import preprocess_input
from torch import nn

from gutseg import experiment
from gutseg.config import Config
from gutseg.models import build, extend
from gutseg.models.input_norm import IMAGENET, InputNorm, Seen, seen_by


@pytest.mark.parametrize(
    "name", ["tf_efficientnetv2_s", "resnet18.tv_in1k", "vit_base_patch16_clip_224.openai"]
)
def test_an_image_is_normalised_as_timm_does_it(name):
    """The last step of timm's own transform for these weights."""
    cfg = timm.get_pretrained_cfg(name)
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config(pretrained_cfg=cfg.to_dict()), is_training=False
    )
    image = torch.rand(3, 7, 5)
    found = InputNorm(3, seen_by(f"tu-{name}"))(image[None])[0]
    torch.testing.assert_close(found, transform.transforms[-1](image))


@pytest.mark.parametrize(
    ("encoder", "weights", "mean", "std"),
    [
        ("resnet34", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("mit_b0", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("inceptionv4", "imagenet", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("xception", None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("efficientnet-b0", "advprop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("efficientnet-b0", "imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("timm-efficientnet-b0", "advprop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("dpn68", None, (0.486275, 0.458824, 0.407843), (0.234824, 0.234824, 0.234824)),
        ("tu-darknet17", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_an_image_is_normalised_as_the_library_does_it(encoder, weights, mean, std):
    """smp's own function, which wants the channels last."""
    image = torch.rand(2, 3, 4, 6)
    expected = preprocess_input(np.moveaxis(image.numpy(), 1, -1), mean, std, "RGB", [0, 1])
    found = InputNorm(3, seen_by(encoder, weights))(image)
    np.testing.assert_allclose(np.moveaxis(found.numpy(), 1, -1), expected, atol=1e-5)


def test_a_stack_of_grey_slices_takes_the_mean_of_the_three_colours():
    norm = InputNorm(5, Seen((0.1, 0.2, 0.6), (0.5, 0.25, 0.15)))
    images = torch.full((2, 5, 3, 4), 0.6)
    torch.testing.assert_close(norm(images), torch.ones(2, 5, 3, 4))
    torch.testing.assert_close(norm(images[:, :, None]), torch.ones(2, 5, 1, 3, 4))
    coloured = InputNorm(3, Seen((0.1, 0.2, 0.6), (0.5, 0.25, 0.15)))(images[:1, :3, :1, :1])
    torch.testing.assert_close(coloured.flatten(), torch.tensor([1.0, 1.6, 0.0]))


def test_a_grey_stack_reaches_the_encoder_as_its_grey_rgb_image_would():
    """The first convolution's answer, for one mean and deviation of all three colours."""
    seen, grey = Seen((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), torch.rand(1, 1, 64, 64)
    source = build("smp", 3, 1, encoder="resnet18")
    target = build("smp", 5, 1, encoder="resnet18")
    from gutseg.models import load_encoder

    load_encoder(target, source.encoder.state_dict())
    answers = []
    for network, channels in ((source, 3), (target, 5)):
        network.seen = seen
        found = extend(network, channels, 1, input_norm=True).eval()
        found.network.encoder.conv1.register_forward_hook(lambda *given: answers.append(given[2]))
        with torch.no_grad():
            found(grey.expand(1, channels, 64, 64))
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "normalised"),
    [
        ({}, False),
        ({"input_norm": "on"}, True),
        ({"encoder_weights": "w.pth"}, True),
        ({"encoder_weights": "w.pth", "input_norm": "off"}, False),
        ({"params": {"encoder_weights": "imagenet"}}, True),
    ],
)
def test_it_is_on_with_published_weights(model, normalised):
    params = {"encoder": "resnet18"} | model.get("params", {})
    config = Config(name="x", model={"name": "smp"} | model | {"params": params})
    network = experiment.network(config, 3, 2)
    state = network.state_dict()
    assert ("input_norm.mean" in state) == normalised
    if normalised:
        assert state["input_norm.mean"].tolist() == pytest.approx(IMAGENET.mean)


def test_a_saved_mean_is_what_prediction_subtracts():
    config = Config(name="x", model={"name": "smp", "input_norm": "on"})
    trained, loaded = (experiment.network(config, 4, 2) for _ in range(2))
    trained.input_norm.mean.fill_(0.3)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.input_norm.mean.tolist() == pytest.approx([0.3] * 4)


def test_a_network_without_published_weights_cannot_be_normalised_for():
    config = Config(name="x", model={"name": "unet4", "input_norm": "on"})
    with pytest.raises(ValueError, match="model.input_norm: no weights of this network are publ"):
        experiment.network(config, 3, 2)
    assert isinstance(extend(nn.Conv2d(1, 1, 1), 1, 1), nn.Conv2d)
