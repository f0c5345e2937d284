"""FCN of torchvision."""

from operator import itemgetter
from typing import Literal

from torch import nn

from gutseg.models.limits import Drop
from gutseg.models.padding import PaddedNet, padded


def fcn(
    in_channels: int, classes: int, *, depth: Literal[50, 101] = 50, dropout: Drop = 0.1
) -> PaddedNet:
    """Fully convolutional head on a dilated ResNet, 32.9 M parameters (depth 50).

    images: (B, in_channels, H, W) of any size; logits (B, classes, H, W), interpolated from
    stride 8. Not the FCN-8s on VGG of the paper. Source: [Long 2015] arXiv:1411.4038.
    """
    from torchvision.models.segmentation import fcn_resnet50, fcn_resnet101

    def make() -> nn.Module:
        constructor = {50: fcn_resnet50, 101: fcn_resnet101}[depth]
        net = constructor(weights=None, weights_backbone=None, num_classes=classes)
        stem = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        net.backbone.conv1 = stem
        for module in net.classifier:
            if isinstance(module, nn.Dropout):
                module.p = dropout
        return net

    return padded(make, 1, scales=itemgetter("out"))
