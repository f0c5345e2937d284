"""TransUNet: a ResNet, a vision transformer on its last map, a decoder with the ResNet's skips.

Shapes at the reference setting, R50-ViT-B/16 on 224 x 224 pixels:

    images                                       (B, S, 224, 224)
    stem      conv 7x7, group norm               (B, 64, 112, 112)    skip
    stage 0   pool, 3 bottlenecks                (B, 256, 56, 56)     skip
    stage 1   4 bottlenecks                      (B, 512, 28, 28)     skip
    stage 2   9 bottlenecks                      (B, 1024, 14, 14)
    tokens    conv 1x1, 12 transformer blocks    (B, 768, 14, 14)
    neck      conv 3x3                           (B, 512, 14, 14)
    cup 0     x 2, with skip, 2 x conv 3x3       (B, 256, 28, 28)
    cup 1     x 2, with skip, 2 x conv 3x3       (B, 128, 56, 56)
    cup 2     x 2, with skip, 2 x conv 3x3       (B, 64, 112, 112)
    cup 3     x 2, 2 x conv 3x3                  (B, 16, 224, 224)
    head      conv 3x3                           (B, C, 224, 224)
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from gutseg.models.limits import Drop, Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Place
from gutseg.models.timm_vit import TimmVit, load_published

# timm's form of the published hybrid: ResNet-50 without its last stage, then ViT-B.
HYBRID = "vit_base_r50_s16_224"
TAG = "orig_in21k"
STRIDE = 16
# Channels of the ResNet at strides 8, 4 and 2; the last step of the decoder has no skip.
SKIPS = (512, 256, 64, 0)

Layers = Annotated[int, Field(ge=1, le=48)]


class HybridEncoder(TimmVit):
    """ResNet and vision transformer: the transformer's map and the ResNet's, deepest first."""

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        vit: Any = self.model
        embed = vit.patch_embed
        resnet = embed.backbone
        skips = [resnet.stem.norm(resnet.stem.conv(images))]  # (B, 64, H / 2, W / 2)
        features = resnet.stem.pool(skips[0])  # (B, 64, H / 4, W / 4)
        for stage in resnet.stages:
            features = stage(features)  # (B, 256 ... 1024, H / 4 ... 16, W / 4 ... 16)
            skips.append(features)
        deepest = skips.pop()
        embedded = embed.proj(deepest).permute(0, 2, 3, 1)  # (B, H / 16, W / 16, width)
        return self.attend(embedded), skips[::-1]


def conv_layer(in_channels: int, out_channels: int) -> nn.Sequential:
    """A padded 3x3 convolution, batch norm (which brings the shift) and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class CupStep(nn.Module):
    """One step of the cascaded upsampler: doubled, joined with a skip, two convolutions.

    features: (B, in_channels, h, w), skip: (B, skip_channels, 2 h, 2 w) or None; returns
    (B, out_channels, 2 h, 2 w).
    """

    def __init__(self, in_channels: int, out_channels: int, skip_channels: int):
        super().__init__()
        self.convs = nn.Sequential(
            conv_layer(in_channels + skip_channels, out_channels),
            conv_layer(out_channels, out_channels),
        )

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        # the published network aligns the corners
        grown = functional.interpolate(
            features, scale_factor=2, mode="bilinear", align_corners=True
        )  # (B, in_channels, 2 h, 2 w)
        return self.convs(grown if skip is None else torch.cat((grown, skip), dim=1))


class TransUNet(nn.Module):
    """TransUNet: images (B, in_channels, H, W) of any size to logits (B, classes, H, W).

    neck: channels between transformer and decoder; widths: of the decoder's four steps.
    Source: [Chen J 2021] section 3.
    """

    # of what the encoder returns, its map and not its skips
    deepest = Place("encoder", (0,))

    def __init__(self, encoder: HybridEncoder, classes: int, *, neck: int, widths: Sequence[int]):
        super().__init__()
        self.seen = encoder.seen
        self.encoder = encoder
        self.neck = conv_layer(encoder.width, neck)
        steps = zip((neck, *widths), widths, SKIPS, strict=False)
        self.cup = nn.ModuleList(CupStep(*step) for step in steps)
        self.head = nn.Conv2d(widths[-1], classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, STRIDE)

    def _forward(self, images: Tensor) -> Tensor:
        features, skips = self.encoder(images)  # (B, width, H / 16, W / 16)
        features = self.neck(features)  # (B, neck, H / 16, W / 16)
        for step, skip in zip(self.cup, (*skips, None), strict=True):
            features = step(features, skip)  # (B, widths[n], H / 8 ... 1, W / 8 ... 1)
        return self.head(features)  # (B, C, H, W)


def transunet(
    in_channels: int,
    classes: int,
    *,
    encoder_weights: Literal["imagenet"] | None = None,
    embed_dim: Annotated[int, Field(ge=64, le=4096, multiple_of=64)] = 768,
    layers: Layers = 12,
    neck: Size = 512,
    widths: tuple[Size, Size, Size, Size] = (256, 128, 64, 16),
    dropout: Drop = 0.1,
) -> TransUNet:
    """TransUNet on R50-ViT-B/16, 105.28 M parameters (three channels, nine classes).

    encoder_weights: imagenet downloads Google's weights of ImageNet-21k; they fit the default
    embed_dim and layers only, and answer in another scale where there are not three channels (the
    stem standardises its weights, see load_encoder). embed_dim, layers: width (64 channels an
    attention head) and blocks of the transformer. dropout: of the embedding and inside the blocks.
    timm's class token attends along, which the paper has not: 1,536 parameters more than there.
    Source: [Chen J 2021] arXiv:2102.04306.
    """
    encoder = partial(
        HybridEncoder,
        f"{HYBRID}.{TAG}",
        in_channels,
        embed_dim=embed_dim,
        depth=layers,
        num_heads=embed_dim // 64,
        pos_drop_rate=dropout,
        proj_drop_rate=dropout,
    )

    def make() -> TransUNet:
        return TransUNet(encoder(), classes, neck=neck, widths=widths)

    check_size(make)
    network = make()
    if encoder_weights is not None:
        load_published(network, f"{HYBRID}.{TAG}")
    return network
