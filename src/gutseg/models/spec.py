"""The row of a network."""

from dataclasses import dataclass
from importlib.util import find_spec
from inspect import signature

from gutseg.registry import Spec


@dataclass(frozen=True)
class NetSpec(Spec):
    """One row of MODELS: what builds a network, where it is from and what it can take."""

    # of the code that runs: the library's, or ours
    licence: str = "MIT"
    # 2 for images (B, S, H, W), 3 for volumes (B, S, Z, H, W); with both, the builder has `dims`
    dims: tuple[int, ...] = (2,)
    # sides are padded to a multiple of it and the logits cut back; with the default parameters
    stride: int = 1
    # what the bare network cannot take and how that is handled, where `stride` does not say it
    sizes: str = ""
    # whether the outputs of deep supervision all have the image's size, paths rather than scales
    paths: bool = False
    # whether attention sees all of an image: tiles of a large one are answered otherwise
    whole: bool = False
    # where features leave the encoder's levels of a U-shaped network, from full resolution down
    # ("": nowhere), and where the deepest do, the last level's unless it is given; as text for
    # gutseg.models.places, where the network does not say so itself
    levels: tuple[str, ...] = ()
    deepest: str = ""
    # whether torch.onnx can export it: not where a padded size is pooled to a fixed one, or
    # positions are interpolated with antialiasing
    onnx: bool = True
    # the module of an optional package, without which it cannot be built
    package: str = ""

    @property
    def installed(self) -> bool:
        """Whether it can be built here."""
        return not self.package or find_spec(self.package) is not None

    @property
    def is_supervised(self) -> bool:
        """Whether it has deep supervision where nothing says otherwise."""
        own = signature(self.build).parameters.get("deep_supervision")
        return own is not None and bool(own.default)

    @property
    def handled(self) -> str:
        """What sizes the bare network takes, and how others are handled."""
        usual = f"multiples of {self.stride}; padded and cut back" if self.stride > 1 else "any"
        return (self.sizes or usual) + ("; sees the whole image, better not tiled" * self.whole)
