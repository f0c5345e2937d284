"""Test-time augmentation: looks at an image whose predictions are averaged."""

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from gutseg.data.inputs import Inputs, Stack

# steps between the slices of a stack that Stack.stride takes
STRIDES = (1, 2, 3)


@dataclass(frozen=True)
class Look:
    """What is done to an image before the network sees it, and undone to what that says."""

    # axes of (B, C, H, W) that are mirrored; undone exactly
    flips: tuple[int, ...] = ()
    # pixels down and to the right that it is moved by; what leaves enters on the other side, where
    # a whole slice shows air, but a window of the body may not; undone exactly
    shift: tuple[int, int] = (0, 0)
    # of the sides; images and probabilities are interpolated
    scale: float = 1.0
    # added to the step between the slices of a stack, within STRIDES; there is nothing to undo
    stride: int = 0

    def there(self, images: Tensor) -> Tensor:
        """Return images (B, S, h, w) as the network sees them."""
        if self.flips:
            images = images.flip(self.flips)
        if any(self.shift):
            images = images.roll(self.shift, (2, 3))
        if self.scale != 1:
            sides = [max(round(side * self.scale), 1) for side in images.shape[2:]]
            images = functional.interpolate(images, sides, mode="bilinear")
        return images

    def back(self, found: Tensor, size: tuple[int, int]) -> Tensor:
        """Return probabilities (B, C, ...) of what `there` made at their places: (B, C, h, w)."""
        if self.scale != 1:
            found = functional.interpolate(found, size, mode="bilinear")
        if any(self.shift):
            found = found.roll([-step for step in self.shift], (2, 3))
        return found.flip(self.flips) if self.flips else found


# What is averaged besides the image as it is; the keys are settings.Tta.
LOOKS: dict[str, tuple[Look, ...]] = {
    "none": (),
    "hflip": (Look(flips=(3,)),),
    "flips": (Look(flips=(3,)), Look(flips=(2,)), Look(flips=(2, 3))),
    # a quarter of the 32 pixels that most encoders shrink to one
    "shifts": (Look(shift=(8, 8)), Look(shift=(-8, -8))),
    "scales": (Look(scale=0.875), Look(scale=1.125)),
    "strides": (Look(stride=-1), Look(stride=1)),
}


def passes(tta: str) -> int:
    """Return how often a network sees an image, at most."""
    return 1 + len(LOOKS[tta])


def looks(tta: str, stack: Stack) -> tuple[Look, ...]:
    """Return the looks of a row of LOOKS; those with a step outside STRIDES are left out.

    stack: as the network was trained. Raises ValueError for other steps in a stack of one slice.
    """
    found = tuple(look for look in LOOKS[tta] if stack.stride + look.stride in STRIDES)
    if stack.slices == 1 and any(look.stride for look in found):
        problem = "looks at other steps between slices, and this network sees one slice at a time"
        raise ValueError(f"tta: {tta} {problem}; choose another")
    return found


def with_strides(inputs: Inputs, seen: tuple[Look, ...]) -> list[Inputs]:
    """Return what the looks with other steps between slices see, in their order."""
    stack = inputs.stack
    return [
        replace(inputs, stack=stack.model_copy(update={"stride": stack.stride + look.stride}))
        for look in seen
        if look.stride
    ]
