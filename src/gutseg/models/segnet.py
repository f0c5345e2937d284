"""SegNet: VGG16 down and up again, by the positions that its poolings remember.

Shapes: B images, S channels, C classes, H and W sides, w the first width (64).
"""

from functools import partial
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gutseg.models.encoder_weights import load_encoder
from gutseg.models.input_norm import IMAGENET
from gutseg.models.limits import Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place
from gutseg.registry import brief

# Convolutions of each of VGG16's stages, and their widths over the first.
DEPTHS = (2, 2, 3, 3, 3)
FACTORS = (1, 2, 4, 8, 8)


def _units(widths: list[int]) -> list[nn.Module]:
    """A 3x3 convolution, a batch norm and a ReLU from every width to the next."""
    layers: list[nn.Module] = []
    for below, above in pairwise(widths):
        # The norm makes the bias idle; torchvision's layout has it, so its files fit.
        layers += [nn.Conv2d(below, above, 3, padding=1), nn.BatchNorm2d(above), nn.ReLU()]
    return layers


def unpool(features: Tensor, places: Tensor) -> Tensor:
    """Put every value back where its pooling found it, zeros elsewhere; sides double.

    features, places: (B, C, h, w), places as torch's max pooling counts them. torch's own
    max_unpool2d has no bfloat16 on a CPU and cannot be exported.
    """
    height, width = features.shape[-2:]
    empty = features.new_zeros((*features.shape[:2], 4 * height * width))  # (B, C, 4hw)
    filled = empty.scatter(2, places.flatten(2), features.flatten(2))  # (B, C, 4hw)
    return filled.unflatten(2, (2 * height, 2 * width))  # (B, C, 2h, 2w)


class VGGEncoder(nn.Module):
    """The convolutions of torchvision's vgg16_bn, key by key, with poolings that remember."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        widths = [factor * width for factor in FACTORS]
        # What load_encoder asks for: channels at strides 1, 2, 4, 8, 16 and 32.
        self.out_channels = (in_channels, *widths)
        layers: list[nn.Module] = []
        for below, above, depth in zip((in_channels, *widths), widths, DEPTHS, strict=False):
            layers += _units([below] + depth * [above])
            layers.append(nn.MaxPool2d(2, return_indices=True))
        self.features = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return features (B, 8w, H/32, W/32), and each pooling's places, finest first."""
        features, places = images, []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                features, found = layer(features)
                places.append(found)
            else:
                features = layer(features)
        return features, places


class SegNet(nn.Module):
    """SegNet: thirteen convolutions down, thirteen up, the last of which gives the classes.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
    29 449 355 parameters for 3 channels and 11 classes: 117.8 MB, of which [Badrinarayanan 2017]
    prints 117.
    """

    # by the published weights of its encoder
    seen = IMAGENET

    def __init__(self, in_channels: int, classes: int, *, width: int) -> None:
        super().__init__()
        self.encoder = VGGEncoder(in_channels, width)
        self.decoder = nn.ModuleList()
        widths = [width, *(factor * width for factor in FACTORS)]
        for level in reversed(range(len(DEPTHS))):
            below, above = widths[level + 1], widths[level]
            # The finest stage is one shorter: its last convolution is the head.
            depth = DEPTHS[level] - (level == 0)
            self.decoder.append(nn.Sequential(*_units(depth * [below] + [above])))
        self.head = nn.Conv2d(width, classes, 3, padding=1)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind the last ReLU of a level, on both sides."""
        poolings = [
            number
            for number, layer in enumerate(self.encoder.features)
            if isinstance(layer, nn.MaxPool2d)
        ]
        sides = [
            [Place(f"encoder.features.{pooling - 1}"), Place(f"decoder.{len(DEPTHS) - 1 - level}")]
            for level, pooling in enumerate(poolings)
        ]
        return [*sides, [Place("encoder", (0,))]]

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, 2 ** len(DEPTHS))

    def _forward(self, images: Tensor) -> Tensor:
        features, places = self.encoder(images)  # (B, 8w, H/32, W/32)
        for stage in self.decoder:
            features = stage(unpool(features, places.pop()))  # (B, 8w...w, H/16...H, W/16...W)
        return self.head(features)  # (B, C, H, W)


def segnet(
    in_channels: int,
    classes: int,
    *,
    width: Size = 64,
    encoder_weights: Literal["imagenet"] | None = None,
) -> SegNet:
    """SegNet on VGG16; width: channels at full resolution.

    encoder_weights: torchvision's vgg16_bn, downloaded, which fits a width of 64; a local file of
    it goes to model.encoder_weights. Source: [Badrinarayanan 2017] arXiv:1511.00561.
    """
    make = partial(SegNet, in_channels, classes, width=width)
    check_size(make)
    network = make()
    if encoder_weights:
        load_encoder(network, _published())
    return network


def _published() -> dict[str, Tensor]:
    from torchvision.models import VGG16_BN_Weights

    try:
        return VGG16_BN_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: a file that is cut short
        raise ValueError(
            f"the published weights of vgg16_bn could not be fetched ({brief(error)}); is there "
            "a network? Else give a local file as model.encoder_weights"
        ) from error
