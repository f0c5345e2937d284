"""How good predictions are, with intervals, and how they are wrong: runs and blends out of fold."""

from collections.abc import Sequence
from pathlib import Path

from gutseg import blends
from gutseg.blends import Blended
from gutseg.chapters.results.comparing import overview
from gutseg.chapters.results.faults import false_part_tables, outline_parts, presence_parts
from gutseg.chapters.results.in_mm import clinical_parts
from gutseg.chapters.results.measuring import Measured, measure
from gutseg.chapters.results.people import people_parts
from gutseg.chapters.results.pictures import picture_parts
from gutseg.chapters.results.probabilities import mean_of_sums, probability_parts, sweep_parts
from gutseg.chapters.results.wording import METRIC, key_of, labels
from gutseg.config import Rule
from gutseg.constants import CLASSES, SLICE_MM
from gutseg.metrics.clinical import Clinical
from gutseg.metrics.competition import METRICS
from gutseg.reporting.parts import Section


def sections(sources: Sequence[Path]) -> list[Section]:
    """Return the sections on run folders and blend.yaml files, scored out of fold.

    Several are compared first. A source that cannot be scored is named with the reason, and
    nothing is raised for it. Each scan is read once.
    """
    opened, problems = _open(sources)
    volumes = {name: one for name, one in opened.items() if one.data.has_volumes}
    measured = {name: measure(name, one, METRICS[METRIC]) for name, one in volumes.items()}
    measured = {name: one for name, one in measured.items() if one.has_rows}
    problems += [
        f"{name} is left out: no slice shows an organ in truth or masks."
        for name in volumes
        if name not in measured
    ]
    several = len(opened) > 1
    found = _overview([*measured.values()], problems)
    for name, source in measured.items():
        found += _of_volumes(name, source, volumes[name], several)
    for name, one in opened.items():
        if name not in volumes:
            about = f"Out of fold, {len(one.scans)} images that stand alone."
            parts = picture_parts(name, one, _ending(name, several))
            found.append(Section(_key("pooled", name, several), f"Results of {name}", about, parts))
    return found


def _open(sources: Sequence[Path]) -> tuple[dict[str, Blended], list[str]]:
    opened, problems = {}, []
    for name, source in zip(labels(sources), sources, strict=True):
        try:
            opened[name] = blends.open_source(source)
        except (ValueError, OSError) as error:
            problems.append(f"{name} is left out: {error}.")
    return opened, problems


def _overview(measured: Sequence[Measured], problems: Sequence[str]) -> list[Section]:
    if not measured:
        return [Section("results", "Results", " ".join(problems), [])] if problems else []
    metric = METRICS[METRIC]
    said = f"Metric `{METRIC}`, out of fold: every patient is predicted by weights that never saw "
    about = " ".join([f"{said}them.", *problems])
    return [Section("results", "Results", about, overview(measured, metric))]


def _of_volumes(name: str, source: Measured, opened: Blended, several: bool) -> list[Section]:
    """Return the sections of one run or blend."""
    key, metric = _ending(name, several), METRICS[METRIC]
    used = [rule.threshold for rule in opened.rules]
    # what a sweep leaves out
    rules = any(vars(rule) | {"threshold": 0.5} != vars(Rule()) for rule in opened.rules)
    about = "mean over rows" + (", before small components and gates are cleared" if rules else "")
    thresholds = sweep_parts(mean_of_sums(source.swept), used, CLASSES, key, about)
    contents = {
        "people": (
            "Folds, patients and scans",
            f"{len(source.results)} scans out of fold, metric `{METRIC}`: who is worst, and "
            "whether by overlap or by distance.",
            people_parts(source, key, metric),
        ),
        "probabilities": (
            "Probabilities and thresholds",
            "Calibration of the probabilities, and the Dice that other thresholds would give.",
            [*probability_parts(source.levels, CLASSES, key), *thresholds],
        ),
        "clinical": (
            "In millimetres and millilitres",
            f"Whole volumes at true spacing; slices are taken as {SLICE_MM:g} mm thick.",
            clinical_parts(source.organs, Clinical(), key),
        ),
        "outlines": (
            "Outlines",
            "Whether predictions should grow or shrink: signed distances between surfaces.",
            outline_parts(source, key),
        ),
        "empty": (
            "Empty slices",
            "Slices in which an organ was missed or invented, by where they lie in the scan.",
            presence_parts(source, key),
        ),
        "false": (
            "False components",
            "Pieces of masks far from the organ: one of them decides the Hausdorff distance.",
            false_part_tables(source, key),
        ),
    }
    return [
        Section(_key(word, name, several), f"{title} of {name}" if several else title, about, parts)
        for word, (title, about, parts) in contents.items()
    ]


def _key(word: str, name: str, several: bool) -> str:
    return f"results-{word}-{key_of(name, '-')}" if several else f"results-{word}"


def _ending(name: str, several: bool) -> str:
    """Return what tells parts of several sources apart."""
    return f"_{key_of(name, '_')}" if several else ""
