"""Images as the published weights of an encoder saw them."""

from typing import NamedTuple

from torch import Tensor, nn, tensor


class Seen(NamedTuple):
    """Mean and deviation of the images it was trained on: red, green, blue, in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET = Seen((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Seen((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# segmentation-models-pytorch keeps these on a server since 0.4: here as in its release 0.3.4 and in
# pretrained-models.pytorch (Cadene). What is not named has ImageNet's.
BY_START = {
    "dpn": Seen((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
    "inception": HALF,
    "xception": HALF,
}


class InputNorm(nn.Module):
    """Subtracts the mean and divides by the deviation that an encoder was pretrained with.

    images: (B, channels, ...) in [0, 1]. Three channels are red, green and blue; any other number
    of them, a stack of grey slices, each take the mean of the three, as load_encoder gives each
    the mean of the three convolutions. The last `masks` of them hold masks and stay as they are.
    The numbers are buffers and so stay with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, seen: Seen, masks: int = 0):
        super().__init__()
        grey = channels - masks
        for (key, values), none in zip(seen._asdict().items(), (0.0, 1.0), strict=True):
            spread = values if channels == 3 else [sum(values) / 3] * grey + [none] * masks
            self.register_buffer(key, tensor(spread))

    def forward(self, images: Tensor) -> Tensor:
        shape = (-1, *[1] * (images.dim() - 2))
        return (images - self.mean.reshape(shape)) / self.std.reshape(shape)


def seen_by(encoder: str, weights: str | None = None) -> Seen:
    """Return what the published weights of an encoder of the `smp` row saw.

    encoder: segmentation-models-pytorch's own name, or `tu-` and a timm name, whose tag counts.
    weights: the name of the weights, None for the encoder's first. A name that timm has no
    weights of has timm's default, ImageNet's.
    """
    if encoder.startswith("tu-"):
        import timm

        cfg = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        return Seen(tuple(cfg.mean), tuple(cfg.std)) if cfg else IMAGENET
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"]
    weights = weights or next(iter(settings))
    if "mean" in settings[weights]:
        return Seen(tuple(settings[weights]["mean"]), tuple(settings[weights]["std"]))
    starts = (seen for start, seen in BY_START.items() if encoder.startswith(start))
    return HALF if weights == "advprop" else next(starts, IMAGENET)
