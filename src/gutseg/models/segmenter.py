"""Segmenter: a vision transformer, and a transformer that lets classes and patches meet.

Shapes for Seg-S/16 (width 384) on 384 x 384 pixels:

    images                                  (B, S, 384, 384)
    encoder   vision transformer            (B, 384, 24, 24)
    tokens    projection, patches first     (B, 576 + C, 384)
    decoder   2 transformer blocks, norm    (B, 576 + C, 384)
    masks     cosine of patch and class     (B, 576, C), scaled
    logits    bilinear                      (B, C, 384, 384)
"""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from gutseg.models.limits import Drop, PlainName, check_size
from gutseg.models.padding import run_padded
from gutseg.models.places import Place
from gutseg.models.timm_vit import VitEncoder, check_vit, load_published

# Channels of one attention head, as in the vision transformers themselves.
HEAD = 64

Layers = Annotated[int, Field(ge=1, le=48)]
MaskNorm = Literal["affine", "layer"]


class ClassAffine(nn.Module):
    """A scale and a shift for every class; masks (B, N, C)."""

    def __init__(self, classes: int, scale: float):
        super().__init__()
        self.weight = nn.Parameter(torch.full((classes,), scale))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, masks: Tensor) -> Tensor:
        return masks * self.weight + self.bias


class MaskTransformer(nn.Module):
    """Decoder: patches (B, width, h, w) to class masks (B, C, h, w).

    Every class has a learned token that attends to the patches and to the other classes; its mask
    is the cosine between it and each patch, after a projection of both. Source: [Strudel 2021]
    section 3.2.
    """

    def __init__(
        self, width: int, classes: int, *, layers: int, dropout: float, mask_norm: MaskNorm
    ):
        super().__init__()
        from timm.models.vision_transformer import Block

        if mask_norm == "layer" and classes == 1:
            raise ValueError("mask_norm layer compares classes; with one class give affine")
        self.classes = classes
        self.project = nn.Linear(width, width)
        self.tokens = nn.Parameter(torch.empty(1, classes, width))
        block = partial(Block, width, max(width // HEAD, 1), qkv_bias=True, norm_layer=nn.LayerNorm)
        self.blocks = nn.Sequential(
            *(block(proj_drop=dropout, attn_drop=dropout) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.patch_projection = nn.Parameter(torch.randn(width, width) / math.sqrt(width))
        self.class_projection = nn.Parameter(torch.randn(width, width) / math.sqrt(width))
        # random directions have cosines of standard deviation 1 / sqrt(width)
        self.mask_norm = (
            nn.LayerNorm(classes) if mask_norm == "layer" else ClassAffine(classes, width**0.5)
        )
        nn.init.trunc_normal_(self.tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        sides = features.shape[2:]
        patches = self.project(features.flatten(2).transpose(1, 2))  # (B, h w, width)
        tokens = self.tokens.expand(len(features), -1, -1)  # (B, C, width)
        both = self.norm(self.blocks(torch.cat((patches, tokens), dim=1)))  # (B, h w + C, width)
        patches = both[:, : -self.classes] @ self.patch_projection  # (B, h w, width)
        tokens = both[:, -self.classes :] @ self.class_projection  # (B, C, width)
        cosines = functional.normalize(patches, dim=2) @ functional.normalize(tokens, dim=2).mT
        masks = self.mask_norm(cosines)  # (B, h w, C)
        return masks.mT.unflatten(2, sides)  # (B, C, h, w)


class Segmenter(nn.Module):
    """Vision transformer with the mask transformer on top.

    images: (B, in_channels, H, W) of any H, W; returns logits (B, classes, H, W).
    Source: [Strudel 2021].
    """

    deepest = Place("encoder")

    def __init__(self, encoder: VitEncoder, decoder: MaskTransformer):
        super().__init__()
        self.seen = encoder.seen
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        return run_padded(self._forward, images, self.encoder.patch)

    def _forward(self, images: Tensor) -> Tensor:
        masks = self.decoder(self.encoder(images))  # (B, C, H / patch, W / patch)
        return functional.interpolate(
            masks, images.shape[2:], mode="bilinear", align_corners=False
        )  # (B, C, H, W)


def segmenter(
    in_channels: int,
    classes: int,
    *,
    encoder: PlainName = "vit_small_patch16_384",
    encoder_weights: Literal["imagenet"] | None = None,
    layers: Layers = 2,
    dropout: Drop = 0.1,
    drop_path: Drop = 0.1,
    mask_norm: MaskNorm = "affine",
) -> Segmenter:
    """Segmenter with the mask transformer, Seg-S-Mask/16 by default, 26 M parameters.

    encoder: any vision transformer of timm (vit_tiny_patch16_384, vit_base_patch16_384, ...).
    encoder_weights: imagenet downloads the encoder's, the variant being a tag of its name.
    layers, dropout: of the mask transformer. drop_path: stochastic depth of the encoder.
    mask_norm: `layer` is the paper's, a layer norm over the classes, made for a softmax with a
    background: a sigmoid a class could not say "none of them" on it. `affine` scales and shifts
    every class, with as many parameters. Source: [Strudel 2021] arXiv:2105.05633.
    """
    check_vit(encoder)

    def make() -> Segmenter:
        backbone = VitEncoder(encoder, in_channels, drop_path_rate=drop_path)
        decoder = MaskTransformer(
            backbone.width, classes, layers=layers, dropout=dropout, mask_norm=mask_norm
        )
        return Segmenter(backbone, decoder)

    check_size(make)
    network = make()
    if encoder_weights is not None:
        load_published(network, encoder)
    return network
