"""Networks: images (B, in_channels, H, W) of any size in, logits (B, classes, H, W) out."""

from typing import Any

from torch import nn

from gutseg.models.deepmedic import deepmedic
from gutseg.models.encoder_weights import load_encoder
from gutseg.models.extended import extend
from gutseg.models.fcn import fcn
from gutseg.models.gdl_unet import gdl_unet
from gutseg.models.hybrid_unet import hybrid4, hybrid5, hybrid_unet, unet4, unet5
from gutseg.models.kiunet import kiunet
from gutseg.models.monai import (
    attention_unet,
    basic_unet,
    dynunet,
    highresnet,
    mednext,
    segresnet,
    unetpp_deep,
    vnet,
)
from gutseg.models.monai_transformers import swin_unetr, unetr
from gutseg.models.mtunet import mtunet
from gutseg.models.multiresunet import multiresunet
from gutseg.models.nnunet import nnunet_resenc
from gutseg.models.segmenter import segmenter
from gutseg.models.segnet import segnet
from gutseg.models.segresnet_ds import segresnet_ds
from gutseg.models.smp import on_encoder, smp
from gutseg.models.smp_unet import smp_unet
from gutseg.models.spec import NetSpec
from gutseg.models.transunet import transunet
from gutseg.models.two_path_cnn import two_path_cnn
from gutseg.models.unet import unet
from gutseg.models.unet3p import unet3p
from gutseg.models.unet_valid import unet_valid
from gutseg.registry import brief, check, shown

__all__ = ["MODELS", "build", "extend", "load_encoder"]

BOTH = (2, 3)
MIRRORED = "border mirrored"
FROM_32 = "multiples of 16 from 32 on; padded and cut back"
APACHE, BSD = "Apache-2.0", "BSD-3"
SMP = "smp [Iakubovskii 2019]"
MONAI = "MONAI [Cardoso 2022]"
OWN = "written here"

