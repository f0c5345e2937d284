"""Any architecture of segmentation-models-pytorch on any encoder, its own or timm's."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from gutseg.models.encoder_weights import load_encoder
from gutseg.models.input_norm import Seen, seen_by
from gutseg.models.limits import Options, PlainName, check_size
from gutseg.models.padding import PaddedNet
from gutseg.models.places import Levels, Place
from gutseg.registry import brief, shown, suggest

# What the builder decides: logits, one output, channels, weights.
_RESERVED = {"encoder_name", "encoder_weights", "in_channels", "classes", "activation"}
_RESERVED |= {"self", "aux_params", "kwargs"}
# A side of the image that _freeze_unreached runs through the network.
MOST_PIXELS = 1024
# Architectures that read every level of the encoder but the first, which is the image.
U_SHAPED = ("Unet", "UnetPlusPlus", "MAnet", "Linknet")


class LibraryNet(PaddedNet):
    """A segmentation-models-pytorch network."""

    # what the encoder's published weights saw, and sides of an image that it takes
    seen: Seen | None = None
    example: tuple[int, int] = (128, 128)

    @property
    def levels(self) -> Levels:
        """Where attention can be added: behind the encoder's levels, of U-shaped networks alone."""
        if type(self.net).__name__ not in U_SHAPED:
            return []
        widths: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        # some of timm's have nothing at stride 2
        return [
            [Place("net.encoder", (level,))] if level and width else []
            for level, width in enumerate(widths)
        ]

    @property
    def deepest(self) -> Place:
        """Where the coarsest features leave the encoder; DPT's also returns other tokens."""
        return Place("net.encoder", (0, -1) if type(self.net).__name__ == "DPT" else (-1,))

    @property
    def encoder(self) -> nn.Module:
        """The part that load_encoder fills, and that may deserve a smaller learning rate."""
        return self.net.get_submodule("encoder")


def smp(
    in_channels: int,
    classes: int,
    *,
    architecture: str = "Unet",
    encoder: PlainName = "resnet34",
    encoder_weights: PlainName | None = None,
    options: Options | None = None,
    encoder_options: Options | None = None,
) -> LibraryNet:
    """Network of segmentation-models-pytorch: an architecture on an encoder.

    architecture: Unet, UnetPlusPlus, FPN, DeepLabV3Plus, ... (PAN gets 128 pixels a side or more).
    encoder: the library's own name, or `tu-` and any timm name.
    encoder_weights: None touches no network; a name ("imagenet"; for `tu-` encoders the variant
    is a tag of their own name) downloads the weights while building.
    options: further arguments of that architecture (decoder_channels, encoder_depth, ...).
    encoder_options: arguments of the timm model behind a `tu-` encoder (drop_path_rate, ...).
    Neither may load anything: see gutseg.models.limits.
    Parameters that the forward never reaches (stages below encoder_depth, leftover heads) are
    frozen: an optimiser has nothing to do there, and DistributedDataParallel would stop at them.
    Source: github.com/qubvel-org/segmentation_models.pytorch (MIT).
    """
    size = (encoder_options or {}).get("img_size", 128)
    if max(size if isinstance(size, list) else [size]) > MOST_PIXELS:
        raise ValueError(f"encoder_options.img_size is {size}; at most {MOST_PIXELS} are possible")
    constructor = _architecture(architecture)
    options = _checked_options(constructor, architecture, options or {})
    _check_encoder(encoder)
    if encoder_options and not encoder.startswith("tu-"):
        raise ValueError(f"encoder_options: only `tu-` encoders take them, found {encoder!r}")
    _check_apart(constructor, encoder_options or {})
    weights = None if encoder_weights is None else _weights(encoder, encoder_weights)

    construct = partial(
        _construct, constructor, encoder, classes, options | (encoder_options or {})
    )
    shapes = check_size(partial(construct, in_channels, None))
    model = construct(in_channels, None)
    model.seen = seen_by(encoder, encoder_weights)
    model.example = (size, size) if isinstance(size, int) else (size[0], size[1])
    if weights is not None:
        # The library's own adaptation to other channel counts repeats red and green more often
        # than blue; ours keeps the response to a grey image.
        load_encoder(model, _fetched(partial(construct, 3, weights), encoder).encoder.state_dict())
    try:
        _freeze_unreached(model, shapes or model, in_channels)
    except AssertionError as error:  # how timm refuses a size
        raise ValueError(
            f"encoder {encoder!r} takes one image size only ({error}); encoder_options can set "
            "img_size, or lift the limit: strict_img_size (Swin), dynamic_img_size (ViT)"
        ) from error
    return model


