"""Vision transformers of timm as encoders of images of any size, with published weights."""

import difflib
from typing import Any

from torch import Tensor, nn

from gutseg.models.encoder_weights import load_encoder
from gutseg.models.input_norm import seen_by
from gutseg.registry import brief, shown


class TimmVit(nn.Module):
    """A vision transformer of timm [Wightman 2019] whose answer is a map of its patches.

    The learned position embeddings are resampled bicubically to the grid of an image. The class
    token attends along and is left out of the map, so that a published file fits whole.
    width: channels of the map; patch: pixels of a side that become one of the map; seen: mean and
    deviation of the images that its published weights saw.
    """

    def __init__(self, name: str, in_channels: int, **options: Any):
        super().__init__()
        # imported here because it costs seconds, which `import gutseg.models` should not
        import timm

        options |= {"num_classes": 0, "global_pool": "", "dynamic_img_size": True}
        made: Any = timm.create_model(name, in_chans=in_channels, **options)
        self.width: int = made.embed_dim
        self.patch: int = made.patch_embed.feat_ratio()
        self.out_channels = (in_channels, self.width)
        self.seen = seen_by(f"tu-{name}")
        # called `model` as in smp, a prefix that load_encoder knows
        self.model = made

    def attend(self, embedded: Tensor) -> Tensor:
        """Return the map (B, width, h, w) of embedded patches (B, h, w, width)."""
        vit: Any = self.model
        sides = embedded.shape[1:3]
        tokens = vit.norm_pre(vit._pos_embed(embedded))  # (B, 1 + h w, width)
        tokens = vit.norm(vit.blocks(tokens))  # (B, 1 + h w, width)
        patches = tokens[:, vit.num_prefix_tokens :]  # (B, h w, width)
        return patches.transpose(1, 2).unflatten(2, sides)


class VitEncoder(TimmVit):
    """images (B, in_channels, H, W), sides multiples of `patch`, to (B, width, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        vit: Any = self.model
        return self.attend(vit.patch_embed(images))


def check_vit(name: str) -> None:
    """Raise ValueError unless timm has a vision transformer of this name."""
    import timm

    known = timm.list_models(module="vision_transformer")
    if name.split(".")[0] not in known:
        close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
        raise ValueError(
            f"unknown encoder {shown(name)}; close names: {', '.join(close) or 'none'}; choices: "
            f"the {len(known)} vision transformers of timm"
        )


def load_published(network: nn.Module, name: str) -> None:
    """Fill the encoder of a network with the weights that timm publishes under a name."""
    import timm

    try:
        published = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:
        raise ValueError(
            f"the published weights of {name!r} could not be fetched ({brief(error)}); is there "
            "a network? Else give a local file as model.encoder_weights"
        ) from error
    load_encoder(network, published.state_dict())
