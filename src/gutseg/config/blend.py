"""The sections of a blend.yaml, with defaults, ranges and checks."""

import os
from collections import Counter
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, field_validator
from pydantic.dataclasses import dataclass

from gutseg.data.folds import FULL, Held
from gutseg.metrics.competition import METRICS
from gutseg.registry import require, shown
from gutseg.settings import (
    MOST_FOLDS,
    Count,
    GivenPath,
    Natural,
    NotNegative,
    Positive,
    Section,
    Share,
    Tta,
)


def _held(value: Any) -> Held:
    number = not isinstance(value, bool) and isinstance(value, int) and 0 <= value < MOST_FOLDS
    if not number and value != FULL:
        raise ValueError(f"found {shown(value)}, expected the number of a fold, or {FULL}")
    return value


class Predicted(Section):
    """A trained run that predicts; its folds are averaged."""

    # its folder, relative to the blend's file
    run: GivenPath
    # the folds whose networks predict; full is the network of `gutseg train --fold full`
    folds: Annotated[list[Annotated[Held, PlainValidator(_held)]], Field(min_length=1)]
    # looks at a slice whose predictions are averaged, as in predict.tta
    tta: Tta = "none"

    @field_validator("folds")
    @classmethod
    def _once(cls, folds: list[Held]) -> list[Held]:
        if twice := [fold for fold, count in Counter(folds).items() if count > 1]:
            raise ValueError(f"fold {twice[0]} is listed twice; list every fold once")
        return folds


class Member(Predicted):
    """A run whose classes are blended."""

    # of the run in the mean over runs; the folds of a run share it
    weight: Positive = 1.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Rule:
    """How one class becomes a mask."""

    # a voxel belongs to the organ from this probability on
    threshold: Share = 0.5
    # 26-connected components of fewer voxels are dropped: one false speck far away costs more
    # Hausdorff distance than it can bring Dice
    min_component_size: Natural = 0
    # a slice keeps the organ only when its highest probability reaches this (1st place: .5 over a
    # threshold of .4)
    gate: Share = 0.0
    # pixels of a slice that must reach gate and threshold both, before components are dropped
    # (more than 12 above .6: [Carno 2022])
    gate_pixels: Count = 1
    # components of less than this are dropped, in ml: it means the same for pixels of any size
    min_component_ml: NotNegative = 0.0
    # slices in a row that show the organ; shorter rows lose it (3: [Hesene 2022]). A row that ends
    # where a slice was not predicted may go on there and stays; the scan's ends are ends
    min_run: Count = 1
    # holes of so many pixels that a slice's mask encloses are filled, last of all
    fill_holes: Natural = 0
    # then the convex hull of a component of a slice is added where it adds at most this share of
    # the component's pixels
    hull: Share = 0.0


class Rules(Section):
    """One rule a class."""

    large_bowel: Rule = Rule()
    small_bowel: Rule = Rule()
    stomach: Rule = Rule()


class Blend(Section):
    """What submit needs besides images and weights."""

    # the runs whose probabilities are averaged
    members: Annotated[list[Member], Field(min_length=1)]
    rules: Rules = Rules()
    # the run that says where there is no organ at all, whatever the members say; null: none
    background: Predicted | None = None
    # the run of the same classes whose probabilities the rules' gates look at, a classifier for
    # instance; a class of gate 0 is then not gated; null: the members' mean
    gate_by: Predicted | None = None
    # the reading of the competition's metric that the rules were chosen under
    metric: str = "default"
    # out of fold
    score: float | None = None

    @property
    def used(self) -> list[Predicted]:
        """All runs that predict: members, then background and gate where there are any."""
        return [*self.members, *filter(None, [self.background, self.gate_by])]

    def model_post_init(self, _: Any) -> None:
        """Check that every run is listed once, and the metric's name."""
        names = [os.path.normpath(member.run) for member in self.members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            remedy = "list it once, with all its folds and one weight"
            raise ValueError(f"members: run {twice[0]} is listed twice; {remedy}")
        require(self.metric, METRICS, "metric")
