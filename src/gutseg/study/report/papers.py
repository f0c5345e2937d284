"""Tables in the shape of course paper 001, report 002 and paper 003."""

import json

import numpy as np
import pandas as pd

from gutseg.reporting.markdown import number, table, with_interval
from gutseg.study.report import published_numbers as seeds
from gutseg.study.report.figures import boxes, isolines
from gutseg.study.report.published_rows import beside, own, paired, place
from gutseg.study.report.view import View
from gutseg.study.statistics import interval

# What pairs the cells of two inputs.
_PAIRS = ["lr", "patch", "seed", "fold"]
_OVERLAP = {"dice_fg": "Dice", "iou_fg": "IoU"}
_GAINS = [f"{name} - first ± 95 %" for name in _OVERLAP.values()]
_BEST = {"dice_fg": "Dice", "iou_fg": "IoU", "epoch": "best epoch", "epochs": "epochs"}


def augmentation(view: View) -> str:
    """Inputs × losses: Dice and IoU of the objects; the first input is the one to beat."""
    printed = own({"paper 001": seeds.AUGMENTATION}, _BEST, ["source", "augmentation"])
    printed = f'The paper, without augmentation "above .5" and about .6:\n\n{printed}'
    if "input" not in view.frame or view.frame["input"].nunique() < 2:
        return f"Not measured: this comparison's config has one input. {printed}"
    groups = view.frame.groupby(["architecture", "network_params", "label"], sort=False)
    rows = [row for _, cells in groups for row in _against_first(cells)]
    drawn = table(["network and input", "loss", *_OVERLAP.values(), *_GAINS], rows, words=2)
    return f"{drawn}\n\n{printed}"


def _against_first(cells: pd.DataFrame) -> list[list[str]]:
    """Rows of one loss, a network with its input each, and gains over the first, cell by cell."""
    groups = [group for _, group in cells.set_index(_PAIRS).groupby("network", sort=False)]
    first, rows = groups[0], []
    for group in groups:
        row = [*group[["network", "label"]].iloc[0]]
        row += [number(group[key].mean()) for key in _OVERLAP]
        gains = [interval(group[key] - first[key]) for key in _OVERLAP]
        rows.append(row + ["–" if group is first else with_interval(*gain) for gain in gains])
    return rows


def depth(view: View) -> str:
    """Networks × losses: parameters in millions, Dice and IoU of the objects."""
    rows = []
    for (network, label), cells in view.frame.groupby(["network", "label"], sort=False):
        name = place(cells)[0].replace("hybrid", "unet")
        row = beside(cells, ["dice_fg", "iou_fg"], {"": seeds.DEPTH}, name)
        printed = seeds.DEPTH.get(name, {}).get("parameters", float("nan"))
        rows.append([network, label, paired(cells["parameters"].mean() / 1e6, [printed]), *row])
    drawn = table(["network", "loss", "parameters, M", "Dice", "IoU"], rows, words=2)
    heads = {"parameters": "parameters, M"} | _BEST
    printed = own({"paper 001": seeds.DEPTH}, heads, ["source", "network"])
    return f'{drawn}\n\nThe paper, Dice and IoU both "near" the same:\n\n{printed}'


def protocol_001(view: View) -> str:
    """Losses × Dice, IoU and accuracy of the objects at the end of the budget."""
    keys = {"dice_fg": "Dice", "iou_fg": "IoU", "accuracy": "ACC"}
    rows = []
    for (network, label), cells in view.frame.groupby(["network", "label"], sort=False):
        _, loss = place(cells)
        row = beside(cells, keys, seeds.PAPER_LOSSES, loss)
        steps = number(cells["steps"].mean(), 0)
        if loss in seeds.PAPER_EPOCHS:
            steps += f" (epoch {seeds.PAPER_EPOCHS[loss]})"
        rows.append([network, label, steps, *row])
    note = (
        "In parentheses: the paper's best epoch for that measure; its epoch of the lowest loss. "
        "Its accuracy of BCE repeats the Dice, and IoU above Dice takes two ways of averaging."
    )
    drawn = table(["network", "loss", "steps", *keys.values()], rows, words=2)
    return f"{note}\n\n{drawn}"


def attention(view: View) -> str:
    """Kinds of attention × inputs × losses: Dice and IoU of the objects, parameters."""
    frame, rows = view.frame, []
    firsts = {row.network: row for row in frame.drop_duplicates("network").itertuples()}
    for _, cells in frame.groupby("label", sort=False):
        for network, *rest in _against_first(cells):
            size = number(cells.loc[cells["network"] == network, "parameters"].mean() / 1e6)
            rows.append([_attention(firsts[network]), network, *rest, size])
    note = (
        "What a network sees (one slice or five) stands behind its name where the config has "
        "`inputs`. The Hausdorff score takes whole scans: `gutseg score` has it."
    )
    head = ["attention", "network", "loss", *_OVERLAP.values(), *_GAINS, "parameters, M"]
    return f"{note}\n\n{table(head, rows, words=3)}"


def _attention(row: tuple) -> str:
    """Say which blocks a network has; hybrid4 and hybrid5 have both and no choice of levels."""
    params = json.loads(row.network_params)
    hybrid = row.architecture in ("hybrid4", "hybrid5")
    kinds = [kind for kind in ("local", "external") if params.get(f"{kind}_levels", hybrid)]
    return " + ".join(kinds) or "none"


