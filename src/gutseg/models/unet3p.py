"""UNet 3+: every level of the decoder sees every level of the encoder and all coarser ones.

Shapes: B images, S channels, C classes, H and W sides, wk the width of level k (64, 128, 256, 512,
1024; level 0 is at full resolution), n levels, v = w0 the channels of every skip, n·v (320) those
of every level of the decoder.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gutseg.models.limits import check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place
from gutseg.models.presence import Effect, Gate, Outputs
from gutseg.models.unet import Widths, conv_stage

WIDTHS = (64, 128, 256, 512, 1024)


def _unit(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3x3 convolution, a batch norm and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class FullScaleLevel(nn.Module):
    """One level of the decoder: all n scales brought to its size, v channels each, and mixed.

    scales: level k's features (B, channels[k], H/2^k, W/2^k), the encoder's down to this level,
    the decoder's below it; returns (B, n·v, h, w), h and w the sides of this level.
    Source: [Huang 2020] section 2.1, figure 2 and equation 1.
    """

    def __init__(self, level: int, channels: list[int], skip: int) -> None:
        super().__init__()
        self.level = level
        self.skips = nn.ModuleList(_unit(below, skip) for below in channels)
        self.mix = _unit(skip * len(channels), skip * len(channels))

    def forward(self, scales: list[Tensor]) -> Tensor:
        found = []
        for k, (features, skip) in enumerate(zip(scales, self.skips, strict=True)):
            if k < self.level:
                features = F.max_pool2d(features, 2 ** (self.level - k))
            elif k > self.level:
                features = F.interpolate(
                    features, scale_factor=2 ** (k - self.level), mode="bilinear"
                )
            found.append(skip(features))  # (B, v, h, w)
        return self.mix(torch.cat(found, dim=1))  # (B, n·v, h, w)


class ClassHead(nn.Sequential):
    """Does the image show the class? Dropout, a 1x1 convolution, the maximum over all places.

    features: (B, channels, h, w); returns logits (B, classes). Source: [Huang 2020] section 2.3;
    there it tells organ from no organ, here it has one logit a class.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(
            nn.Dropout(0.5),
            nn.Conv2d(channels, classes, 1),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )


class UNet3Plus(nn.Module):
    """UNet 3+ with its deep supervision and its classification-guided gate, each on request.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W) in eval mode, in
    training mode with deep_supervision a list of n of them, one a level, the finest first; with a
    gate `Outputs` of those, not gated, and the class head's logits, which are trained beside them.
    For 3 channels and 3 classes 26 971 011 parameters, 27 024 591 with deep supervision and
    27 027 666 with the gate too: 6528 biases, which norms cancel, below the authors' 26.98 M.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: tuple[int, ...],
        deep_supervision: bool = False,
        gate: Effect = "off",
    ) -> None:
        super().__init__()
        levels = len(widths)
        skip = widths[0]
        self.multiple = 2 ** (levels - 1)
        self.encoder = nn.ModuleList(
            conv_stage(below, width, "batch")
            for below, width in zip((in_channels, *widths), widths, strict=False)
        )
        # what each level gives to the level above: the decoder's, and the encoder's at the bottom
        given = [levels * skip] * (levels - 1) + [widths[-1]]
        self.decoder = nn.ModuleList(
            FullScaleLevel(level, [*widths[: level + 1], *given[level + 1 :]], skip)
            for level in reversed(range(levels - 1))
        )
        self.head = nn.Conv2d(given[0], classes, 3, padding=1)
        self.side_heads = nn.ModuleList(
            nn.Conv2d(channels, classes, 3, padding=1)
            for channels in (given[1:] if deep_supervision else [])
        )
        self.class_head = ClassHead(widths[-1], classes) if gate != "off" else None
        self.gate = Gate(gate) if gate != "off" else None

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind the stages of a level, on both sides."""
        bottom = len(self.decoder)
        sides = [
            [Place(f"encoder.{level}"), Place(f"decoder.{bottom - 1 - level}")]
            for level in range(bottom)
        ]
        return [*sides, [Place(f"encoder.{bottom}")]]

    def forward(self, images: Tensor) -> Tensor | list[Tensor] | Outputs:
        return run_padded(self._forward, images, self.multiple)

    def _forward(self, images: Tensor) -> Tensor | list[Tensor] | Outputs:
        features, scales = images, []
        for level, stage in enumerate(self.encoder):
            features = stage(F.max_pool2d(features, 2) if level else features)
            scales.append(features)  # (B, wk, H/2^k, W/2^k)
        for level, block in zip(reversed(range(len(self.decoder))), self.decoder, strict=True):
            # level by level upwards, the decoder's features take the place of the encoder's
            scales[level] = block(scales)  # (B, n·v, H/2^k, W/2^k)
        masks = self.head(scales[0])  # (B, C, H, W)
        presence = self.class_head(features) if self.class_head else None  # (B, C)
        if not self.training:
            return masks if self.gate is None else self.gate(masks, presence)
        if self.side_heads:
            # (B, C, H/2^k, W/2^k); the loss enlarges them as the paper does, bilinearly
            pairs = zip(self.side_heads, scales[1:], strict=True)
            masks = [masks, *(head(found) for head, found in pairs)]
        return masks if presence is None else Outputs(masks, presence)


def unet3p(
    in_channels: int,
    classes: int,
    *,
    widths: Widths = WIDTHS,
    deep_supervision: bool = False,
    gate: Effect = "off",
) -> UNet3Plus:
    """UNet 3+; widths: channels of every level, from full resolution to the bottom.

    deep_supervision: one more output a level, in training. gate: `multiply` every pixel's
    probability by the class head's of the image showing the class, `threshold` that at 0.5 as the
    paper does, or `off`, no class head. Training compares the masks before the gate and the class
    head with what each image shows (cross-entropy, weight model.presence.weight or 0.2).
    Source: [Huang 2020] arXiv:2004.08790.
    """
    make = partial(
        UNet3Plus,
        in_channels,
        classes,
        widths=widths,
        deep_supervision=deep_supervision,
        gate=gate,
    )
    check_size(make)
    return make()