def on_encoder(
    architecture: str, encoder: str = "resnet34", encoder_options: Options | None = None
) -> Callable[..., LibraryNet]:
    """Return the builder of one architecture's row; encoder, encoder_options: its defaults."""
    default, default_options = encoder, encoder_options

    def build(
        in_channels: int,
        classes: int,
        *,
        encoder: PlainName = default,
        encoder_weights: PlainName | None = None,
        options: Options | None = None,
        encoder_options: Options | None = default_options,
    ) -> LibraryNet:
        return smp(
            in_channels,
            classes,
            architecture=architecture,
            encoder=encoder,
            encoder_weights=encoder_weights,
            options=options,
            encoder_options=encoder_options,
        )

    build.__doc__ = f"{architecture} of segmentation-models-pytorch; parameters as for `smp`."
    return build


def _construct(
    constructor: type[nn.Module],
    encoder: str,
    classes: int,
    options: dict[str, Any],
    channels: int,
    published: str | bool | None,
) -> LibraryNet:
    try:
        net: Any = constructor(
            encoder_name=encoder,
            encoder_weights=published,
            in_channels=channels,
            classes=classes,
            **options,
        )
    except ValueError as error:
        raise ValueError(f"{constructor.__name__} on {encoder!r}: {brief(error)}") from error
    # DPT halves its coarsest map once more; the others check for the encoder's stride.
    halved = 2 if constructor.__name__ == "DPT" else 1
    # PAN's pyramid pools a map of stride 16 three times.
    smallest = 128 if constructor.__name__ == "PAN" else 1
    return LibraryNet(net, net.encoder.output_stride * halved, smallest=smallest)


def _fetched(construct: Callable[[], LibraryNet], encoder: str) -> LibraryNet:
    """Build a network with published weights; whatever the download raises becomes a sentence."""
    try:
        return construct()
    except Exception as error:
        raise ValueError(
            f"the published weights of {encoder!r} could not be fetched ({brief(error)}); is there "
            "a network? Else give a local file as model.encoder_weights"
        ) from error


def _architecture(name: str) -> type[nn.Module]:
    # Imported here because it costs seconds, which `import gutseg.models` should not.
    import segmentation_models_pytorch as library

    table = {cls.__name__: cls for cls in library.MODEL_ARCHITECTURES_MAPPING.values()}
    if name not in table:
        raise ValueError(f"unknown architecture {shown(name)}; {suggest(name, list(table))}")
    return table[name]


def _checked_options(
    constructor: type[nn.Module], architecture: str, options: dict[str, Any]
) -> dict[str, Any]:
    allowed = set(inspect.signature(constructor.__init__).parameters) - _RESERVED
    for key in options:
        if key not in allowed:
            raise ValueError(
                f"options: {architecture} has no {shown(key)}; {suggest(key, sorted(allowed))}"
            )
    return options


def _check_apart(constructor: type[nn.Module], encoder_options: dict[str, Any]) -> None:
    for key in encoder_options:
        if key in inspect.signature(constructor.__init__).parameters:
            hint = "the pipeline sets it" if key in _RESERVED else "write it under options"
            raise ValueError(
                f"encoder_options: {shown(key)} belongs to {constructor.__name__}, not to its "
                f"encoder; {hint}"
            )


def _check_encoder(name: str) -> None:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if name in encoders or (name.startswith("tu-") and timm.is_model(name.removeprefix("tu-"))):
        return
    known = [*encoders, *(f"tu-{model}" for model in timm.list_models())]
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    raise ValueError(
        f"unknown encoder {shown(name)}; close names: {', '.join(close) or 'none'}; choices: "
        f"the {len(encoders)} of segmentation-models-pytorch, or tu-<any timm model>"
    )


def _weights(encoder: str, weights: str) -> str | bool:
    """Check encoder_weights and translate it into what the library expects for this encoder."""
    from segmentation_models_pytorch.encoders import encoders

    if encoder.startswith("tu-"):
        if weights != "imagenet":
            raise ValueError(
                f"encoder_weights {weights!r}: for timm encoders write 'imagenet', "
                f"and the variant as a tag of the name: {encoder}.<tag>"
            )
        return True
    choices = list(encoders[encoder]["pretrained_settings"])
    if weights not in choices:
        raise ValueError(f"unknown encoder_weights {shown(weights)}; {suggest(weights, choices)}")
    return weights


def _freeze_unreached(model: LibraryNet, shapes: nn.Module, in_channels: int) -> None:
    """Freeze the parameters that get no gradient on one blank image.

    shapes: the same network as shapes, where it could be built so, else the network itself.
    """
    parameters = list(shapes.parameters())
    training = shapes.training
    shapes.eval()
    with torch.enable_grad():
        blank = torch.zeros(1, in_channels, *model.example, device=parameters[0].device)
        gradients = torch.autograd.grad(shapes(blank).sum(), parameters, allow_unused=True)
    shapes.train(training)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
