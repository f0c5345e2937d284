"""Every row of MODELS made small, and another value for each of its parameters."""

import inspect
from functools import cache

import torch

from gutseg.models import MODELS, build

RESNET = {"encoder": "tu-test_resnet"}
NARROW = {"widths": [8, 8, 16, 16, 16, 8]}

# Parameters that make a large network small; without any a row is tested as it is.
SMALL = {
    "segnet": {"width": 8},
    "unet3p": {"widths": [8, 8, 16, 16, 16]},
    "multiresunet": {"width": 8},
    "kiunet": {"widths": [4, 8, 8]},
    "mtunet": {"width": 8},
    "segmenter": {"encoder": "test_vit"},
    "transunet": {"embed_dim": 64, "layers": 1, "neck": 16, "widths": [8, 8, 8, 8]},
    "unet_valid": {"widths": [8, 8, 8, 8, 8]},
    "gdl_unet": {"widths": [8, 8, 16]},
    "two_path_cnn": {"widths": [8, 8, 8]},
    "deepmedic": {"widths": [8, 8, 8, 8, 8, 8, 8, 8], "fused": [8, 8]},
    "smp": RESNET,
    "smp_unet": RESNET,
    "unetpp": RESNET,
    "deeplabv3plus": RESNET,
    "pspnet": RESNET,
    "fpn": RESNET,
    "manet": RESNET,
    "linknet": RESNET,
    "pan": RESNET,
    "upernet": RESNET | {"options": {"decoder_channels": 32}},
    "segformer": RESNET,
    "dpt": {
        "encoder": "tu-test_vit",
        "options": {
            "decoder_intermediate_channels": [16, 16, 16, 16],
            "decoder_fusion_channels": 16,
        },
    },
    "attention_unet": {"widths": [8, 16, 16, 16, 16]},
    "basic_unet": NARROW,
    "unetpp_deep": NARROW,
    "dynunet": {"widths": [8, 8, 16, 16, 16]},
    "segresnet": {"width": 8},
    "segresnet_ds": {"width": 8, "blocks": [1, 1, 1, 1, 1]},
    "unetr": {"width": 4, "hidden": 24, "mlp": 48, "heads": 3},
    "swin_unetr": {"width": 12, "depths": [2, 1, 1, 1], "window": 4},
    "nnunet_resenc": {"widths": [8, 8, 16, 16, 16, 16]},
}

# Another value for every parameter of every row; a new parameter needs one here. OWN: where a row
# needs another one than the rows that share the parameter's name.
CHANGED = {
    "widths": [8, 16, 32],
    "norm": "batch",
    "dropout": 0.9,
    "local_levels": [1],
    "external_levels": [],
    "window": 3,
    "local_heads": 2,
    "external_heads": 8,
    "residual": False,
    "architecture": "FPN",
    "encoder": "mobilenet_v2",
    "options": {"decoder_channels": [64, 32, 16, 8, 8]},
    "encoder_options": {"act_layer": "gelu"},
    "dims": 3,
    "width": 24,
    "depth": 101,
    "depths": [1, 1, 1, 1],
    "heads": [1, 2, 4, 8],
    "hidden": 12,
    "mlp": 24,
    "image_size": 64,
    "variant": "B",
    "kernel": 5,
    "layers": 3,
    "drop_path": 0.9,
    "mask_norm": "layer",
    "embed_dim": 128,
    "neck": 24,
    "blocks": [1, 2, 1, 1, 1],
    "pieces": 3,
    "second_kernel": 3,
    "global_pool": 1,
    "fused": [4, 4],
    "deep_supervision": True,
    "gate": "multiply",
    "alpha": 1.0,
    "inflation": "centre",
    "z_strides": [2, 2, 2, 2, 2],
}
# parameters that matter to networks of volumes alone
OF_VOLUMES = {"inflation", "z_strides"}
OWN = {
    "basic_unet": {"widths": [8, 8, 8, 8, 8, 8]},
    "unetpp_deep": {"widths": [8, 8, 8, 8, 8, 8], "deep_supervision": False},
    "dynunet": {"residual": True},
    "highresnet": {"widths": [8, 16, 16]},
    "unetr": {"heads": 2},
    "segmenter": {"encoder": "vit_tiny_patch16_224"},
    "transunet": {"widths": [8, 8, 8, 4]},
    "deepmedic": {"widths": [8, 8, 8, 8, 8, 8, 8, 4]},
}


def settings(name):
    """Return the keyword-only parameters of a row, but for weights to be downloaded."""
    parameters = inspect.signature(MODELS[name].build).parameters.values()
    keys = [key.name for key in parameters if key.kind is inspect.Parameter.KEYWORD_ONLY]
    return [key for key in keys if key != "encoder_weights"]


def changed(name, key):
    """Return another value for a parameter."""
    return OWN.get(name, {}).get(key, CHANGED[key])


def small(name, in_channels=5, classes=3, **params):
    """Build the small network of a row; the same weights each time."""
    torch.manual_seed(0)
    return build(name, in_channels, classes, **(SMALL.get(name, {}) | params))


@cache
def evaluated(name):
    """Return the small network of a row for 5 channels and 3 classes, in eval mode, built once."""
    return small(name).eval()
