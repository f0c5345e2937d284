"""Attention to a small learned memory that all images share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gutseg.models.attention.heads import head_size
from gutseg.models.blueprint import full_precision


def double_normalise(logits: Tensor) -> Tensor:
    """Softmax over the pixels, then divide by the sum over the memory: rows sum to 1.

    logits: (..., N pixels, M memory). Computed as softmax_M(log softmax_N), which is the same
    number without the quotient: the plain form divides 0 by 0 where a pixel's scores underflow
    (9 % NaN in float16 at N = 16384, logits of scale 8), and the source's 1e-9 in the
    denominator swamps such rows instead.
    """
    return F.log_softmax(logits, dim=-2).softmax(dim=-1)


class ExternalAttention(nn.Module):
    """Multi-head attention of every pixel to learned memory keys and values.

    features: (B, C, H, W), returned in the same shape; with residual the block adds to its input.
    Channels grow to 4C, so each of the heads holds HS = 4C / heads of them and `slots` memory
    slots, by default 2·HS: 529 760 parameters at C = 256 with 32 heads. The keys, the softmax and
    the quotient run in float32 (float64 stays float64) whatever the autocast.
    The softmax runs over all H·W pixels, padding included, so the answer for one pixel depends on
    the share of everything else in view: repeating the image changes nothing (the quotient cancels
    N), more margin or a narrower crop does. Train and predict on the same framing and size.
    Source: [Guo 2021] arXiv:2105.02358 (EANet), as in table 2 of [Xu 2022].
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 32,
        slots: int | None = None,
        residual: bool = True,
    ):
        super().__init__()
        size = head_size(4 * channels, heads)
        slots = slots or 2 * size
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, 4 * channels)
        # The softmax over pixels cancels the keys' bias; kept for the table's parameter count.
        self.memory_keys = nn.Linear(size, slots)
        self.memory_values = nn.Linear(slots, size)
        self.project = nn.Linear(4 * channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        tokens = features.flatten(2).transpose(1, 2)
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        attention = double_normalise(self._logits(query))
        context = self.memory_values(attention.to(query.dtype))
        merged = self.project(context.transpose(1, 2).flatten(2)).transpose(1, 2)
        merged = merged.unflatten(-1, (height, width))
        return features + merged if self.residual else merged

    def _logits(self, query: Tensor) -> Tensor:
        """Scores of (B, heads, N, HS) queries against the memory: (B, heads, N, slots)."""
        precise = torch.promote_types(query.dtype, torch.float32)
        weight, bias = self.memory_keys.weight.to(precise), self.memory_keys.bias.to(precise)
        with full_precision(query.device):
            return F.linear(query.to(precise), weight, bias)
