"""The tables that the config of a study can ask for, by the names in TABLES."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gutseg.registry import shown, suggest
from gutseg.study.report import classes, spread
from gutseg.study.report import measures as of
from gutseg.study.report.curves import curves
from gutseg.study.report.published import cite
from gutseg.study.report.ranking import main, networks
from gutseg.study.report.view import View


@dataclass(frozen=True)
class Table:
    """A table of the page: a row of TABLES."""

    # one sentence, the heading on the page
    says: str
    # View, name of the published table if there is one -> Markdown, empty for nothing to show
    draw: Callable[..., str]
    # the printed numbers beside ours: a file of published/, whose index has the source
    published: str = ""
    # the paper, where there are no printed numbers
    source: str = ""
    # what configs called it before it had a name
    codes: str = ""

    def drawn(self, view: View) -> str:
        """Return the table as Markdown, empty where no cell has what it shows."""
        return self.draw(view, self.published) if self.published else self.draw(view)

    def heading(self) -> str:
        """Return the sentence with its source."""
        source = cite(self.published) if self.published else self.source
        return f"{self.says} ({source})" if source else self.says


def _measured(says: str, published: str = "", codes: str = "", **how: Any) -> Table:
    """A table that `measures` draws."""
    source = how.pop("source", "")
    return Table(says, partial(of.measures, **how), published, source, codes)


_PARTS = {"dice", "focal_softmax:falling_foreground", "online_bootstrapping:4096"}
_N = {"network": "network", "n": "n"}
_CLASS_WEIGHTS = {"network": "network", "loss": "loss", "weights": "class weights"}
_PATCHES = {"network": "network", "patch": "patch"}
_SHARES = {"objects": "share of the objects", "ratio": "largest : smallest class"}

TABLES = {
    "main": Table("losses ranked by score, with tests and cost", main),
    "networks": Table("the best losses with a second network", networks),
    "losses": _measured("four measures of every loss", "networks", "T1 T2"),
    "losses_by_class": Table("IoU of every class", of.class_measures, "class_iou", codes="T3"),
    "sums": _measured(
        "sums of losses, ↑ where one beats all its parts",
        "sums",
        "T4",
        rows=of.sums_and_parts,
        rivals=of.parts_of,
    ),
    "class_weights": Table("class shares and weights", classes.weights, "weights", codes="T5"),
    "weighted_losses": _measured(
        "losses with and without class weights",
        "class_weights",
        "T6",
        rows=of.with_weights,
        by=_CLASS_WEIGHTS,
        columns=of.WITHOUT_DICE,
    ),
    "hard_pixel_numbers": _measured(
        "how many hard pixels to train on",
        "hard_pixels",
        "T7",
        rows=of.bootstrapped,
        by=_N,
        columns=of.WITHOUT_DICE,
    ),
    "hard_pixel_classes": Table(
        "classes of the hardest pixels",
        classes.hard_pixels,
        source="[Tongji 2022], tables 3.1 and 4.14",
        codes="T8",
    ),
    "combinations": _measured(
        "combinations of Dice, focal loss with weights ⑤ and the 4096 hardest pixels",
        "combinations",
        "T9",
        rows=partial(of.made_of, parts=_PARTS),
        whole=("combinations",),
        missing="No cell has one of these combinations.",
    ),
    "binary": Table("foreground against background", of.binary, "binary", codes="T10"),
    "background_reuse": _measured(
        "a binary network's background laid over the prediction, ↑ where that is better",
        "background_reuse",
        "T11",
        rows=of.with_reuse,
        by=of.BY | {"prediction": "prediction"},
        rivals=of.plain_of,
        whole=("background_reuse",),
        missing="Not measured: the study has no `background_from`.",
    ),
    "augmentation": _measured(
        "augmentation on and off",
        "augmentation",
        "U1",
        rows=of.several_inputs,
        by={"network": "network and input", "label": "loss"},
        columns=of.OBJECTS | of.GAINS,
        whole=("augmentation",),
        missing="Not measured: the study has only one input.",
    ),
    "depth": _measured(
        "depth of the network", "depth", "U2", columns=of.SIZE | of.OBJECTS, whole=("depth",)
    ),
    "bce_and_dice": _measured(
        "BCE, Dice and their sums",
        "bce_and_dice",
        "U3",
        columns={"steps": "steps", **of.OBJECTS, "accuracy": "accuracy"},
        whole=("bce_and_dice",),
    ),
    "attention": _measured(
        "local attention, external attention and neighbouring slices",
        codes="U4",
        source="[Xu 2022], section II",
        rows=of.attention_kinds,
        by={"attention": "attention", **of.BY},
        columns=of.OBJECTS | of.GAINS | of.SIZE,
    ),
    "data": Table("images, pixels and shares of the classes", classes.data, "slices", codes="U5"),
    "patches": _measured(
        "batches, patches and class imbalance",
        "patches",
        "G1",
        rows=of.with_shares,
        by=_PATCHES,
        columns={"batch_size": "batch", **_SHARES},
        whole=("patches",),
    ),
    "lr_by_patch": Table(
        "Dice of the last training steps by learning rate and patch",
        spread.lr_by_patch,
        source="[Sudre 2017], tables 2 and 3",
        codes="G2",
    ),
    "spread": Table(
        "spread of the held-out Dice over learning rates and patches",
        spread.held_out,
        source="[Sudre 2017], figure 3",
        codes="G3",
    ),
    "pixel_accuracy": _measured(
        "pixel accuracy",
        "pixel_accuracy",
        "M1",
        columns=of.WITH_INTERVALS,
        digits=4,
    ),
    "curves": Table(
        "value and gradient of losses over a parameter", curves, source="[Chen 2023]", codes="S1"
    ),
}


def check_tables(names: Iterable[str]) -> None:
    """Raise ValueError for a table that does not exist."""
    renamed = {code: name for name, table in TABLES.items() for code in table.codes.split()}
    for name in names:
        if name in renamed:
            raise ValueError(f"tables: {name!r} is now called {renamed[name]!r}; write that name")
        if name not in TABLES:
            raise ValueError(f"tables: unknown name {shown(name)}; {suggest(name, list(TABLES))}")
