"""What augmentation does: one image as it is and as it is trained on, with a lattice drawn in.

Figure 8 of [Xu 2022]. Image, masks and lattice move together, so that a mask that does not follow
its image is seen at once.
"""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gutseg import detector, experiment
from gutseg.chapters.training.records import RunRecord
from gutseg.config import Config
from gutseg.data.augment import Augmenter
from gutseg.data.batches import augmented
from gutseg.data.folds import FULL, held_by
from gutseg.data.sources.source import Source
from gutseg.data.sources.turned import in_view
from gutseg.reporting.figures import COLOURS
from gutseg.reporting.label_maps import palette
from gutseg.reporting.parts import Picture

# draws that are made, and those of them that are shown
TRIED, SHOWN = 24, 4
# lines along the shorter side, and the fewest pixels between two
LINES, CLOSEST = 8, 6
# pixels of that side for every further pixel of a line's width
THICKER = 256


def picture(run: RunRecord) -> Picture:
    """Draw a training image of a run untouched and under its own augmentation.

    Raises ValueError or OSError in one sentence where the run's data cannot be read.
    """
    config = run.config
    data = experiment.source(config)
    table = experiment.rows(config, data)
    if config.geometry.kind == "found":
        data = detector.opened(run.folds[0].folder).located(data)
    held = held_by(run.folds[0].folder.name)
    seen, rows = in_view(data, table, config.view)
    row = _fullest(seen, rows if held == FULL else rows[rows["fold"] != held])
    images, labels, _ = seen.planes(row["scan"], np.array([row["z"]]))
    drawn, masks, lines = draws(config, images, labels)
    moved = (lines[1:] != lines[0]).any(axis=(1, 2))  # (TRIED,)
    # those that moved first, each kind in the order of the draws
    shown = [0, *(1 + np.argsort(~moved, kind="stable")[:SHOWN])]
    png = _png([_grey(drawn[number], seen) for number in shown], masks[shown], lines[shown], seen)
    return Picture(
        f"augmentation_{run.key}",
        f"{run.name}: {row['id']} untouched and {SHOWN} times under {_named(config)}",
        png,
        about="Above the image, below its masks; a lattice is drawn into both before they are "
        "augmented and moves as they do.",
        note=_note(config, int(moved.sum())),
    )


def draws(
    config: Config, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image, its labels and the lattice, untouched and then augmented TRIED times.

    images: (1, S, h, w). labels: (1, h, w), or soft ones (1, C, h, w). Returns images
    (1 + TRIED, S, h, w) with the lattice in, labels as they came and the lattice (1 + TRIED, h, w)
    bool as the labels' way of moving leaves it.
    """
    spacing = max(min(images.shape[2:]) // LINES, CLOSEST)
    lattice = np.zeros(images.shape[2:], bool)
    for place in range(spacing // 2, spacing // 2 + 1 + min(images.shape[2:]) // THICKER):
        lattice[place::spacing] = lattice[:, place::spacing] = True
    marked = np.where(lattice, np.float32(1), images)
    lines = lattice[None]
    again = [np.repeat(part, TRIED, axis=0) for part in (marked, labels, lines)]
    augment = Augmenter(config.augment.name, **config.augment.params)
    moved, masks, found = augmented(augment, (again[0], again[1], again[2]), config.seed)
    parts = ((marked, moved), (labels, masks), (lines, found))
    drawn = [np.concatenate([one, other]) for one, other in parts if other is not None]
    return drawn[0], drawn[1], drawn[2]


def _fullest(data: Source, rows: pd.DataFrame) -> pd.Series:
    """Return the row in the middle of those that show the most classes."""
    objects = [name for number, name in enumerate(data.classes) if number != data.background]
    shown = rows[objects].sum(axis=1)
    best = rows[shown == shown.max()].sort_values(["scan", "z"])
    return best.iloc[len(best) // 2]


def _grey(image: np.ndarray, data: Source) -> np.ndarray:
    """(S, h, w) -> (h, w, 3): the centre slice of a stack, or a colour image as it is."""
    if not data.has_volumes and len(image) == 3:
        return image.transpose(1, 2, 0)
    return np.repeat(image[len(image) // 2][..., None], 3, axis=2)


def _png(
    images: Sequence[np.ndarray], labels: np.ndarray, lines: np.ndarray, data: Source
) -> bytes:
    """Draw images (h, w, 3), labels (N, h, w) and lines (N, h, w) as two rows."""
    masks = data.masks(labels)  # (N, C, h, w)
    height, width = lines.shape[1:]
    colours = _colours(data)
    figure = Figure(figsize=(2.2 * len(images), 4.6 * height / width + 0.5), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for number, image in enumerate(images):
        axes[0, number].imshow(image.clip(0, 1))
        axes[0, number].set_title("untouched" if number == 0 else f"draw {number}", fontsize=9)
        painted = np.zeros((height, width, 3))
        for mask, colour in zip(masks[number], colours.values(), strict=True):
            if colour is not None:
                # where classes overlap their colours add up
                painted += mask[..., None] * np.array(to_rgb(colour))
        painted[lines[number]] = 0.5 * painted[lines[number]].clip(0, 1) + 0.5
        axes[1, number].imshow(painted.clip(0, 1))
    for axis in axes.ravel():
        axis.set_axis_off()
    patches = [Patch(color=c, label=name.replace("_", " ")) for name, c in colours.items() if c]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, fontsize=9)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def _colours(data: Source) -> dict[str, str | None]:
    """Class -> #rrggbb, None for the background."""
    table = palette(len(data.classes) + 1)
    found: dict[str, str | None] = {}
    for number, name in enumerate(data.classes):
        own = "#" + table[3 * number + 3 : 3 * number + 6].hex()
        found[name] = None if number == data.background else COLOURS.get(name, own)
    return found


def _named(config: Config) -> str:
    params = ", ".join(f"{key} {value}" for key, value in config.augment.params.items())
    return f"`{config.augment.name}`" + (f" ({params})" if params else "")


def _note(config: Config, moved: int) -> str:
    said = [
        f"Made by the code of training, seeded with {config.seed}. {moved} of {TRIED} draws moved "
        "the lattice; the first of them are shown."
    ]
    if config.crop or config.volume:
        kind = "crops, their flips and turns" if config.crop else "patches"
        said.append(f"Training cuts {kind} at random first; here the whole image is shown.")
    return " ".join(said)
