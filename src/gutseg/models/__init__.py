"""Networks: images (B, in_channels, H, W) of any size in, logits (B, classes, H, W) out."""

from typing import Any

from torch import nn

from gutseg.models.encoder_weights import load_encoder
from gutseg.models.smp import smp
from gutseg.models.spec import NetSpec
from gutseg.models.unet import hybrid4, hybrid5, hybrid_unet, unet, unet4, unet5
from gutseg.registry import brief, check, shown

__all__ = ["MODELS", "build", "load_encoder"]

POOLED_4 = "multiples of 16; padded and cut back"
POOLED_5 = "multiples of 32; padded and cut back"

MODELS: dict[str, NetSpec] = {
    "unet": NetSpec(
        unet, "[Ronneberger 2015], free widths; written here", stride=16, sizes=POOLED_4
    ),
    "unet4": NetSpec(
        unet4, "[Xu 2022], widths reconstructed; written here", stride=16, sizes=POOLED_4
    ),
    "unet5": NetSpec(
        unet5, "[Xu 2022], widths reconstructed; written here", stride=32, sizes=POOLED_5
    ),
    "hybrid_unet": NetSpec(
        hybrid_unet,
        "[Xu 2022]; [Wang H 2022] (local), [Guo 2021] (external); written here",
        stride=16,
        sizes=POOLED_4,
    ),
    "hybrid4": NetSpec(
        hybrid4, "[Xu 2022], places reconstructed; written here", stride=16, sizes=POOLED_4
    ),
    "hybrid5": NetSpec(
        hybrid5, "[Xu 2022], places reconstructed; written here", stride=32, sizes=POOLED_5
    ),
    "smp": NetSpec(
        smp,
        "[Iakubovskii 2019], with its own or timm's [Wightman 2019] encoders; smp",
        stride=32,
        sizes="multiples of the encoder's stride; padded and cut back",
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
