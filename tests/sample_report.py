"""A report with every kind of part and the traps of text, numbers and gaps."""

import numpy as np
import pandas as pd

from gutseg.reporting.drawing import draw, to_bytes
from gutseg.reporting.parts import Chart, Heat, Html, Picture, Report, Section, Series, Table

EVIL = '<script>alert(1)</script> & "it\'s" 50%'
ORGANS = ["large_bowel", "small_bowel", "stomach"]


def sample_report() -> Report:
    """Two sections; texts hold markup that a page must not run."""
    return Report(
        f"Report of {EVIL}",
        "gutseg 0.1.0, commit abc1234\ngutseg report runs/tiny",
        [_tables(), _figures()],
    )


def _tables() -> Section:
    draws = np.random.default_rng(0)
    scans = pd.DataFrame(
        {
            "slices": np.where(np.arange(50) % 7 == 0, 80, 144),
            "volume_ml": draws.uniform(5, 20_000, 50),
            "score": np.where(np.arange(50) % 9 == 0, np.nan, draws.uniform(0, 1, 50)),
        },
        index=pd.Index([f"case{number}_day{number % 3}" for number in range(50)], name="scan"),
    )
    names = [f"a long column name {number}" for number in range(14)]
    wide = pd.DataFrame(draws.normal(size=(4, 14)), columns=names)
    small = pd.DataFrame(
        {"organ": ORGANS, "slices": [14_085, 11_201, 8_627], "text": [EVIL, "b", None]}
    )
    parts = [
        Table("small", f"Slices with each organ {EVIL}", small, note=f"Counted. {EVIL}"),
        Table("small", "The same name a second time", small),
        Table("scans", "All scans", scans, digits=2),
        Table("wide", "A table wider than any phone", wide),
        Html("live", "A part of its own", LIVE),
    ]
    return Section("tables", "Tables", f"What tables may hold. {EVIL}", parts)


LIVE = """<p id="live-text">not run</p>
<script>document.getElementById("live-text").textContent = "run";</script>"""


def _figures() -> Section:
    x = list(range(1, 41))
    losses = [
        Series(f"fold {fold}", x, [1 / (step + fold) for step in x], dashed=fold == 2)
        for fold in range(3)
    ]
    wave = [0.5 + 0.3 * np.sin(step / 5) for step in x]
    wave[7] = float("nan")
    band = Series("mean", x, wave, low=[y - 0.1 for y in wave], high=[y + 0.1 for y in wave])
    bars = [
        Series(organ, ["day 0", "day 1", EVIL], [3, 1 + place, 2])
        for place, organ in enumerate(ORGANS)
    ]
    bars = [Series(one.name, one.x, one.y, "bar") for one in bars]
    dots = Series("scans", [0.1, 0.5, 0.5], [0.2, 0.6, 0.3], "points", labels=["a", EVIL, "c"])
    whiskers = Series("score", ORGANS, [0.6, 0.7, 0.8], "points", [0.5, 0.6, 0.7], [0.7, 0.9, 0.85])
    pairs = pd.DataFrame([[1.0, -0.25], [-0.25, 1.0]], index=ORGANS[:2], columns=ORGANS[:2])
    counts = pd.DataFrame(np.arange(60).reshape(3, 20) * 7, index=ORGANS, columns=range(20))
    parts = [
        Chart("losses", "Loss per epoch", "epoch", "loss", losses, log_y=True, about="It falls."),
        Chart("band", "A mean with its interval", "epoch", "score", [band], y_range=(0, 1)),
        Chart("bars", "Bars beside each other", "day", "ml", bars),
        Chart("stack", "Bars on top of each other", "day", "ml", bars, stacked=True),
        Chart("dots", f"Points with names {EVIL}", "Dice", "Hausdorff", [dots], note="A note."),
        Chart("whiskers", "Score per organ with 95 % intervals", "", "score", [whiskers]),
        Heat("pairs", "Correlation of two organs", "organ", "organ", pairs),
        Heat("counts", "Slices by position", "position", "organ", counts, digits=0),
    ]
    png = to_bytes(draw(parts[0]), "png")
    return Section(
        "figures", "Figures", "What figures may hold.", [*parts, Picture("shot", "A picture", png)]
    )
