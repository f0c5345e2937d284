"""MultiResUNet: a U-Net of inception-like residual blocks, with convolutions in its skips.

Shapes: B images, S channels, C classes, H and W sides; wk the width 2^k · 32 of level k, which
its skip has; Wk = about 1.67 wk, the channels that its block gives.
"""

from functools import partial
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place

LEVELS = 5
# Shares of a block's channels behind one, two and three 3x3 convolutions.
SHARES = (0.167, 0.333, 0.5)

Alpha = Annotated[float, Field(ge=0.5, le=4)]


def block_widths(width: int, alpha: float) -> list[int]:
    """Channels of a block's three convolutions, where a U-Net has `width`."""
    return [max(int(alpha * width * share), 1) for share in SHARES]


def _unit(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """A convolution and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class MultiResBlock(nn.Module):
    """Three 3x3 convolutions in a row, all of whose answers are kept, beside a 1x1 shortcut.

    features: (B, in_channels, H, W); returns (B, W, H, W), W = sum(block_widths(width, alpha)).
    Two and three 3x3 in a row see what a 5x5 and a 7x7 see. Source: [Ibtehaz 2020].
    """

    def __init__(self, in_channels: int, width: int, alpha: float) -> None:
        super().__init__()
        widths = block_widths(width, alpha)
        self.channels = sum(widths)
        self.steps = nn.ModuleList(
            nn.Sequential(_unit(below, above, 3), nn.ReLU())
            for below, above in zip((in_channels, *widths), widths, strict=False)
        )
        self.shortcut = _unit(in_channels, self.channels, 1)
        self.norm = nn.BatchNorm2d(self.channels)
        self.last_norm = nn.BatchNorm2d(self.channels)

    def forward(self, features: Tensor) -> Tensor:
        found, answers = features, []
        for step in self.steps:
            found = step(found)
            answers.append(found)
        joined = self.norm(torch.cat(answers, dim=1))  # (B, W, H, W)
        return self.last_norm((joined + self.shortcut(features)).relu())  # (B, W, H, W)


class ResPath(nn.Module):
    """Residual 3x3 convolutions on the way from the encoder to the decoder.

    features: (B, in_channels, H, W); returns (B, width, H, W). Source: [Ibtehaz 2020].
    """

    def __init__(self, in_channels: int, width: int, length: int) -> None:
        super().__init__()
        widths = [in_channels] + length * [width]
        pairs = list(pairwise(widths))
        self.steps = nn.ModuleList(
            nn.Sequential(_unit(below, above, 3), nn.ReLU()) for below, above in pairs
        )
        self.shortcuts = nn.ModuleList(_unit(below, above, 1) for below, above in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in pairs)

    def forward(self, features: Tensor) -> Tensor:
        for step, shortcut, norm in zip(self.steps, self.shortcuts, self.norms, strict=True):
            features = norm((step(features) + shortcut(features)).relu())  # (B, width, H, W)
        return features


class MultiResUNet(nn.Module):
    """U-Net of MultiRes blocks with Res paths for skips.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
    7 244 878 parameters for 3 channels and 3 classes; the paper's 7 262 750 (one class) count two
    statistics a batch norm and leave out the gain of the inner norms. Unlike in the authors' code
    the head is a bare 1x1 convolution: a norm there fixes the spread of the logits over a batch.
    """

    def __init__(self, in_channels: int, classes: int, *, width: int, alpha: float) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.pool = nn.MaxPool2d(2)
        self.encoder, self.paths = nn.ModuleList(), nn.ModuleList()
        channels = in_channels
        for level, wide in enumerate(widths):
            block = MultiResBlock(channels, wide, alpha)
            self.encoder.append(block)
            channels = block.channels
            if level < LEVELS - 1:
                # The finer the level, the further its features are from the decoder's.
                self.paths.append(ResPath(channels, wide, LEVELS - 1 - level))
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for wide in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(channels, wide, 2, stride=2))
            block = MultiResBlock(2 * wide, wide, alpha)
            self.decoder.append(block)
            channels = block.channels
        self.head = nn.Conv2d(channels, classes, 1)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind the blocks of a level, on both sides."""
        sides = [
            [Place(f"encoder.{level}"), Place(f"decoder.{LEVELS - 2 - level}")]
            for level in range(LEVELS - 1)
        ]
        return [*sides, [Place(f"encoder.{LEVELS - 1}")]]

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, 2 ** (LEVELS - 1))

    def _forward(self, images: Tensor) -> Tensor:
        features = self.encoder[0](images)  # (B, W0, H, W)
        skips = []
        for block, path in zip(self.encoder[1:], self.paths, strict=True):
            skips.append(path(features))  # (B, wk, H/2^k, W/2^k)
            features = block(self.pool(features))  # (B, W(k+1), H/2^(k+1), W/2^(k+1))
        for up, block in zip(self.up, self.decoder, strict=True):
            joined = torch.cat((up(features), skips.pop()), dim=1)  # (B, 2 wk, H/2^k, W/2^k)
            features = block(joined)  # (B, Wk, H/2^k, W/2^k)
        return self.head(features)  # (B, C, H, W)


def multiresunet(
    in_channels: int, classes: int, *, width: Size = 32, alpha: Alpha = 1.67
) -> MultiResUNet:
    """MultiResUNet; width: of the U-Net it replaces, alpha: channels over that U-Net's.

    Source: [Ibtehaz 2020] arXiv:1902.04049.
    """
    make = partial(MultiResUNet, in_channels, classes, width=width, alpha=alpha)
    check_size(make)
    return make()
