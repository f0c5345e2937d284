"""Mixed Transformer U-Net: convolutions at the fine levels, two kinds of attention below.

Shapes: B images, S channels, K classes, H and W sides of the padded image (multiples of 32),
w the first width (64), C and h, w the channels and sides of a block's features, r and c the rows
and columns of its 4x4 windows.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gutseg.models.attention import ExternalAttention, LocalAttention
from gutseg.models.blueprint import full_precision
from gutseg.models.limits import Size, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Levels, Place

WINDOW = 4
HEADS = 8
EXTERNAL_HEADS = 32
SLOTS = 64
# Side of the grid of learned positions: an eighth of the paper's images of 224 x 224.
GRID = 28


def _unit(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch norm; with stride 1 the size stays."""
    padding = kernel // 2 if stride == 1 else 0
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResidualStage(nn.Module):
    """Two 3x3 convolutions; a 1x1 convolution of their answer is added to it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _unit(in_channels, out_channels, 3)
        self.second = _unit(out_channels, out_channels, 3)
        self.third = _unit(out_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        found = self.second(self.first(features).relu())  # (B, out_channels, h, w)
        return (found + self.third(found)).relu()  # (B, out_channels, h, w)


def _windows(features: Tensor) -> Tensor:
    """Cut (B, C, h, w) into (B, C, r, c, 16), padded with zeros at the right and the bottom."""
    right, bottom = -features.shape[3] % WINDOW, -features.shape[2] % WINDOW
    padded = F.pad(features, (0, right, 0, bottom))  # (B, C, 4r, 4c)
    cut = padded.unflatten(3, (-1, WINDOW)).unflatten(2, (-1, WINDOW))  # (B, C, r, 4, c, 4)
    return cut.transpose(3, 4).flatten(4)  # (B, C, r, c, 16)


class WindowSummary(nn.Module):
    """One token a window: a weighted mean, the weights depending on the window's plain mean.

    features: (B, C, h, w); returns (B, C, r, c). Padding has no weight.
    Source: [Wang H 2022], the "lightweight dynamic convolution".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores = nn.Linear(channels, WINDOW**2)

    def forward(self, features: Tensor) -> Tensor:
        windows = _windows(features)  # (B, C, r, c, 16)
        inside = _windows(torch.ones_like(features[:1, :1]))[0, 0]  # (r, c, 16)
        mean = windows.sum(dim=4) / inside.sum(dim=2)  # (B, C, r, c)
        scores = self.scores(mean.permute(0, 2, 3, 1))  # (B, r, c, 16)
        shares = scores.masked_fill(inside == 0, -torch.inf).softmax(dim=3)  # (B, r, c, 16)
        return (windows * shares[:, None]).sum(dim=4)  # (B, C, r, c)


class GaussianAxialAttention(nn.Module):
    """Attention along each token's row plus attention along its column, near tokens preferred.

    tokens: (B, C, r, c), returned in the same shape. To the scores of tokens at distance d comes
    -(s d² + b) with learned s and b, the logarithm of a Gaussian. The scores, sums over all C
    channels that nothing scales down, run in float32 whatever the autocast.
    Source: [Wang H 2022], "Gaussian-weighted axial attention".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.sharpness = nn.Parameter(torch.randn(1).abs())
        # A softmax cancels what it adds to all scores alike; kept because the paper has it.
        self.offset = nn.Parameter(-torch.randn(1).abs())

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens.permute(0, 2, 3, 1)  # (B, r, c, C)
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        precise = torch.promote_types(query.dtype, torch.float32)
        query, key, value = (part.to(precise) for part in (query, key, value))
        with full_precision(tokens.device):
            along_rows = self._along(query, key, value)  # (B, r, c, C)
            turned = (part.transpose(1, 2) for part in (query, key, value))
            along_columns = self._along(*turned).transpose(1, 2)  # (B, r, c, C)
            found = along_rows + along_columns
        return found.to(tokens.dtype).permute(0, 3, 1, 2)  # (B, C, r, c)

    def _along(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend within the last but one dimension of (B, lines, n, C)."""
        scores = query @ key.transpose(2, 3)  # (B, lines, n, n)
        return (scores + self._bias(scores)).softmax(dim=3) @ value  # (B, lines, n, C)

    def _bias(self, scores: Tensor) -> Tensor:
        """Return -(s d² + b) for every pair of a line's tokens: (n, n)."""
        places = torch.arange(scores.shape[3], dtype=scores.dtype, device=scores.device)  # (n)
        distances = places[:, None] - places  # (n, n)
        return -(self.sharpness.to(scores.dtype) * distances.square() + self.offset)