def data_statistics(view: View) -> str:
    """Pixels and shares of the classes, fold by fold, and what the paper counts in its slices."""
    rows = []
    for fold, cells in view.frame.groupby("fold"):
        first = cells.dropna(subset=["images"]).iloc[:1]
        for row in first.to_dict("records"):
            for key in view.classes():
                counts = [row["train_images"], row["images"], row[f"pixels.{key}"]]
                counts = [number(value, 0) for value in counts]
                rows.append([str(fold), key, *counts, f"{row[f'share.{key}']:.4%}"])
    head = ["fold", "class", "training images", "held-out images", "held-out pixels"]
    drawn = table([*head, "share in training"], rows, words=2)
    return "\n\n".join([drawn, "Course paper 001 counts in UW-Madison:", *_counts_001()])


def _counts_001() -> list[str]:
    parts = [seeds.SLICES, {f"{n} scans": cases for n, cases in seeds.SCANS_PER_CASE.items()}]
    tables = [
        table(list(part), [[str(value) for value in part.values()]], words=0)
        for part in (*parts, seeds.SIDES)
    ]
    pairs = zip(seeds.ORGANS, seeds.COOCCURRENCE, strict=True)
    rows = [[organ, *map(str, counts)] for organ, counts in pairs]
    return [*tables, table(["on a slice together", *seeds.ORGANS], rows)]


def patches(view: View) -> str:
    """Networks × patches: batch, patch, effective patch, imbalance."""
    classes, ground = view.classes(), view.background()
    shares = [view.frame[f"share.{key}"].mean() for key in classes]
    objects = sum(share for key, share in zip(classes, shares, strict=True) if key != ground)
    ratio = number(max(shares) / min(shares), 1) if min(shares) > 0 else "–"
    rows = [
        [network, number(cells["batch_size"].mean(), 0), patch, patch, number(objects), ratio]
        for (network, patch), cells in view.frame.groupby(["network", "patch"], sort=False)
    ]
    head = ["network", "batch", "patch", "effective patch"]
    drawn = table([*head, "share of the objects", "largest : smallest class"], rows)
    note = (
        "Convolutions are padded here, so the whole patch is effective. The share is that of "
        "the training images, not of the crops; overlapping classes count twice."
    )
    printed = [[name, *map(str, row)] for name, lines in seeds.PATCHES.items() for row in lines]
    paper = table([*head, "share of the objects"], printed)
    return f"{note}\n\n{drawn}\n\nPaper 003, patches with an object alone:\n\n{paper}"


def lr_by_patch(view: View) -> str:
    """Losses × (learning rate, patch): median (quartiles) of the Dice of the last steps."""
    if "tail_median" not in view.frame:
        return ""
    parts = []
    for order, network in enumerate(view.networks()):
        frame = view.of(network)
        cells = frame.groupby(["label", "lr", "patch"], sort=False)
        found = cells[["tail_q1", "tail_median", "tail_q3"]].mean()
        columns = frame[["lr", "patch"]].drop_duplicates().sort_values(["patch", "lr"])
        columns = list(columns.itertuples(index=False, name=None))
        rows = [
            [label, *(_quartiles(found.loc[(label, *column)]) for column in columns)]
            for label in frame["label"].unique()
        ]
        header = ["loss", *(f"{patch}, {lr:g}" for lr, patch in columns)]
        parts += [f"### {network}", table(header, rows)]
        medians = found["tail_median"].unstack("patch")
        if medians.shape[1] > 1 and frame["lr"].nunique() > 1:
            isolines(view.folder / f"isolines{order}.png", medians)
            parts.append(f"![isolines](isolines{order}.png)")
    return "\n\n".join(parts)


def _quartiles(row: pd.Series) -> str:
    low, middle, high = row
    return "–" if np.isnan(middle) else f"{middle:.2f} ({low:.2f}–{high:.2f})"


def distribution(view: View) -> str:
    """Losses × learning rate, and losses × patch: median (quartiles) of the held-out Dice."""
    parts = [
        "Over seeds, folds and the settings of the other table; in the training of the last "
        "steps see G2."
    ]
    for order, network in enumerate(view.networks()):
        frame, panels = view.of(network), {}
        for key, name in (("lr", "{:g}".format), ("patch", str)):
            groups = frame.groupby(["label", key], sort=False)["dice_fg"]
            found = groups.quantile([0.25, 0.5, 0.75]).unstack()
            columns = frame[key].drop_duplicates()
            rows = [
                [label, *(_cell(found, (label, column)) for column in columns)]
                for label in frame["label"].unique()
            ]
            parts.append(table([f"{network}, {key}", *map(name, columns)], rows))
            panels[key] = {
                f"{label}, {name(column)}": cells.to_numpy() for (label, column), cells in groups
            }
        boxes(view.folder / f"boxes{order}.png", panels)
        parts.append(f"![held-out Dice](boxes{order}.png)")
    return "\n\n".join(parts)


def _cell(found: pd.DataFrame, at: tuple) -> str:
    return _quartiles(found.loc[at]) if at in found.index else "–"


def accuracy(view: View) -> str:
    """Pixel accuracy, Dice and IoU with their intervals."""
    keys = {"accuracy": "pixel accuracy", "dice_fg": "Dice", "iou_fg": "IoU"}
    groups = view.frame.groupby(["network", "label"], sort=False)
    rows = [
        [network, label, *(with_interval(*interval(cells[key]), 4) for key in keys)]
        for (network, label), cells in groups
    ]
    for row, (_, cells) in zip(rows, groups, strict=True):
        printed = seeds.MEMBRANE.get(place(cells))
        row[2] += f" ({printed['accuracy']:.2f})" if printed else ""
    note = "In parentheses: report 002 after 5 epochs; it does not say on which images."
    return f"{note}\n\n{table(['network', 'loss', *keys.values()], rows, words=2)}"
