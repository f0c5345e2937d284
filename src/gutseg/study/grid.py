"""The config of a study and its cells: a base config, and axes whose values are put into it."""

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from gutseg.config import Config, validate
from gutseg.config.files import flat, put, read_with
from gutseg.data.sources import mode_of
from gutseg.registry import shown
from gutseg.settings import LONGEST_NAME, Count, Name, Section
from gutseg.study.axes import ORDER, Axis, Choice, check_key, given_label, read_axes
from gutseg.study.cell import Cell

# cells of a grid; the largest of the papers' has 396
MOST_CELLS = 100_000
# Averages over classes, pooled over pixels; `_fg` leaves the background out.
Pooled = Literal["iou", "iou_fg", "dice", "dice_fg", "precision", "recall", "accuracy"]
# The competition's, for sources with volumes; of a hausdorff less is better: it cannot rank.
OfVolumes = Literal["score", "competition_dice"]


class BestWith(Section):
    """Further cells, of what turned out best on the first axis."""

    # so many values of the first axis ...
    count: Count = 4
    # ... are also run with the values of these axes, which replace those of the same name
    axes: dict[str, Any]


class Study(Section):
    """A grid of trainings that differ in the values of some config keys alone."""

    name: Name
    # a config of one experiment, written out or as its file, relative to the study's
    base: dict[str, Any]
    # changes to the base: config key -> value
    set: dict[str, Any] = Field({})
    # config key -> its values, plain or {label, value}; or any other name -> {label, set: {config
    # key: value, ...}}. `fold` is an axis too; all folds are run without it
    axes: dict[str, Any]
    # what the best values of the first axis are also run with
    best_with: BestWith | None = None
    # the column by which losses are ranked
    score: Literal[Pooled, OfVolumes] = "iou"
    # the page's tables: rows of TABLES
    tables: list[str] = Field(["main"])
    # numbers n: the classes of the n hardest pixels of each held-out image are counted
    hard_pixels: list[Count] = Field([])
    # the loss of further cells, trained on objects against background, whose background is laid
    # over every other cell's prediction
    background_from: dict[str, Any] | None = None

    def model_post_init(self, _: Any) -> None:
        """Check every value of every axis, and that every cell has a folder of its own."""
        for key in flat(self.set):
            check_key(key, "set")
        for axes in filter(None, (self.first_axes, self.second_axes)):
            count = prod(map(len, axes))
            if count > MOST_CELLS:
                raise ValueError(f"the grid has {count} cells; at most {MOST_CELLS} are allowed")
            self._check_values(axes)
        self._check_names()
        if self.background_from is not None:
            source = self.first_config.data.source
            if mode_of(source) == "multilabel":
                raise ValueError(f"background_from: the classes of {source} may overlap")
            self.binary_cell(Cell(self.first_config, (), {}))

    @cached_property
    def first_axes(self) -> list[Axis]:
        """The axes of the grid."""
        return read_axes(self.axes, "axes")

    @cached_property
    def second_axes(self) -> list[Axis]:
        """The axes of what `best_with` adds, for all values of the first axis."""
        if self.best_with is None:
            return []
        others = read_axes(self.best_with.axes, "best_with.axes")
        names = {axis[0].axis for axis in others}
        if (first := self.first_axes[0][0].axis) in names:
            raise ValueError(f"best_with.axes: {first} is the axis whose best values are taken")
        return [axis for axis in self.first_axes if axis[0].axis not in names] + others

    def cells(self, folds: Sequence[int], runs: Path) -> list[Cell]:
        """Return every cell of the grid. folds: of the data; runs: the cells' folder."""
        return self._placed(self.first_axes, folds, runs)

    def describe(self) -> str:
        """Say in a paragraph on what data and with what budget the cells were trained."""
        config, train, optim = self.first_config, self.first_config.train, self.first_config.optim
        spent = {"steps": train.steps, "epochs": train.epochs, "s": train.seconds}
        budget = next(f"{value} {unit}" for unit, value in spent.items() if value)
        varied = [f"{axis[0].axis} ({len(axis)})" for axis in self.first_axes]
        said = (
            f"Data: {config.data.source}. Every cell trains {budget} on batches of "
            f"{train.batch_size} {'crops' if config.crop else 'images'} with {optim.name}, "
            f"learning rate {optim.schedule}. The cells differ in {', '.join(varied)}. Training "
            f"images are augmented by {'; '.join(self._augmentations())}. Within a seed and a fold "
            "all losses see the same images in the same order, and a network starts from the same "
            "weights."
        )
        if self.best_with is None:
            return said
        return said + (
            f" The best values of {self.first_axes[0][0].axis} (at most {self.best_with.count}) "
            f"are also run with other values of {', '.join(flat(self.best_with.axes))}. They are "
            f"chosen by {self.score} on these same held-out images, which flatters them in the "
            "grid and so the grid against what they are also run with."
        )

    def _augmentations(self) -> list[str]:
        """Say how training images vary, with the name of the input that they vary for."""
        inputs = [axis for axis in self.first_axes if axis[0].kind == "input"]
        others = [axis[0] for axis in self.first_axes if axis[0].kind != "input"]
        found: defaultdict[str, list[str]] = defaultdict(list)
        for choices in product(*inputs):
            config = self._cell([*others, *choices], "a cell").config
            crop, name = config.crop, config.augment.name
            ways = [
                ("flips", crop and crop.flips),
                ("quarter turns", crop and crop.quarter_turns),
                (name, name != "none"),
            ]
            said = " and ".join(way for way, done in ways if done)
            label = ", ".join(choice.label for choice in choices if choice.label)
            found[said or "nothing"].append(label)
        parts = [(", ".join(filter(None, labels)), ways) for ways, labels in found.items()]
        return [": ".join(filter(None, part)) for part in parts]

    def second_cells(self, cells: list[Cell], frame: pd.DataFrame) -> list[Cell]:
        """Return the cells that `best_with` adds.

        cells, frame: of the grid. A value of the first axis is as good as its mean over seeds
        and folds at the settings of the other axes that suit it best; no result counts 0. Cells
        of the grid are not run again.
        """
        if self.best_with is None or self.score not in frame:
            return []
        first, *others = self.second_axes
        scores = frame.set_index("id")[self.score].fillna(0)
        values = defaultdict(list)
        for cell in cells:
            labels = {choice.axis: choice.label for choice in cell.choices}
            value = labels.pop(first[0].axis)
            setting = tuple(label for axis, label in labels.items() if axis not in ("seed", "fold"))
            values[value, setting].append(scores[cell.id])
        best: dict[str, float] = {}
        for (value, _), found in values.items():
            best[value] = max(best.get(value, 0), sum(found) / len(found))
        chosen = sorted(best, key=best.__getitem__, reverse=True)[: self.best_with.count]
        kept = [choice for choice in first if choice.label in chosen]
        folds = list(dict.fromkeys(cell.fold for cell in cells))
        placed = self._placed([kept, *others], folds, cells[0].config.runs)
        return [cell for cell in placed if cell.id not in scores.index]

    @cached_property
    def first_config(self) -> Config:
        """The config of the first cell."""
        return self._cell([axis[0] for axis in self.first_axes], "the first cell").config

    def with_binary(self, cells: list[Cell]) -> list[Cell]:
        """Return cells, and after them those that `background_from` adds."""
        if self.background_from is None:
            return cells
        return cells + list({(b := self.binary_cell(cell)).id: b for cell in cells}.values())

    def binary_cell(self, cell: Cell) -> Cell:
        """Return the cell that differs from another in `background_from` and in its classes."""
        choices = [choice for choice in cell.choices if choice.kind != "loss"]
        changes = {"loss": self.background_from, "data.params.binary": True}
        made = self._cell(choices, "background_from", changes)
        labels = made.base_labels | {"loss": f"binary {given_label(self.background_from)}"}
        return replace(made, base_labels=labels).placed(cell.config.runs)

    def _placed(self, axes: list[Axis], folds: Sequence[int], runs: Path) -> list[Cell]:
        if not any(axis[0].kind == "fold" for axis in axes):
            axes = [*axes, [Choice("fold", "fold", str(n), {}, n, "axes.fold") for n in folds]]
        cells = [self._cell(choices, "a cell") for choices in _combined(axes)]
        if others := [cell.fold for cell in cells if cell.fold not in folds]:
            known = ", ".join(map(str, folds))
            raise ValueError(f"axes.fold: {others[0]}; the data has the folds {known}")
        return [cell.placed(runs) for cell in cells]

    def _cell(
        self, choices: Sequence[Choice], where: str, changes: dict[str, Any] | None = None
    ) -> Cell:
        """Build the cell that has these values; where names the source in errors."""
        content = copy.deepcopy(self.base)
        for settings in (flat(self.set), _together(choices), changes or {}):
            for key, value in settings.items():
                put(content, key, copy.deepcopy(value))
        config = validate(Config, content | {"name": "cell"}, where)
        labels = {
            kind: given_label(content.get(key) or {"name": getattr(config, key).name})
            for key, kind in (("loss", "loss"), ("model", "network"))
        }
        return Cell(config, tuple(choices), labels)

    def _check_values(self, axes: list[Axis]) -> None:
        """Combine every value with the first ones of the other axes."""
        first = {axis[0].axis: axis[0] for axis in axes}
        for choice in (choice for axis in axes for choice in axis):
            chosen = [*(first | {choice.axis: choice}).values()]
            try:
                config = self._cell(chosen, "").config
                if config.data.folds != self.first_config.data.folds:
                    raise ValueError("data.folds: all cells share their folds; make other studies")
            except ValueError as error:
                problem = str(error).removeprefix(": ")
                # a first value can fail with those of other axes; the key that is named has it
                guilty = [one for one in chosen if problem.startswith(tuple(one.settings))]
                raise ValueError(f"{(guilty or [choice])[0].where}: {problem}") from None

    def _check_names(self) -> None:
        """Raise ValueError unless every cell has a folder of its own, with a name that may be."""
        seen: dict[str, tuple[list[str], Config]] = {}
        for axes in filter(None, (self.first_axes, self.second_axes)):
            seedless = [axis for axis in axes if axis[0].kind not in ("seed", "fold")]
            for choices in _combined(seedless):
                cell = self._cell(choices, "a cell")
                name, labels = cell.folder_name, [choice.label for choice in choices]
                if len(name) > LONGEST_NAME:
                    longest = shown(max((cell.label, *labels), key=len))
                    raise ValueError(f"{longest} is too long for a folder's name; give a `label`")
                other, config = seen.setdefault(name, (labels, cell.config))
                if (other, config) != (labels, cell.config):
                    raise ValueError(
                        f"{labels} and {other} would share the folder {name}; give labels that "
                        "differ"
                    )


