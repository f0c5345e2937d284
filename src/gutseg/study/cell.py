"""A cell of a study: a fold of a run folder."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gutseg.config import Config
from gutseg.study.axes import KINDS, Choice, Kind, slug


@dataclass(frozen=True)
class Cell:
    """A place in the grid: a fold of a run folder."""

    config: Config
    # the value of every axis
    choices: tuple[Choice, ...]
    # what the base says of the loss and of the network, where no axis does
    base_labels: dict[str, str]

    def placed(self, runs: Path) -> "Cell":
        """Return the cell with its run folder below another folder."""
        place = {"name": self.folder_name, "runs": runs}
        return replace(self, config=self.config.model_copy(update=place))

    def _labels(self, kind: Kind) -> str:
        found = [choice.label for choice in self.choices if choice.kind == kind and choice.label]
        return ", ".join(found) or self.base_labels.get(kind, "")

    @property
    def label(self) -> str:
        """The loss in tables."""
        return self._labels("loss")

    @property
    def network(self) -> str:
        """The network and what it sees, where that has a name: the rows of tables."""
        return ", ".join(filter(None, [self._labels("network"), self._labels("input")]))

    @property
    def patch(self) -> str:
        """Height and width of what the network is trained on, or `whole`."""
        config = self.config
        if config.crop is None and config.geometry.kind == "native":
            return "whole"
        return "{}x{}".format(*(config.crop or config.geometry).size)

    @property
    def fold(self) -> int:
        """The fold that is held out."""
        return next((choice.value for choice in self.choices if choice.kind == "fold"), 0)

    @property
    def folder_name(self) -> str:
        """The run folder: every seed has one, with all its folds."""
        names = [slug(self._labels(kind)) for kind in ("loss", "network", "input")]
        place = f"lr{self.config.optim.lr:g}--{self.patch}--seed{self.config.seed}"
        return "--".join([*filter(None, names), place])

    @property
    def id(self) -> str:
        """A name that stays the same while the cell does."""
        return f"{self.folder_name}--fold{self.fold}"

    @property
    def run(self) -> Path:
        """The run folder, which holds config.yaml, data.json, and a result of every fold."""
        return self.config.runs / self.config.name

    @property
    def folder(self) -> Path:
        """Where it is trained."""
        return self.run / f"fold{self.fold}"

    @property
    def columns(self) -> dict[str, Any]:
        """What says which cell a row of the frame is.

        params: of the loss, as JSON; terms: of a sum. Axes without a column of their own here
        have one called after them.
        """
        config, loss = self.config, self.config.loss
        terms = loss.params.get("terms", []) if loss.name == "weighted_sum" else []
        others = {c.axis: c.value for c in self.choices if c.axis not in KINDS}
        return others | {
            "label": self.label,
            "loss": loss.name,
            "class_weights": loss.class_weights or "",
            "terms": "+".join(term["loss"] for term in terms),
            "params": json.dumps({k: value for k, value in loss.params.items() if k != "mode"}),
            "network": self.network,
            "input": self._labels("input"),
            "architecture": config.model.name,
            "network_params": json.dumps(config.model.params),
            "lr": config.optim.lr,
            "patch": self.patch,
            "seed": config.seed,
            "fold": self.fold,
            "id": self.id,
            "batch_size": config.train.batch_size,
        }