MODELS: dict[str, NetSpec] = {
    # written here
    "unet": NetSpec(unet, f"[Ronneberger 2015], free widths; {OWN}", stride=16),
    "unet4": NetSpec(unet4, f"[Xu 2022], widths reconstructed; {OWN}", stride=16),
    "unet5": NetSpec(unet5, f"[Xu 2022], widths reconstructed; {OWN}", stride=32),
    "hybrid_unet": NetSpec(
        hybrid_unet, f"[Xu 2022]; [Wang H 2022] (local), [Guo 2021] (external); {OWN}", stride=16
    ),
    "hybrid4": NetSpec(hybrid4, f"[Xu 2022], places reconstructed; {OWN}", stride=16),
    "hybrid5": NetSpec(hybrid5, f"[Xu 2022], places reconstructed; {OWN}", stride=32),
    "segnet": NetSpec(segnet, f"[Badrinarayanan 2017]; {OWN}", stride=32),
    "unet3p": NetSpec(unet3p, f"[Huang 2020]; {OWN}", stride=16),
    "multiresunet": NetSpec(multiresunet, f"[Ibtehaz 2020]; {OWN}", stride=16),
    "kiunet": NetSpec(
        kiunet,
        f"[Valanarasu 2020]; {OWN}",
        stride=8,
        sizes="multiples of 8; padded and cut back; maps of 8 times the sides: best on 128 x 128",
    ),
    "mtunet": NetSpec(
        mtunet,
        f"[Wang H 2022]; {OWN}",
        stride=32,
        sizes="multiples of 32, positions of 224; padded and cut back, positions interpolated",
        whole=True,
    ),
    "segmenter": NetSpec(
        segmenter,
        f"[Strudel 2021] on timm's [Wightman 2019] vision transformers; {OWN}",
        stride=16,
        sizes="multiples of the encoder's patch; padded and cut back, positions interpolated",
        whole=True,
        onnx=False,  # positions are interpolated with antialiasing
    ),
    "transunet": NetSpec(
        transunet,
        f"[Chen J 2021] on timm's [Wightman 2019] hybrid; {OWN}",
        stride=16,
        sizes="multiples of 16; padded and cut back, positions interpolated",
        whole=True,
        onnx=False,  # as Segmenter
    ),
    # of valid convolutions
    "unet_valid": NetSpec(
        unet_valid,
        f"[Ronneberger 2015]; {OWN}",
        stride=16,
        sizes=f"16 n + 12, 184 lost; {MIRRORED}",
    ),
    "gdl_unet": NetSpec(
        gdl_unet,
        f"[Sudre 2017], widths reconstructed; {OWN}",
        stride=4,
        sizes=f"multiples of 4, 40 lost; {MIRRORED}",
    ),
    "two_path_cnn": NetSpec(
        two_path_cnn,
        f"[Havaei 2017] in the form of [Sudre 2017]; {OWN}",
        sizes=f"any, 32 lost; {MIRRORED}",
    ),
    "deepmedic": NetSpec(
        deepmedic,
        f"[Kamnitsas 2017]; {OWN}",
        dims=BOTH,
        stride=3,
        sizes=f"multiples of 3, 48 lost; {MIRRORED}",
    ),
    # segmentation-models-pytorch, with its own or timm's encoders
    "smp": NetSpec(
        smp,
        f"any architecture of {SMP} on its own or timm's [Wightman 2019] encoders",
        stride=32,
        sizes="multiples of the encoder's stride; padded and cut back",
    ),
    "smp_unet": NetSpec(
        smp_unet,
        f"[Ronneberger 2015]; {SMP}; volumes: [Carreira 2017], {OWN}",
        dims=BOTH,
        stride=32,
        sizes="multiples of the encoder's stride, any number of slices; padded and cut back",
    ),
    "unetpp": NetSpec(on_encoder("UnetPlusPlus"), f"[Zhou 2018]; {SMP}", stride=32),
    "deeplabv3plus": NetSpec(on_encoder("DeepLabV3Plus"), f"[Chen L 2018]; {SMP}", stride=16),
    "pspnet": NetSpec(on_encoder("PSPNet"), f"[Zhao 2017]; {SMP}", stride=8, onnx=False),
    "fpn": NetSpec(on_encoder("FPN"), f"[Kirillov 2019]; {SMP}", stride=32),
    "manet": NetSpec(on_encoder("MAnet"), f"[Fan 2020]; {SMP}", stride=32),
    "linknet": NetSpec(on_encoder("Linknet"), f"[Chaurasia 2017]; {SMP}", stride=32),
    "pan": NetSpec(
        on_encoder("PAN"),
        f"[Li H 2018]; {SMP}",
        stride=16,
        sizes="multiples of 16 from 128 on; padded and cut back",
    ),
    "upernet": NetSpec(on_encoder("UPerNet"), f"[Xiao 2018]; {SMP}", stride=32, onnx=False),
    "segformer": NetSpec(
        on_encoder("Segformer", "mit_b2"), f"[Xie 2021]; {SMP}", stride=32, whole=True
    ),
    "dpt": NetSpec(
        on_encoder("DPT", "tu-vit_small_patch16_224", {"dynamic_img_size": True}),
        f"[Ranftl 2021]; {SMP}, [Wightman 2019]",
        stride=32,
        sizes="multiples of 32, positions of 224; padded and cut back, positions interpolated",
        whole=True,
        onnx=False,
    ),
    # MONAI
    "attention_unet": NetSpec(attention_unet, f"[Oktay 2018]; {MONAI}", APACHE, BOTH, 16),
    "basic_unet": NetSpec(
        basic_unet,
        f"[Falk 2019]; {MONAI}",
        APACHE,
        BOTH,
        16,
        FROM_32,
        levels=("net.conv_0", "net.down_*"),
    ),
    "unetpp_deep": NetSpec(
        unetpp_deep,
        f"[Zhou 2018], deep supervision; {MONAI}",
        APACHE,
        BOTH,
        16,
        FROM_32,
        paths=True,
        levels=("net.conv_?_0",),
    ),
    "dynunet": NetSpec(
        dynunet,
        f"[Isensee 2021]; {MONAI}",
        APACHE,
        BOTH,
        16,
        FROM_32,
        levels=("net.input_block", "net.downsamples.*", "net.bottleneck"),
    ),
    "vnet": NetSpec(
        vnet,
        f"[Milletari 2016]; {MONAI}",
        APACHE,
        BOTH,
        16,
        f"{FROM_32}; channels that do not divide 16: the shortcut's repetition is cut",
        levels=("net.in_tr", "net.down_tr*"),
    ),
    "highresnet": NetSpec(highresnet, f"[Li W 2017]; {MONAI}", APACHE, BOTH, deepest="blocks.-2"),
    "segresnet": NetSpec(
        segresnet, f"[Myronenko 2018]; {MONAI}", APACHE, BOTH, 8, levels=("net.down_layers.*",)
    ),
    "segresnet_ds": NetSpec(
        segresnet_ds,
        f"[Myronenko 2018] as in Auto3DSeg; {MONAI}",
        APACHE,
        BOTH,
        16,
        FROM_32,
        levels=("net.encoder.layers.*.blocks",),
    ),
    "mednext": NetSpec(
        mednext,
        f"[Roy 2023]; {MONAI}",
        APACHE,
        BOTH,
        16,
        FROM_32,
        levels=("net.enc_stages.*", "net.bottleneck"),
    ),
    "unetr": NetSpec(
        unetr,
        f"[Hatamizadeh 2021]; {MONAI}",
        APACHE,
        BOTH,
        16,
        "multiples of 16, one size; padded and cut back, positions interpolated",
        whole=True,
        levels=("net.net.encoder?", ""),
        deepest="net.net.vit.norm",
    ),
    "swin_unetr": NetSpec(
        swin_unetr,
        f"[Hatamizadeh 2022]; {MONAI}",
        APACHE,
        BOTH,
        32,
        "multiples of 32 from 64 on; padded and cut back",
        levels=("net.encoder?", "", "net.encoder10"),
    ),
    # torchvision
    "fcn": NetSpec(
        fcn,
        "[Long 2015] on a dilated ResNet; torchvision [TorchVision 2016]",
        BSD,
        deepest="net.backbone.layer4",
    ),
    # dynamic-network-architectures
    "nnunet_resenc": NetSpec(
        nnunet_resenc,
        "[Isensee 2024]; dynamic-network-architectures (extra nnunet)",
        APACHE,
        BOTH,
        32,
        "multiples of 32 from 64 on; padded and cut back",
        levels=("net.encoder.stages.*",),
        package="dynamic_network_architectures",
    ),
}


def build(
    name: str, in_channels: int, classes: int, *, published: bool = True, **params: Any
) -> nn.Module:
    """Build one row of MODELS; raises ValueError naming the choices when it cannot.

    published: False leaves out `encoder_weights`, so that nothing is downloaded: for a network
    that a checkpoint is to fill.
    """
    if in_channels < 1 or classes < 1:
        raise ValueError(f"in_channels {in_channels} and classes {classes} must be 1 or more")
    params = check(MODELS, name, params, where="model")
    if not published:
        params.pop("encoder_weights", None)
    try:
        return MODELS[name].build(in_channels, classes, **params)
    except ValueError as error:
        raise ValueError(f"model.params: {error}") from None
    except OSError:
        raise
    except Exception as error:
        # timm and smp check no argument: what is raised depends on where it is first used
        raise ValueError(
            f"model.params: model {name!r} cannot be built with {shown(params)}: {brief(error)}"
        ) from error
