"""Class shares and the weights that follow: ours, and thesis 000's tables done again."""

from gutseg.losses.weights import WEIGHTS, class_weights
from gutseg.reporting.markdown import number, table
from gutseg.study.report import published_numbers as seeds
from gutseg.study.report.view import View

# Table 4.1's share of the neutrophils, in percent, with which Table 3.2 was computed.
NEUTROPHILS = 0.125

_MISPRINTS = (
    "Thesis 000, printed / from the shares of its Table 4.1. Two misprints (*): Table 4.1 has "
    ".126 % of neutrophils where the inverse weights of Table 3.2 follow from .125 %, and that "
    "table has .47268 for the eosinophils' .47368, so that it sums to .999."
)


def weights(view: View) -> str:
    """Class shares of the training images and the weights that follow from them."""
    classes = view.classes()
    known = view.frame.dropna(subset=[f"share.{key}" for key in classes])
    shares = [known[f"share.{key}"].mean() for key in classes]
    ground = view.background()
    background = classes.index(ground) if ground else None
    columns = {kind: class_weights(kind, shares, background) for kind in WEIGHTS}
    rows = [
        [key, f"{share:.4%}", *(number(column[place], 4) for column in columns.values())]
        for place, (key, share) in enumerate(zip(classes, shares, strict=True))
    ]
    ours = table(["class", "share", *columns], rows)
    return "\n\n".join([ours, _MISPRINTS, printed_weights(), printed_binary_weights()])


def printed_weights() -> str:
    """Return Tables 3.2 and 4.11 of the thesis, printed / computed, misprints marked *."""
    background = len(seeds.NUCLEI) - 1
    columns = {}
    for kind, printed in seeds.WEIGHTS.items():
        percent = list(seeds.SHARES)
        if kind == "inverse":
            percent[0] = NEUTROPHILS
        found = class_weights(kind, [share / 100 for share in percent], background)
        digits = 5 if kind == "inverse" else 4
        pairs = zip(printed, found, strict=True)
        columns[kind] = [f"{one:.{digits}f} / {other:.{digits}f}" for one, other in pairs]
    columns["inverse"][seeds.NUCLEI.index("eosinophil")] += " *"
    shares = [f"{share:.3f} %" for share in seeds.SHARES]
    shares[0] += " *"
    rows = list(zip(seeds.NUCLEI, shares, *columns.values(), strict=True))
    return table(["class", "share", *columns], rows)


def printed_binary_weights() -> str:
    """Return Table 3.3 of the thesis, printed / computed: inverse weights of two classes."""
    ground = seeds.SHARES[-1] / 100
    found = class_weights("inverse", [1 - ground, ground], 1)
    rows = [
        [name, f"{one:.5f} / {other:.5f}"]
        for name, one, other in zip(
            ("foreground", "background"), seeds.BINARY_WEIGHTS, found, strict=True
        )
    ]
    return table(["class", "inverse"], rows)
