"""Charts of a training: a line per fold over epochs, a vertical one where weights are kept."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from gutseg.chapters.training.records import FoldRecord, RunRecord
from gutseg.data.folds import FULL
from gutseg.reporting.colours import PALETTE
from gutseg.reporting.parts import Chart, Series

EPOCH = "epoch, counted from 0 as in metrics.csv"
# Of held-out images. Volumes have the mean over slices, images that stand alone the pooled one.
METRICS = {
    "score": "competition score",
    "dice": "Dice, mean over slices",
    "iou": "intersection over union, mean over slices",
    "hausdorff": "normalised Hausdorff distance",
    "pooled.dice_fg": "Dice of the objects, pooled over pixels",
    "pooled.iou_fg": "intersection over union of the objects, pooled over pixels",
    "accuracy": "pixel accuracy, mean over slices",
    "presence_auc": "area under the ROC curve of the presence head",
}
# Left out of volumes, which have the means over slices.
POOLED = ("pooled.dice_fg", "pooled.iou_fg")
ABOUT_METRICS = "Of held-out images, with the weights as they were after each epoch."


def figures(run: RunRecord) -> list[Chart]:
    """Return the charts of one run; a column that no fold has makes none.

    Where all folds have one epoch there is no curve to draw.
    """
    if max(len(fold.table) for fold in run.folds) == 1:
        return []
    charts = [_losses(run), *_terms(run), *_metrics(run), *_costs(run)]
    return [chart for chart in charts if chart]


def compared(runs: Sequence[RunRecord]) -> list[Chart]:
    """Return the means over folds of several runs in one chart per measure."""
    charts: list[Chart] = []
    if max(len(fold.table) for run in runs for fold in run.folds) == 1:
        return charts
    volumes = all(_has(run, "dice") for run in runs)
    for key, label in {"val_loss": "loss of held-out images", **METRICS}.items():
        if volumes and key in POOLED:
            continue
        means = {run.name: _mean(run, key) for run in runs}
        series = [
            Series(name, mean.index.tolist(), mean.tolist(), _kind(len(mean)))
            for name, mean in means.items()
            if len(mean)
        ]
        if len(series) > 1:
            charts.append(
                Chart(
                    f"compared_training_{_word(key)}",
                    f"{_capital(label)} of the runs",
                    EPOCH,
                    label,
                    series,
                    note="Mean over the folds that reached the epoch; losses of runs with another "
                    "loss function cannot be compared."
                    if key == "val_loss"
                    else "Mean over the folds that reached the epoch.",
                )
            )
    return charts


def _mean(run: RunRecord, key: str) -> pd.Series:
    columns = [fold.table[key] for fold in run.folds if key in fold.table]
    return pd.concat(columns, axis=1).mean(axis=1).dropna() if columns else pd.Series(dtype=float)


def _losses(run: RunRecord) -> Chart | None:
    """Loss of training and of held-out images (figures 7, 9 and 10 of [Xu 2022])."""
    return _chart(
        run,
        "loss",
        "Loss of training images (solid) and of held-out images (dashed)",
        "loss",
        solid="train_loss",
        dashed="val_loss",
        note="Of training images it is the mean over the epoch, augmented and with the weights of "
        "each step; of held-out images it is that of the weights after the epoch"
        + (", averaged over steps." if run.config.train.ema else "."),
    )


def _terms(run: RunRecord) -> list[Chart | None]:
    found = (name.removeprefix("train_") for fold in run.folds for name in fold.table)
    names = [name for name in dict.fromkeys(found) if _has(run, f"train_{name}")]
    terms = [name for name in names if name != "loss"]
    if len(terms) < 2:  # the only term is the loss
        return []
    return [
        _chart(
            run,
            f"loss_{_word(term)}",
            f"Term {term} of the loss: training (solid), held out (dashed)",
            f"{term}, as it is added to the loss",
            solid=f"train_{term}",
            dashed=f"val_{term}",
        )
        for term in terms
    ]


def _metrics(run: RunRecord) -> list[Chart | None]:
    monitor = run.config.train.monitor
    labels = dict(METRICS)
    if monitor and monitor not in labels and monitor != "val_loss":
        labels[monitor] = monitor
    if _has(run, "dice"):
        labels = {key: label for key, label in labels.items() if key not in {*POOLED} - {monitor}}
    charts = [
        _chart(run, _word(key), _capital(label), label, solid=key, note=ABOUT_METRICS)
        for key, label in labels.items()
    ]
    return [*charts, _by_class(run)]


def _by_class(run: RunRecord) -> Chart | None:
    """Dice of each class, mean over folds, with the worst and the best fold around it."""
    prefix = "dice_" if _has(run, "dice") else "pooled.dice."
    names = dict.fromkeys(name for fold in run.folds for name in fold.table)
    keys = [name for name in names if name.startswith(prefix)]
    series = []
    for key in keys:
        columns = [fold.table[key] for fold in run.folds if key in fold.table]
        values = pd.concat(columns, axis=1).dropna(how="all")
        mean = values.mean(axis=1)
        if len(mean):
            series.append(
                Series(
                    key.removeprefix(prefix).replace("_", " "),
                    values.index.tolist(),
                    mean.tolist(),
                    _kind(len(mean)),
                    low=values.min(axis=1).tolist(),
                    high=values.max(axis=1).tolist(),
                )
            )
    if not series:
        return None
    return Chart(
        f"training_{run.key}_dice_by_class",
        "Dice of each class on held-out images",
        EPOCH,
        "Dice",
        series,
        about="; ".join(f"{one.name} ends at {one.y[-1]:.3f}" for one in series) + ".",
        note="Mean over folds; around it the worst and the best fold.",
    )


def _costs(run: RunRecord) -> list[Chart | None]:
    waiting = "With workers: 0 batches are made in this time; with workers it is what they are late"
    return [
        _chart(run, "lr", "Learning rate at the end of each epoch", "learning rate", solid="lr"),
        _chart(
            run,
            "seconds",
            "Seconds of each epoch: training (solid), validation (dashed)",
            "seconds",
            solid="seconds",
            dashed="seconds_test",
        ),
        _chart(
            run,
            "memory",
            "Memory that training took at its peak",
            "MB above the start",
            solid="peak_mb",
            note="Allocated on a GPU, or growth of the process on a CPU, since the fold began.",
        ),
        _chart(
            run,
            "data_wait",
            "Share of the training time that was waited for data",
            "share",
            solid="data_wait",
            y_range=(0.0, 1.0),
            note=f"{waiting}.",
        ),
    ]


def _chart(
    run: RunRecord,
    key: str,
    caption: str,
    y: str,
    *,
    solid: str,
    dashed: str = "",
    note: str = "",
    y_range: tuple[float, float] | None = None,
) -> Chart | None:
    """Draw one column, or two, of every fold; None where no fold has the first."""
    series: list[Series] = []
    for fold, colour in zip(run.folds, _cycle(len(run.folds)), strict=True):
        series += _lines(fold, solid, dashed, colour)
    if not series:
        return None
    values = [value for one in series for value in one.y]
    for fold, colour in zip(run.folds, _cycle(len(run.folds)), strict=True):
        # where it lies on held-out images
        if mark := _mark(fold, dashed or solid):
            name = f"{fold.name}, kept: epoch {mark[0]}"
            ends, label = [min(values), max(values)], f"{name}, {mark[1]:.4g}"
            series.append(Series(name, [mark[0]] * 2, ends, labels=[label] * 2, colour=colour))
    about = "; ".join(_ends(fold, solid) for fold in run.folds if solid in fold.table)
    name = f"training_{run.key}_{key}"
    return Chart(name, caption, EPOCH, y, series, y_range=y_range, about=f"{about}.", note=note)


def _lines(fold: FoldRecord, solid: str, dashed: str, colour: str) -> list[Series]:
    table, found = fold.table, []
    parts = {solid: fold.name, dashed: f"{fold.name}, held out"}
    if dashed == "seconds_test":
        parts[dashed] = f"{fold.name}, validation"
    for key, name in parts.items():
        # epochs in which it was not measured leave no gap
        measured = table[key].dropna() if key in table else table["epoch"][:0]
        if len(measured):
            x, y, kind = measured.index.tolist(), measured.tolist(), _kind(len(measured))
            found.append(Series(name, x, y, kind, colour=colour, dashed=key == dashed))
    return found


def _mark(fold: FoldRecord, key: str) -> tuple[int, float] | None:
    """Return the kept epoch and its value of a measure of held-out images; None on others."""
    measured = key.startswith(("val_", "pooled.", "presence_")) or key in METRICS
    if fold.folder.name == FULL or not measured or key not in fold.table or fold.kept is None:
        return None
    value = fold.table[key].iloc[fold.kept]
    return (fold.kept, float(value)) if value == value else None


def _ends(fold: FoldRecord, key: str) -> str:
    values = fold.table[key].dropna()
    last = f"{values.iloc[-1]:.4g}" if len(values) else "nothing"
    kept = _mark(fold, key)
    return f"{fold.name} ends at {last}" + (f", kept at {kept[1]:.4g}" if kept else "")


def _has(run: RunRecord, key: str) -> bool:
    return any(key in fold.table and fold.table[key].notna().any() for fold in run.folds)


def _kind(points: int) -> Literal["line", "points"]:
    return "line" if points > 1 else "points"


def _cycle(number: int) -> list[str]:
    return [PALETTE[place % len(PALETTE)] for place in range(number)]


def _word(key: str) -> str:
    return key.replace(".", "_").replace(" ", "_").lower()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
