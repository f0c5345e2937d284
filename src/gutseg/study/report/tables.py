"""The tables that the config of a study can ask for, by the names in TABLES."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gutseg.registry import shown, suggest
from gutseg.study.report import classes, spread
from gutseg.study.report import measures as of
from gutseg.study.report.curves import curves
from gutseg.study.report.factors import worth
from gutseg.study.report.ladder import ladder
from gutseg.study.report.published import cite
from gutseg.study.report.ranking import main, networks, networks_ranked
from gutseg.study.report.view import View


@dataclass(frozen=True)
class Table:
    """A table of the page: a row of TABLES."""

    # one sentence, the heading on the page
    says: str
    # View, name of the published table if there is one -> Markdown, empty for nothing to show
    draw: Callable[..., str]
    # the printed numbers next to ours: a file of published/, whose index has the source
    published: str = ""
    # the paper, where there are no printed numbers
    source: str = ""

    def drawn(self, view: View) -> str:
        """Return the table as Markdown, empty where no cell has what it shows."""
        return self.draw(view, self.published) if self.published else self.draw(view)

    def heading(self) -> str:
        """Return the sentence with its source."""
        source = cite(self.published) if self.published else self.source
        return f"{self.says} ({source})" if source else self.says


def _of(says: str, published: str = "", source: str = "", **how: Any) -> Table:
    """A table that `measures` draws."""
    return Table(says, partial(of.measures, **how), published, source)


_PARTS = {"dice", "focal_softmax:falling_foreground", "online_bootstrapping:4096"}
_WEIGHTS = {"network": "network", "loss": "loss", "weights": "class weights"}
_SHARES = {"objects": "share of the objects", "ratio": "largest : smallest class"}

# fmt: off
TABLES = {
    "main": Table("losses ranked by score, with tests and cost", main),
    "networks": Table("the best losses with a second network", networks),
    "losses": _of("four measures of every loss", "networks"),
    "losses_by_class": _of("IoU of every class", "class_iou", columns=of.iou_by_class),
    "sums": _of("sums of losses; ↑ marks a sum above all of its parts", "sums",
                rows=of.sums, rivals=of.parts_of),
    "class_weights": Table("class shares and weights", classes.weights, "weights"),
    "weighted_losses": _of("losses with and without class weights", "class_weights",
                           rows=of.with_weights, by=_WEIGHTS, columns=of.WITHOUT_DICE),
    "hard_pixel_numbers": _of("how many hard pixels to train on", "hard_pixels",
                              rows=of.bootstrapped, by={"network": "network", "n": "n"},
                              columns=of.WITHOUT_DICE),
    "hard_pixel_classes": Table("classes of the hardest pixels", classes.hard_pixels,
                                "hard_pixel_shares"),
    "combinations": _of("Dice, focal loss with weights ⑤ and the 4096 hardest pixels, combined",
                        "combinations", rows=partial(of.made_of, parts=_PARTS), whole=True,
                        missing="No cell has one of these combinations."),
    "binary": _of("foreground against background", "binary",
                  rows=of.binary, columns=of.BINARY, whole=True,
                  missing="Not measured: these cells have several foreground classes and no "
                  "`background_from`."),
    "background_reuse": _of("the background of a binary network laid over the prediction; ↑ "
                            "marks a gain", "background_reuse", rows=of.with_reuse,
                            rivals=of.plain_of, by=of.BY | {"prediction": "prediction"}, whole=True,
                            missing="Not measured: the study has no `background_from`."),
    "augmentation": _of("augmentation on and off", "augmentation",
                        rows=of.several_inputs, columns=of.OBJECTS | of.GAINS, whole=True,
                        missing="Not measured: the study has only one input."),
    "depth": _of("depth of the network", "depth", columns=of.SIZE | of.OBJECTS, whole=True),
    "bce_and_dice": _of("BCE, Dice and their sums", "bce_and_dice", whole=True,
                        columns={"steps": "steps", **of.OBJECTS, "accuracy": "accuracy"}),
    "networks_ranked": Table("networks ranked by score, with tests and cost", networks_ranked),
    "ladder": Table("what each technique gains over the first row, one at a time", ladder),
    "worth": Table("what each part is worth, all others equal", worth),
    "data": Table("images, pixels and shares of the classes", classes.data, "slices"),
    "patches": _of("batches, patches and class imbalance", "patches",
                   rows=of.with_shares, by={"network": "network", "patch": "patch"},
                   columns={"batch_size": "batch", **_SHARES}, whole=True),
    "lr_by_patch": Table("Dice of the last training steps by learning rate and patch",
                         spread.lr_by_patch, source="[Sudre 2017], tables 2 and 3"),
    "spread": Table("spread of the held-out Dice over learning rates and patches",
                    spread.held_out, source="[Sudre 2017], figure 3"),
    "pixel_accuracy": _of("pixel accuracy", "pixel_accuracy",
                          columns=of.WITH_INTERVALS, digits=4),
    "curves": Table("value and gradient of losses over a parameter", curves,
                    source="[Chen 2023]"),
}
# fmt: on


def check_tables(names: Iterable[str]) -> None:
    """Raise ValueError for a table that does not exist."""
    for name in names:
        if name not in TABLES:
            raise ValueError(f"tables: unknown name {shown(name)}; {suggest(name, list(TABLES))}")
