"""Self-attention within small windows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gutseg.models.attention.heads import head_size


class LocalAttention(nn.Module):
    """Multi-head self-attention among the pixels of each window, windows being independent.

    features: (B, C, H, W), returned in the same shape; with residual the block adds to its input.
    4 (C² + C) parameters. Sizes that are no multiple of the window are padded at the right and
    the bottom, and the padding is masked out of the softmax: the source has no mask, but a padded
    token's key is the bias, so real pixels of the last windows would attend to a constant.
    There is no position term, hence a shift of the image by whole windows shifts the result.
    Source: [Wang H 2022] arXiv:2111.04734 (MT-UNet), as in table 1 of [Xu 2022].
    """

    def __init__(self, channels: int, *, heads: int = 8, window: int = 4, residual: bool = True):
        super().__init__()
        if window < 1:
            raise ValueError(f"window {window} is not a positive number of pixels")
        self.head_size = head_size(channels, heads)
        self.window = window
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        # The softmax cancels the key's bias (it shifts all scores of a query alike); it is kept
        # because the table has a full linear map, and so has the published parameter count.
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.merge = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        right, bottom = -width % self.window, -height % self.window
        tokens = F.pad(features, (0, right, 0, bottom)).permute(0, 2, 3, 1)
        query = self._split(self.query(tokens))
        key = self._split(self.key(tokens))
        value = self._split(self.value(tokens))
        mask = None
        if right or bottom:
            inside = torch.ones_like(features[:, :1], dtype=torch.bool)
            inside = F.pad(inside, (0, right, 0, bottom)).permute(0, 2, 3, 1)
            # One flag per token, the same for every head: (B·rows, cols·heads, 1, tokens).
            mask = self._split(inside.expand_as(tokens))[..., 0].unsqueeze(-2)
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        merged = self.merge(self._join(context, tokens)).permute(0, 3, 1, 2)
        merged = merged[..., :height, :width]
        return features + merged if self.residual else merged

    def _split(self, tokens: Tensor) -> Tensor:
        """Cut (B, H, W, C) into (B·rows, cols·heads, window², head size).

        Rows of windows join the batch and columns join the heads: CUDA attention kernels take
        at most 65535 of each (pytorch issue 142228), and a batch of full-size slices has more
        windows than that.
        """
        batch, height, width, channels = tokens.shape
        rows, cols = height // self.window, width // self.window
        heads = channels // self.head_size
        cut = tokens.reshape(batch, rows, self.window, cols, self.window, heads, self.head_size)
        cut = cut.permute(0, 1, 3, 5, 2, 4, 6)
        return cut.reshape(batch * rows, cols * heads, self.window**2, self.head_size)

    def _join(self, context: Tensor, like: Tensor) -> Tensor:
        """Undo _split: back to (B, H, W, C)."""
        batch, height, width, channels = like.shape
        rows, cols = height // self.window, width // self.window
        heads = channels // self.head_size
        cut = context.reshape(
            batch, rows, cols, heads, self.window, self.window, self.head_size
        ).permute(0, 1, 4, 2, 5, 3, 6)
        return cut.reshape(batch, height, width, channels)
