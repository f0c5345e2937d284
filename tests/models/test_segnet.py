from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models import vgg

from gutseg.models import build
from gutseg.models.segnet import segnet, unpool
from tests.models.plain import conv, count, norm, random_norms

# VGG16: channels of the convolutions between two poolings, over the first's
STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


def test_a_model_of_11_classes_takes_the_117_mb_of_the_paper():
    with torch.device("meta"):
        network = segnet(3, 11)
    assert count(network) == 29_449_355
    assert int(count(network) * 4 / 1e6) == 117


def test_the_encoder_is_vgg16_bn_of_torchvision_key_by_key():
    with torch.device("meta"):
        ours = segnet(3, 2).encoder.state_dict()
        theirs = vgg.vgg16_bn().state_dict()
    theirs = {key: value.shape for key, value in theirs.items() if key.startswith("features")}
    assert {key: value.shape for key, value in ours.items()} == theirs


@pytest.fixture
def download(monkeypatch):
    """Published weights: a state dict, or an error, in place of the download."""

    def answer(found):
        def load(*args, **kwargs):
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)

    return answer


def test_published_weights_answer_a_grey_image_as_they_did(download):
    torch.manual_seed(0)
    published = random_norms(vgg.make_layers(vgg.cfgs["D"], batch_norm=True))
    state = {f"features.{key}": value for key, value in published.state_dict().items()}
    download(state | {"classifier.0.weight": torch.zeros(2, 2)})
    network = build("segnet", 5, 2, encoder_weights="imagenet").eval()
    grey = torch.rand(1, 1, 32, 64)
    with torch.no_grad():
        found, _ = network.encoder(grey.expand(-1, 5, -1, -1))
        torch.testing.assert_close(found, published(grey.expand(-1, 3, -1, -1)))


def test_weights_that_cannot_be_fetched_say_so(download):
    download(URLError("no route"))
    with pytest.raises(ValueError, match="vgg16_bn could not be fetched .*no route.* local file"):
        build("segnet", 5, 2, encoder_weights="imagenet")


def test_unpooling_puts_the_maximum_back_where_it_was():
    image = torch.tensor([[1.0, 2, 0, 0], [3, 4, 0, 5], [9, 0, 1, 1], [0, 0, 1, 1.5]])[None, None]
    pooled, places = F.max_pool2d(image, 2, return_indices=True)
    expected = [[0.0, 0, 0, 0], [0, 4, 0, 5], [9, 0, 0, 0], [0, 0, 0, 1.5]]
    assert unpool(pooled, places)[0, 0].tolist() == expected


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_equals_torchs(layout):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 10).contiguous(memory_format=layout).requires_grad_()
    pooled, places = F.max_pool2d(images, 2, return_indices=True)
    found, expected = unpool(pooled, places), F.max_unpool2d(pooled, places, 2)
    assert torch.equal(found, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((maps * weights).sum(), images, retain_graph=True)[0]
                 for maps in (found, expected)]  # fmt: skip
    assert torch.equal(*gradients)


def _plain(state, images):
    """The paper's network, layer by layer, at width 2."""
    features, places, number = images, [], 0
    for stage in STAGES:
        for _ in stage:
            features = conv(state, f"encoder.features.{number}", features)
            features = norm(state, f"encoder.features.{number + 1}", features).relu()
            number += 3
        features, found = F.max_pool2d(features, 2, return_indices=True)
        places.append(found)
        number += 1
    for level, stage in enumerate(reversed(STAGES)):
        features = F.max_unpool2d(features, places.pop(), 2)
        for number in range(len(stage) - (level == 4)):
            name = f"decoder.{level}"
            features = conv(state, f"{name}.{3 * number}", features)
            features = norm(state, f"{name}.{3 * number + 1}", features).relu()
    return conv(state, "head", features)


def test_matches_the_paper_written_layer_by_layer():
    torch.manual_seed(0)
    network = random_norms(segnet(3, 4, width=2))
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(images), _plain(network.state_dict(), images))


def test_the_way_up_mirrors_the_way_down():
    with torch.device("meta"):
        network = segnet(3, 11)
    down, up = (
        [
            (layer.in_channels, layer.out_channels)
            for layer in part.modules()
            if isinstance(layer, torch.nn.Conv2d)
        ]
        for part in (network.encoder, network.decoder)
    )
    # but for the first convolution, whose mirror image is the head
    assert up == [(above, below) for below, above in reversed(down[1:])]