def read_study(path: Path, overrides: list[str] | None = None) -> Study:
    """Read a study and apply `key=value` overrides, as in axes.seed=[0] or set.train.steps=9."""
    content = read_with_base(path, overrides)
    if old := sorted({"dataset", "losses", "networks"} & set(content)):
        raise ValueError(
            f"{path}: {', '.join(old)}: a study of an older version; it is a base and axes now, "
            "as in configs/bench/losses_nuclei.yaml"
        )
    return validate(Study, content, str(path))


def read_with_base(path: Path, overrides: list[str] | None = None) -> dict[str, Any]:
    """Read a YAML whose `base` may be the name of another one; overrides: as in `read_with`."""
    content = read_with(path, overrides)
    base = content.get("base")
    if isinstance(base, str):
        content["base"] = read_with(path.parent / base)
    return content


def _combined(axes: Sequence[Axis]) -> Iterator[tuple[Choice, ...]]:
    return product(*sorted(axes, key=lambda axis: ORDER.index(axis[0].kind)))


def _together(choices: Sequence[Choice]) -> dict[str, Any]:
    """Return what the values of all axes set, whole sections before the keys inside them.

    Raises ValueError where two set one key: one of them would be lost without a word.
    """
    setters: dict[str, Choice] = {}
    for choice in choices:
        for key in choice.settings:
            if other := setters.get(key):
                raise ValueError(f"{key}: {other.where} sets it, too; let one axis set it")
            setters[key] = choice
    keys = sorted(setters, key=lambda key: key.count("."))
    return {key: setters[key].settings[key] for key in keys}
