"""What a config says of a network's inputs: stacks of slices, grey values, window."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gutseg.registry import not_bool
from gutseg.settings import LARGEST_SIDE, GivenPath, Section, Share, Side


class Stack(Section):
    """The neighbouring slices that become channels."""

    # slices of one input, its centre slice included; odd, so that there is a centre
    slices: Annotated[Literal[1, 3, 5, 7], BeforeValidator(not_bool)] = 5
    # every slice, every second or every third one
    stride: Annotated[Literal[1, 2, 3], BeforeValidator(not_bool)] = 1
    # beyond the first and the last slice: clamp repeats it, reflect mirrors, blank gives zeros
    edge: Literal["clamp", "reflect", "blank"] = "clamp"


class Scaling(Section):
    """How 16-bit grey values become [0, 1]."""

    # stack: by the maximum of each stack (1st place of the competition); scan: by that of the
    # scan; percentile: its low and high percentile become 0 and 1, values beyond are clipped;
    # zscore: so do its mean minus (black at least) and plus `deviations` standard deviations;
    # zscore_body: those of the voxels that are not air
    kind: Literal["stack", "scan", "percentile", "zscore", "zscore_body"] = "percentile"
    # of kind percentile alone: becomes 0
    low: Annotated[float, Field(ge=0, lt=100)] = 1.0
    # of kind percentile alone: becomes 1
    high: Annotated[float, Field(gt=0, le=100)] = 99.5
    # of the kinds zscore and zscore_body alone
    deviations: Annotated[float, Field(ge=0.5, le=20)] = 4.0

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g}, high = {self.high:g}; expected low < high")
        return self


class Geometry(Section):
    """How native slices become the network's input."""

    # resize: the whole slice is stretched; pad: it lies in the middle, not resampled; body: the
    # body and a margin are stretched; organs: so is the part of the body where the training scans
    # show objects; found: so is the box of all that another run predicts in the scan; native: the
    # slice as it is, of whatever size
    kind: Literal["resize", "pad", "body", "organs", "found", "native"] = "resize"
    # [height, width] of the input in pixels; not used by kind native
    size: tuple[Side, Side] = (320, 384)
    # of the kinds body, organs and found alone: pixels around the body, that part of it, or the box
    margin: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 8
    # of kind organs alone: [top, bottom, left, right] of that part as shares of the body; training
    # learns it from the scans of its own folds and writes it into the run's config.yaml
    box: tuple[Share, Share, Share, Share] | None = None
    # of kind found alone: a finished run of the same folds, whose network finds the box; training
    # copies it, fold by fold, into the folders of its own folds
    from_run: GivenPath | None = None

    @property
    def by_scan(self) -> bool:
        """Whether every scan has a window of its own."""
        return self.kind in ("body", "organs", "found")

    @model_validator(mode="after")
    def _of_a_run(self) -> "Geometry":
        if self.kind == "found" and self.from_run is None:
            raise ValueError("kind found needs from_run, the run whose network finds the box")
        if self.kind != "found" and self.from_run is not None:
            problem = f"from_run {self.from_run} finds boxes for kind found alone"
            raise ValueError(f"{problem}, and kind is {self.kind}; set it to null")
        return self
