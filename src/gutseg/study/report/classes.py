"""Classes: how many pixels they have, which weights follow, and how many hard pixels they get."""

import pandas as pd

from gutseg.losses.weights import WEIGHTS, class_weights
from gutseg.reporting.tables import markdown, number
from gutseg.study.report.measures import measures
from gutseg.study.report.published import note, published_table, read
from gutseg.study.report.view import View

# the share in percent with which the inverse weights of [Tongji 2022] were computed
NEUTROPHILS = 0.125
# below this share of the pixels a class counts as rare
RARE = 0.05
COUNTS = {
    "train_images": "training images",
    "images": "held-out images",
    "pixels": "held-out pixels",
    "percent": "share in training, %",
}


def data(view: View, published: str) -> str:
    """Pixels and shares of the classes, fold by fold, and what a paper counts in its slices."""
    ours = measures(view, rows=_counts, by={"fold": "fold", "kind": "class"}, columns=COUNTS)
    printed = (published, "scans_per_case", "organs_together", "slice_sizes")
    return "\n\n".join([ours, *map(published_table, printed)])


def _counts(view: View) -> pd.DataFrame:
    """One row per fold and class."""
    known = view.frame.dropna(subset=["images"]).drop_duplicates("fold").sort_values("fold")
    counts = known[["fold", "train_images", "images"]]
    parts = [
        counts.assign(kind=key, pixels=known[f"pixels.{key}"], percent=100 * known[f"share.{key}"])
        for key in view.classes()
    ]
    return pd.concat(parts).sort_values("fold", kind="stable")


def weights(view: View, published: str) -> str:
    """Class shares of the training images and the weights that follow from them."""
    shares, ground = view.shares(), view.background()
    background = shares.index.get_loc(ground) if ground else None
    columns = {kind: class_weights(kind, shares.to_list(), background) for kind in WEIGHTS}
    rows = [
        [key, f"{share:.4%}", *(number(value, 4) for value in values)]
        for (key, share), *values in zip(shares.items(), *columns.values(), strict=True)
    ]
    ours = markdown(["class", "share", *columns], rows)
    said = f"Printed / computed from the printed shares. Two misprints (*): {note(published)}"
    return "\n\n".join([ours, said, recomputed(published), recomputed("binary_weights")])


def recomputed(name: str) -> str:
    """Return printed weights as 'printed / computed', those that are misprinted marked *."""
    printed, percent = read(name).set_index("class"), read("weights").set_index("class")["share"]
    shares = percent.astype(float) / 100
    if "foreground" in printed.index:
        shares = pd.Series({"foreground": 1 - shares["background"], **shares})[printed.index]
    cells = {}
    for kind in printed.columns.intersection(list(WEIGHTS)):
        exact = shares.copy()
        if kind == "inverse" and "neutrophil" in exact:
            exact["neutrophil"] = NEUTROPHILS / 100
        digits = 5 if kind == "inverse" else 4
        found = class_weights(kind, exact.to_list(), list(exact.index).index("background"))
        pairs = zip(printed[kind].astype(float), found, strict=True)
        cells[kind] = [f"{one:.{digits}f} / {other:.{digits}f}" for one, other in pairs]
    drawn = pd.DataFrame(cells, index=printed.index)
    if "share" in printed:
        drawn.insert(0, "share", printed["share"] + " %")
        for place in (("neutrophil", "share"), ("eosinophil", "inverse")):
            drawn.loc[place] += " *"
    return markdown(["class", *drawn], drawn.reset_index().to_numpy().tolist())


def hard_pixels(view: View, published: str) -> str:
    """Classes of the n hardest pixels of each held-out image: shares, and counts of rare ones."""
    frame, classes = view.frame, view.classes()
    numbers = sorted({int(key.split(".")[0][4:]) for key in frame if key.startswith("hard")})
    if not numbers:
        return ""
    # folds differ in images, so counts are summed over folds and averaged over everything else
    runs = max(len(frame[frame["status"] == "ok"]) / frame["fold"].nunique(), 1)
    counts = pd.DataFrame({n: _summed(frame, f"hard{n}", classes) for n in numbers}) / runs
    counts["all"] = _summed(frame, "pixels", classes) / runs
    rare = [key for key in classes if counts.loc[key, "all"] < RARE * counts["all"].sum()]
    shares = [[n, *(f"{value:.2%}" for value in row / row.sum())] for n, row in counts.items()]
    absolute = [[n, *(f"{row[key]:.0f}" for key in rare)] for n, row in counts.items()]
    said = "Mean over losses, networks, learning rates, patches and seeds; `all`: every pixel."
    parts = [said, markdown(["n", *classes], shares)]
    parts += [markdown(["n", *(f"{key}, pixels" for key in rare)], absolute)] if rare else []
    return "\n\n".join([*parts, *map(published_table, (published, "hard_pixel_counts"))])


def _summed(frame: pd.DataFrame, prefix: str, classes: list[str]) -> pd.Series:
    return pd.Series({key: frame[f"{prefix}.{key}"].sum() for key in classes})
