"""The transformers of MONAI, for images and for volumes; see gutseg.models.monai."""

from functools import partial
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from gutseg.models.limits import Dims, Drop, Size
from gutseg.models.padding import PaddedNet, padded

FourSizes = tuple[Size, Size, Size, Size]


def swin_unetr(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    width: Annotated[Size, Field(multiple_of=12)] = 24,
    depths: FourSizes = (2, 2, 2, 2),
    heads: FourSizes = (3, 6, 12, 24),
    window: Size = 7,
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net on a Swin transformer, 6.30 M parameters; width: of the first level.

    Source: [Hatamizadeh 2022].
    """
    from monai.networks.nets import SwinUNETR

    make = partial(
        SwinUNETR,
        in_channels,
        classes,
        depths=depths,
        num_heads=heads,
        window_size=window,
        feature_size=width,
        drop_rate=dropout,
        spatial_dims=dims,
    )
    return padded(make, 32, smallest=64)


def unetr(
    in_channels: int,
    classes: int,
    *,
    dims: Dims = 2,
    width: Size = 16,
    hidden: Size = 768,
    mlp: Size = 3072,
    heads: Size = 12,
    image_size: Annotated[Size, Field(ge=16, multiple_of=16)] = 128,
    dropout: Drop = 0.0,
) -> PaddedNet:
    """U-Net on a vision transformer of patches of 16 pixels, 87.6 M parameters.

    width: of the decoder's first level. hidden, mlp, heads: of the transformer. image_size: side
    of the images (volumes) for which positions are learnt; other sizes get them interpolated.
    Source: [Hatamizadeh 2021].
    """
    from monai.networks.nets import UNETR

    def make() -> nn.Module:
        net: Any = UNETR(
            in_channels,
            classes,
            image_size,
            feature_size=width,
            hidden_size=hidden,
            mlp_dim=mlp,
            num_heads=heads,
            dropout_rate=dropout,
            spatial_dims=dims,
        )
        for block in net.vit.blocks:
            block.norm_cross_attn = nn.Identity()  # of cross-attention, which it does not have
        return AnySizeUNETR(net)

    return padded(make, 16)


class AnySizeUNETR(nn.Module):
    """MONAI's UNETR with its learnt positions interpolated to the grid of the image's patches.

    images: (B, in_channels, H, W) or (B, in_channels, Z, H, W), sides multiples of 16; returns
    (B, classes, ...) of that size. The library's own forward takes one size only, for which this
    one answers the same.
    """

    def __init__(self, net: Any):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        net: Any = self.net
        vit = net.vit
        patches = vit.patch_embedding.patch_embeddings(images)  # (B, D, h, w)
        grid = patches.shape[2:]
        tokens = (patches + self._positions(grid)).flatten(2).transpose(1, 2)  # (B, h * w, D)
        tokens = vit.patch_embedding.dropout(tokens)
        states = []
        for block in vit.blocks:
            tokens = block(tokens)
            states.append(tokens)
        # every map is (B, D, h, w) here, and doubled by every stage that reads it
        deepest, *maps = (
            tokens.transpose(1, 2).unflatten(2, grid)
            for tokens in (vit.norm(tokens), states[9], states[6], states[3])
        )
        features = net.decoder5(deepest, net.encoder4(maps[0]))  # (B, 8 width, 2h, 2w)
        features = net.decoder4(features, net.encoder3(maps[1]))  # (B, 4 width, 4h, 4w)
        features = net.decoder3(features, net.encoder2(maps[2]))  # (B, 2 width, 8h, 8w)
        features = net.decoder2(features, net.encoder1(images))  # (B, width, H, W)
        return net.out(features)

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        """Return (1, D, h, w) positions."""
        net: Any = self.net
        learnt = net.vit.patch_embedding.position_embeddings  # (1, tokens, D)
        found = learnt.transpose(1, 2).unflatten(2, net.feat_size)
        if tuple(grid) == tuple(net.feat_size):
            return found
        mode = "bilinear" if len(grid) == 2 else "trilinear"
        return F.interpolate(found, grid, mode=mode, align_corners=False)
