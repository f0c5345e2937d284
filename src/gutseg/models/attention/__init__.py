"""Attention blocks that any stage of a convolutional network can carry."""

from gutseg.models.attention.external import ExternalAttention
from gutseg.models.attention.levels import AttentionLevels
from gutseg.models.attention.local import LocalAttention

__all__ = ["AttentionLevels", "ExternalAttention", "LocalAttention"]
