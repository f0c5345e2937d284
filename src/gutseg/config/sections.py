"""Every section of a config with its defaults, ranges and checks."""

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from gutseg.config.losses import check_fit, check_loss
from gutseg.config.values import (
    LARGEST_SIDE,
    Count,
    Name,
    Natural,
    Place,
    Positive,
    Seed,
    Share,
    check_batch,
)
from gutseg.constants import BLACKLISTS, CLASSES
from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.index import SCAN_FOLDER
from gutseg.losses import LOSSES, modes, rows_inside
from gutseg.metrics.competition import METRICS
from gutseg.models import MODELS
from gutseg.registry import Spec, check, not_bool, shown, suggest

Side = Annotated[int, Field(ge=16, le=LARGEST_SIDE)]
Choice = BeforeValidator(not_bool)


class Section(BaseModel):
    """A part of the config; an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


class Stack(Section):
    """The neighbouring slices that become channels."""

    slices: Annotated[Literal[1, 3, 5, 7], Choice] = 5
    stride: Annotated[Literal[1, 2, 3], Choice] = 1
    edge: Literal["clamp", "reflect", "blank"] = "clamp"


class Scaling(Section):
    """How 16-bit grey values become [0, 1]; low and high are percentiles of the scan."""

    kind: Literal["stack", "scan", "percentile"] = "percentile"
    low: Annotated[float, Field(ge=0, lt=100)] = 1.0
    high: Annotated[float, Field(gt=0, le=100)] = 99.5


class Geometry(Section):
    """How native slices become the network's input size (height, width)."""

    kind: Literal["resize", "pad", "body"] = "resize"
    size: tuple[Side, Side] = (320, 384)
    margin: Annotated[int, Field(ge=0, le=LARGEST_SIDE)] = 8


class Data(Section):
    """Where the slices come from and which of them an epoch sees."""

    cache: Place = Path("cache")
    folds: Place = Path("folds/organs_5fold.csv")
    blacklist: list[str] = []
    empty_share: Share = 1.0

    @field_validator("blacklist")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in BLACKLISTS and not SCAN_FOLDER.fullmatch(name):
                raise ValueError(
                    f"{shown(name)} is neither a scan (case7_day0) nor a list; "
                    f"{suggest(name, list(BLACKLISTS))}"
                )
        return names

    @property
    def excluded(self) -> set[str]:
        """The scans that the blacklist names, directly or by list."""
        return {scan for name in self.blacklist for scan in BLACKLISTS.get(name, (name,))}


class Component(Section):
    """A row of a table of components and its parameters."""

    name: str
    params: dict[str, Any] = {}


class Model(Component):
    """The network; encoder_weights is a local file, nothing is ever fetched for it."""

    name: str = "hybrid4"
    encoder_weights: Place | None = None


class Loss(Component):
    """The loss. class_weights: a row of WEIGHTS, computed from the training folds alone.

    maps: parameters of the maps that the loss needs, by name.
    """

    name: str = "bce_dice"
    class_weights: str | None = None
    maps: dict[str, dict[str, Any]] = {}


class Optimizer(Section):
    """Adam, AdamW or SGD; the learning rate is a pure function of the step."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    # float32, in which the optimiser computes, ends at 3e38
    lr: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.01
    momentum: Share = 0.9
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final_lr_ratio: Share = 0.01
    power: Positive = 0.9


class Train(Section):
    """The loop: budget, batches, stopping, averaging, precision."""

    epochs: Count = 40
    steps_per_epoch: Count | None = None
    batch_size: Count = 16
    accumulate: Count = 1
    clip_norm: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Count | None = None
    monitor: Literal["score", "dice", "val_loss"] = "score"
    score_every: Count = 1
    amp: bool = True
    channels_last: bool = False
    compile: bool = False
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    tensorboard: bool = True
    wandb: bool = False


class Predict(Section):
    """Inference: flips whose predictions are averaged."""

    batch_size: Count = 16
    tta: Literal["none", "hflip", "flips"] = "none"


class Config(Section):
    """A whole experiment."""

    name: Name
    seed: Seed = 0
    runs: Place = Path("runs")
    data: Data = Data()
    stack: Stack = Stack()
    scaling: Scaling = Scaling()
    geometry: Geometry = Geometry()
    augment: Component = Component(name="none")
    model: Model = Model()
    loss: Loss = Loss()
    optim: Optimizer = Optimizer()
    train: Train = Train()
    predict: Predict = Predict()

    def model_post_init(self, _: Any) -> None:
        """Check the components' names and parameters against their tables."""
        tables = (("augment", AUGMENTATIONS), ("model", MODELS))
        for key, table in tables:
            _check_component(table, getattr(self, key), key)
        _check_loss(self.loss)
        for key in ("train", "predict"):
            batch = getattr(self, key).batch_size
            check_batch(f"{key}.batch_size", batch, self.stack.slices, self.geometry.size)


class Member(Section):
    """A trained run in a blend; its folds are averaged. run: relative to the blend's file."""

    run: Place
    folds: Annotated[list[Natural], Field(min_length=1)]
    weight: Positive = 1.0
    tta: Literal["none", "hflip", "flips"] = "none"

    @field_validator("folds")
    @classmethod
    def _once(cls, folds: list[int]) -> list[int]:
        for fold, count in Counter(folds).items():
            if count > 1:
                raise ValueError(f"fold {fold} is listed twice; list every fold once")
        return folds


class OrganRule(Section):
    """How one class becomes a mask; see gutseg.inference.postprocess.Rule."""

    threshold: Share = 0.5
    min_component_size: Natural = 0
    gate: Share = 0.0


class Rules(Section):
    """One rule a class."""

    large_bowel: OrganRule = OrganRule()
    small_bowel: OrganRule = OrganRule()
    stomach: OrganRule = OrganRule()


class Blend(Section):
    """What submit needs beside images and weights; score: out of fold, under metric."""

    members: Annotated[list[Member], Field(min_length=1)]
    rules: Rules = Rules()
    metric: str = "default"
    score: float | None = None

    @field_validator("members")
    @classmethod
    def _once(cls, members: list[Member]) -> list[Member]:
        names = [os.path.normpath(member.run) for member in members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"run {twice[0]} is listed twice; list it once, with all its folds and one weight"
            )
        return members

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"unknown name {shown(metric)}; {suggest(metric, list(METRICS))}")
        return metric


def _check_component(table: dict[str, Spec], component: Component, key: str) -> None:
    params = check(table, component.name, component.params, where=key)
    component.params.update(params)


def _check_loss(loss: Loss) -> None:
    asked = loss.params.get("mode")
    check_loss(loss, "loss")
    for name, _, key in rows_inside(loss.name, loss.params):
        if "multilabel" not in modes(name):
            fitting = [row for row in LOSSES if "multilabel" in modes(row)]
            raise ValueError(
                f"{key}: {name!r} needs classes that exclude each other, but organs overlap; "
                f"choices: {', '.join(fitting)}"
            )
    if asked == "multiclass":
        raise ValueError("loss.params.mode: 'multiclass', but organs overlap; leave it out")
    loss.params["mode"] = "multilabel"
    check_fit(loss, "loss", "multilabel", len(CLASSES))
