"""Parameter counts that were measured before the rows were written, or that papers print."""

from functools import partial

import pytest

from gutseg.models import build
from gutseg.models.blueprint import blueprint

WIDE = [64, 128, 256, 512, 1024]
FROM_16 = [16, 32, 64, 128, 256]
# row, its parameters, channels of the image and of the logits, millions of parameters
COUNTS = [
    ("smp_unet", {}, (3, 3), "24.4"),
    ("unetpp", {}, (3, 3), "26.1"),
    ("deeplabv3plus", {}, (3, 3), "22.4"),
    ("deeplabv3plus", {"encoder": "resnet101"}, (3, 3), "45.7"),
    ("pspnet", {}, (3, 3), "21.4"),
    ("fpn", {}, (3, 3), "23.2"),
    ("attention_unet", {"widths": WIDE}, (3, 3), "31.74"),
    ("attention_unet", {"widths": FROM_16}, (3, 3), "1.99"),
    ("basic_unet", {}, (3, 3), "1.98"),
    ("basic_unet", {"widths": [*WIDE, 64]}, (3, 3), "31.1"),
    ("basic_unet", {"widths": [*FROM_16, 16]}, (3, 3), "1.95"),
    ("unetpp_deep", {}, (3, 3), "2.41"),
    ("dynunet", {}, (3, 3), "7.76"),
    ("vnet", {"dims": 3}, (1, 3), "45.6"),
    ("vnet", {}, (1, 3), "9.36"),
    ("highresnet", {}, (3, 3), "0.27"),
    ("highresnet", {"dims": 3}, (1, 3), "0.809"),  # 0.81 in the paper
    ("segresnet", {}, (3, 3), "6.3"),
    ("segresnet_ds", {}, (1, 3), "29.07"),  # measured on the class with the template's arguments
    ("mednext", {}, (3, 3), "5.5"),
    ("mednext", {"dims": 3}, (1, 3), "5.6"),  # the paper's S with kernel 3
    ("unetr", {}, (3, 3), "87.6"),
    ("swin_unetr", {}, (3, 3), "6.3"),
    ("fcn", {}, (3, 3), "32.9"),
    ("fcn", {"depth": 101}, (3, 3), "51.9"),
]


@pytest.mark.parametrize(("name", "params", "channels", "millions"), COUNTS)
def test_parameters_are_as_many_as_published(name, params, channels, millions):
    network = blueprint(partial(build, name, *channels, **params))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"{count / 1e6:.{len(millions.split('.')[1])}f}" == millions