class LocalGlobalAttention(nn.Module):
    """Attention within windows, then among the windows' summaries, side by side and mixed.

    features: (B, C, h, w), returned in the same shape. Source: [Wang H 2022].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = LocalAttention(channels, heads=HEADS, window=WINDOW, residual=False)
        self.summary = WindowSummary(channels)
        self.among = GaussianAxialAttention(channels)
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        local = self.local(features)  # (B, C, h, w)
        coarse = self.among(self.summary(local))  # (B, C, r, c)
        # The authors align corners, which shifts a summary by up to half a window.
        spread = F.interpolate(coarse, scale_factor=WINDOW, mode="bilinear", align_corners=False)
        return self.merge(torch.cat((spread[..., :height, :width], local), dim=1))  # (B, C, h, w)


class MixedBlock(nn.Module):
    """Mixed Transformer module: local-global attention, then external attention, both residual.

    features: (B, C, h, w), returned in the same shape. Source: [Wang H 2022].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels, eps=1e-6) for _ in range(2))
        self.local_global = LocalGlobalAttention(channels)
        self.external = ExternalAttention(
            channels, heads=EXTERNAL_HEADS, slots=SLOTS, residual=False
        )

    def forward(self, features: Tensor) -> Tensor:
        blocks = (self.local_global, self.external)
        for norm, block in zip(self.norms, blocks, strict=True):
            normal = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, C, h, w)
            features = features + block(normal)
        return features


def _mixed_pair(channels: int) -> nn.Sequential:
    return nn.Sequential(MixedBlock(channels), MixedBlock(channels))


class MTUNet(nn.Module):
    """Mixed Transformer U-Net for images of any size.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
    The paper's positions are 784 tokens for images of 224 x 224; here they are a grid of 28 x 28,
    stretched over the image as it is (so a crop counts as a whole image). External attention
    normalises over the pixels in view: train and predict on the same framing.
    75 267 383 parameters for 3 channels and 3 classes. The authors' 79.07 M also count ten output
    maps (3 806 720) that their axial attention never calls, and 896 biases that norms cancel.
    """

    def __init__(self, in_channels: int, classes: int, *, width: int) -> None:
        super().__init__()
        fine = [width, 2 * width, 4 * width]
        coarse = [4 * width, 8 * width]
        bottom = 16 * width
        self.pool = nn.MaxPool2d(2)
        self.stages = nn.ModuleList(
            ResidualStage(below, above)
            for below, above in zip((in_channels, *fine), fine, strict=False)
        )
        self.embed = nn.Sequential(_unit(fine[-1], coarse[0], 1), nn.ReLU())
        self.positions = nn.Parameter(torch.zeros(1, coarse[0], GRID, GRID))
        self.mixed = nn.ModuleList(_mixed_pair(channels) for channels in coarse)
        self.shrink = nn.ModuleList(
            nn.Sequential(_unit(channels, 2 * channels, 2, stride=2), nn.ReLU())
            for channels in coarse
        )
        self.bottom = _mixed_pair(bottom)
        # The finer of the two levels keeps the channels of both, 8w; nothing squeezes them.
        self.mixed_up = nn.ModuleList(
            nn.ConvTranspose2d(2 * channels, channels, 2, stride=2) for channels in coarse[::-1]
        )
        self.mixed_back = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(bottom, coarse[1], 1), _mixed_pair(coarse[1])),
                _mixed_pair(2 * coarse[0]),
            ]
        )
        given = [2 * coarse[0], *fine[:0:-1]]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2)
            for below, above in zip(given, fine[::-1], strict=True)
        )
        self.back = nn.ModuleList(ResidualStage(2 * above, above) for above in fine[::-1])
        self.head = nn.Conv2d(width, classes, 1)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind the blocks of a level, on both sides."""
        fine = [[Place(f"stages.{level}"), Place(f"back.{2 - level}")] for level in range(3)]
        coarse = [[Place(f"mixed.{level}"), Place(f"mixed_back.{1 - level}")] for level in range(2)]
        return [*fine, *coarse, [Place("bottom")]]

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, 32)

    def _forward(self, images: Tensor) -> Tensor:
        features, skips = images, []
        for stage in self.stages:
            skips.append(stage(features))  # (B, w...4w, H...H/4, W...W/4)
            features = self.pool(skips[-1])  # (B, w...4w, H/2...H/8, W/2...W/8)
        features = self._placed(self.embed(features))  # (B, 4w, H/8, W/8)
        for mixed, shrink in zip(self.mixed, self.shrink, strict=True):
            skips.append(mixed(features))  # (B, 4w...8w, H/8...H/16, W/8...W/16)
            features = shrink(skips[-1])  # (B, 8w...16w, H/16...H/32, W/16...W/32)
        features = self.bottom(features)  # (B, 16w, H/32, W/32)
        for up, back in zip(self.mixed_up, self.mixed_back, strict=True):
            # (B, 8w, H/16...H/8, W/16...W/8)
            features = back(torch.cat((up(features), skips.pop()), dim=1))
        for up, back in zip(self.up, self.back, strict=True):
            # (B, 4w...w, H/4...H, W/4...W)
            features = back(torch.cat((skips.pop(), up(features)), dim=1))
        return self.head(features)  # (B, K, H, W)

    def _placed(self, features: Tensor) -> Tensor:
        """Add the learned positions, stretched to the features' size."""
        size = features.shape[-2:]
        grid: Tensor = self.positions  # (1, 4w, 28, 28)
        if size != grid.shape[-2:]:
            grid = F.interpolate(grid, size, mode="bilinear", align_corners=False)
        return features + grid


def mtunet(in_channels: int, classes: int, *, width: Size = 64) -> MTUNet:
    """Mixed Transformer U-Net; width: channels at full resolution, an even number.

    Source: [Wang H 2022] arXiv:2111.04734.
    """
    make = partial(MTUNet, in_channels, classes, width=width)
    check_size(make)
    return make()
