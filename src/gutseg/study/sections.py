"""What can stand in a config of `gutseg bench`, with defaults, ranges and checks."""

import json
import re
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gutseg.config.losses import check_fit, check_loss
from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.sources.labelled import Labelled, folds
from gutseg.losses import Criterion, with_class_weights
from gutseg.models import MODELS
from gutseg.registry import check, shown
from gutseg.settings import (
    LARGEST_SIDE,
    Count,
    Name,
    Natural,
    Place,
    Positive,
    Section,
    Seed,
    check_batch,
)

Side = Annotated[int, Field(ge=8, le=LARGEST_SIDE)]
Patch = tuple[Side, Side]
# together, of loss, network and input: a cell's folder is named after them and four numbers,
# and file systems end at 255
LONGEST_LABELS = 180
# cells of a grid; the largest of the papers' has 396
MOST_CELLS = 100_000

# Averages over classes that a cell measures; `_fg` leaves the background out.
SCORES = ("iou", "iou_fg", "dice", "dice_fg", "precision", "recall", "accuracy")


class Source(Section):
    """The data: a row of DATASETS and its folder."""

    name: str
    folder: Place
    params: dict[str, Any] = Field({})


class Contender(Section):
    """A component under comparison; label: its name in tables and folders."""

    name: str
    params: dict[str, Any] = Field({})
    label: str = ""

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, content: Any) -> Any:
        """Label a contender by its name and what its config says of it."""
        if not isinstance(content, dict) or content.get("label"):
            return content
        said = dict(content.get("params") or {})
        if content.get("class_weights"):
            said["class_weights"] = content["class_weights"]
        inside = ", ".join(f"{key}={_short(value)}" for key, value in said.items())
        name = str(content.get("name", ""))
        return content | {"label": f"{name}({inside})" if inside else name}


class Loss(Contender):
    """A loss. class_weights: a row of WEIGHTS, from the shares in the training images alone.

    maps: parameters of the maps that the loss needs, by name.
    """

    class_weights: str | None = None
    maps: dict[str, dict[str, Any]] = Field({})


class Network(Contender):
    """A network."""


class Budget(Section):
    """What every cell may spend on training: exactly one of the two."""

    steps: Count | None = None
    seconds: Positive | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "Budget":
        if (self.steps is None) == (self.seconds is None):
            raise ValueError(
                f"steps {self.steps} and seconds {self.seconds}: give exactly one of them"
            )
        return self


class Input(Section):
    """What a cell sees: the channels of the images, all without a list, and how crops vary.

    Quarter turns of oblong patches are half turns. preset, params: a row of AUGMENTATIONS, done
    after flips and turns. label: its name in tables and folders, empty for a single input.
    """

    label: str = ""
    channels: list[Natural] | None = Field(None, min_length=1)
    flips: bool = True
    quarter_turns: bool = True
    preset: str = "none"
    params: dict[str, Any] = Field({})


