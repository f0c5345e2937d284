"""How runs were trained: curves, cost, settings, versions, weights that count, augmentation."""

from collections.abc import Sequence
from pathlib import Path

from gutseg.chapters.training import curves, lattice, tables
from gutseg.chapters.training.records import RunRecord, read_runs
from gutseg.chapters.training.weights import which_weights
from gutseg.reporting.parts import Part, Picture, Section


def sections(runs: Sequence[Path]) -> list[Section]:
    """Return the sections on the training of run folders, several compared first.

    A fold that is damaged or unfinished is named in a sentence, and so is a folder that is not a
    run; nothing is raised for them. Images are read for the augmentation alone, where the data of
    a run's config.yaml are there.
    """
    found = read_runs(runs)
    problems = [problem for run in found for problem in run.problems]
    readable = [run for run in found if run.folds]
    about = " ".join([*(which_weights(run) for run in readable), *problems])
    if not readable:
        return [Section("training", "Training", about or "No run was given.", [])]
    overview: list[Part] = [tables.folds_table(readable), *curves.compared(readable)]
    made = [tables.settings_table(readable), tables.versions_table(readable)]
    return [
        Section("training", "Training", about, overview),
        *(_curves(run) for run in readable),
        Section("training-settings", "Settings and versions", _ABOUT_SETTINGS, made),
        _augmentation(readable),
    ]


_ABOUT_SETTINGS = "What the runs set, out of their config.yaml, and what made them, out of their "
_ABOUT_SETTINGS += "meta.json."


def _curves(run: RunRecord) -> Section:
    folds = ", ".join(fold.name for fold in run.folds)
    charts = curves.figures(run)
    about = (
        f"One colour per fold ({folds}); a vertical line marks the epoch whose weights are kept."
    )
    if not charts:
        about = f"{folds}: one epoch was measured, so that there are no curves."
    key = f"training-of-{run.key.replace('_', '-')}"
    parts: list[Part] = [tables.measures_table(run), *charts]
    return Section(key, f"Training of {run.name}", about, parts)


def _augmentation(runs: Sequence[RunRecord]) -> Section:
    """One picture per run whose data are there; the others are named with the reason."""
    pictures: list[Picture] = []
    said = [
        "The same image untouched and as training sees it, with a regular lattice drawn in before."
    ]
    for run in runs:
        if run.config.augment.name == "none":
            said.append(f"{run.name} augments nothing.")
            continue
        try:
            pictures.append(lattice.picture(run))
        except (ValueError, OSError) as error:
            said.append(f"{run.name} is left out: {error}.")
    return Section("augmentation", "Augmentation", " ".join(said), pictures)