class Optimizer(Section):
    """As in gutseg.config; the learning rates stand in `lrs`."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["cosine", "poly", "constant"] = "constant"
    final_lr_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01


class BestWith(Section):
    """A second network for the `count` losses that are best with the first one."""

    network: Network
    count: Count = 4


class Bench(Section):
    """A whole comparison.

    inputs: what cells see, an axis of the grid as losses and networks are. background_from: the
    loss of a second network, objects against background, that every cell trains too; its
    background is then laid over the first one's prediction.
    score: the average by which losses are ranked. tile: held-out images larger than this are
    predicted in tiles. hard_shares: numbers n for which the classes of the n hardest pixels of
    each held-out image are counted. tail: the last training steps whose Dice is kept.
    channels_last: memory format of weights and planes; on a CPU a step takes a quarter less time.
    """

    name: Name
    dataset: Source
    losses: list[Loss] = Field(min_length=1)
    networks: list[Network] = Field(min_length=1)
    budget: Budget
    inputs: list[Input] = Field([Input()], min_length=1)
    background_from: Loss | None = None
    lrs: list[Positive] = Field([1e-3], min_length=1)
    patches: list[Patch] = Field([(128, 128)], min_length=1)
    seeds: list[Seed] = Field([0, 1, 2], min_length=1)
    folds: Annotated[int, Field(ge=2, le=1000)] = 2
    only_folds: list[Natural] | None = None
    fold_seed: Seed = 0
    batch_size: Count = 8
    optim: Optimizer = Optimizer()
    best_with: BestWith | None = None
    score: Literal[SCORES] = "iou"
    tile: Annotated[int, Field(ge=32, le=LARGEST_SIDE)] = 512
    hard_shares: list[Count] = Field([])
    tail: Natural = 0
    channels_last: bool = False
    tables: list[str] = Field(["main"])

    def model_post_init(self, _: Any) -> None:
        """Check names and parameters against their tables."""
        for number, loss in enumerate(self.losses):
            check_loss(loss, f"losses.{number}")
        for key, network in self._named_networks():
            network.params.update(check(MODELS, network.name, network.params, where=key))
        if self.background_from:
            check_loss(self.background_from, "background_from")
        for number, seen in enumerate(self.inputs):
            seen.params.update(
                check(AUGMENTATIONS, seen.preset, seen.params, where=f"inputs.{number}")
            )
        _check_distinct([loss.label for loss in self.losses], "losses")
        _check_distinct([seen.label for seen in self.inputs], "inputs")
        _check_distinct([network.label for _, network in self._named_networks()], "networks")
        for fold in self.only_folds or []:
            if fold >= self.folds:
                raise ValueError(f"only_folds: {fold}; choices: 0 to {self.folds - 1}")
        for key in ("lrs", "patches", "seeds", "only_folds"):
            _check_once(getattr(self, key) or [], key)
        self._check_size()

    def _check_size(self) -> None:
        """Raise ValueError for a grid or a batch that no machine could hold."""
        axes = ("losses", "inputs", "lrs", "patches", "seeds")
        count = prod(len(getattr(self, key)) for key in axes)
        count *= len(self.chosen_folds) * len(self._named_networks())
        if count > MOST_CELLS:
            raise ValueError(f"the grid has {count} cells; at most {MOST_CELLS} are allowed")
        named = (self.losses, [network for _, network in self._named_networks()], self.inputs)
        longest = [max((slug(part.label) for part in parts), key=len) for parts in named]
        if sum(map(len, longest)) > LONGEST_LABELS:
            raise ValueError(
                f"{shown(max(longest, key=len))} is too long for a folder's name; give a `label`"
            )
        for number, patch in enumerate(self.patches):
            check_batch(f"patches.{number} with batch_size", self.batch_size, 1, patch)

    def _named_networks(self) -> list[tuple[str, Network]]:
        named = [(f"networks.{number}", network) for number, network in enumerate(self.networks)]
        return named + ([("best_with.network", self.best_with.network)] if self.best_with else [])

    def describe(self) -> str:
        """Say on what data and with what budget the cells were trained, for the page."""
        budget = self.budget
        spent = f"{budget.steps} steps" if budget.steps else f"{budget.seconds:g} s"
        ways = "; ".join(map(_variations, self.inputs))
        return (
            f"Data: {self.dataset.name}. Every cell trains {spent} on batches of "
            f"{self.batch_size} crops with {self.optim.name}, learning rate "
            f"{self.optim.schedule}; {len(self.seeds)} seeds × {len(self.chosen_folds)} of "
            f"{self.folds} folds. Crops are augmented by {ways}. Within a seed and a fold all "
            "losses see the same crops in the same order, and a network starts from the same "
            "weights."
        )

    @property
    def chosen_folds(self) -> list[int]:
        """The folds that are run."""
        return list(range(self.folds)) if self.only_folds is None else self.only_folds


def criterion(loss: Loss, data: Labelled, class_weights: list[float] | None = None) -> Criterion:
    """Build a loss for the data's mode; raises ValueError when it cannot work in it."""
    params = {key: value for key, value in loss.params.items() if key != "mode"}
    if class_weights:
        params = with_class_weights(loss.name, params, class_weights)
    return Criterion(loss.name, mode=data.mode, **params)


def check_data(bench: Bench, data: Labelled) -> None:
    """Raise ValueError when the data cannot be so divided, or a loss cannot work on it."""
    folds(data, bench.folds, bench.fold_seed)
    for number, seen in enumerate(bench.inputs):
        for channel in seen.channels or []:
            if channel >= data.channels:
                known = f"{bench.dataset.name} has 0 to {data.channels - 1}"
                raise ValueError(f"inputs.{number}.channels: {channel}; {known}")
    if bench.background_from and data.mode == "multilabel":
        raise ValueError(f"background_from: the classes of {bench.dataset.name} may overlap")
    classes = len(data.classes)
    sections = [(f"losses.{number}", loss, classes) for number, loss in enumerate(bench.losses)]
    if bench.background_from:
        sections.append(("background_from", bench.background_from, 2))  # objects and background
    for where, loss, number in sections:
        try:
            check_fit(loss, where, data.mode, number)
        except ValueError as error:
            raise ValueError(f"{error} (dataset {bench.dataset.name})") from None


def _variations(seen: Input) -> str:
    """Say how an input's crops vary, after its name where it has one."""
    ways = [
        *(["flips"] if seen.flips else []),
        *(["quarter turns"] if seen.quarter_turns else []),
        *([seen.preset] if seen.preset != "none" else []),
    ]
    name = f"{seen.label}: " if seen.label else ""
    return name + (" and ".join(ways) or "nothing")


def slug(text: str) -> str:
    """Return text as a part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _check_distinct(labels: list[str], where: str) -> None:
    """Labels become folder names: they must differ there too."""
    seen = {}
    for label in labels:
        if (short := slug(label)) in seen:
            raise ValueError(f"{where}: {label!r} and {seen[short]!r} need labels that differ")
        if not label.isprintable() or (label and not short):
            raise ValueError(f"{where}: the label {shown(label)} cannot name a folder")
        seen[short] = label


def _check_once(values: list, key: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{key}: {value} is listed twice")
        seen.add(value)
