"""Names, numbers and intervals as the chapter words them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gutseg.metrics.intervals import Interval
from gutseg.reporting.tables import number

METRIC = "default"


def organ_name(organ: str) -> str:
    """Return a class as a person writes it: large bowel."""
    return organ.replace("_", " ")


def labels(sources: Sequence[Path]) -> list[str]:
    """Return a short name per source: its folder's, with as many parents as tell all apart."""
    folders = [(one if one.is_dir() else one.parent).resolve().parts for one in sources]
    names = [folder[-1] for folder in folders]
    for depth in range(2, max(map(len, folders), default=0) + 1):
        if len(set(names)) == len(names):
            return names
        names = ["/".join(folder[-depth:]) for folder in folders]
    # the same source twice, or a run and a blend.yaml of one folder
    return [f"{name} ({place})" for place, name in enumerate(names, 1)]


def key_of(name: str, joint: str) -> str:
    """Return a name as keys and files have it: letters and digits joined by one character."""
    kept = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in name)
    return joint.join(kept.lower().split())


def columns(found: Mapping[str, Interval]) -> dict[str, float]:
    """Return the score with its ends, Dice and 1 - Hausdorff, as columns of a table."""
    score = found["score"]
    ends = {"score": score.value, "from": score.low, "to": score.high}
    return ends | {"Dice": found["dice"].value, "1 - Hausdorff": 1 - found["hausdorff"].value}


def part_columns(found: Mapping[str, Interval]) -> dict[str, float]:
    """Return Dice and 1 - Hausdorff with their ends, as columns of a table."""
    value, low, high = found["hausdorff"]
    parts = {"Dice": found["dice"], "1 - Hausdorff": Interval(1 - value, 1 - high, 1 - low)}
    return {
        f"{name}{which}": end
        for name, one in parts.items()
        for which, end in zip(("", ", from", ", to"), one, strict=True)
    }


def with_ends(one: Interval) -> str:
    """Return a value with its interval: 0.768 (0.739 to 0.797)."""
    if one.low != one.low:
        return number(one.value)
    return f"{number(one.value)} ({number(one.low)} to {number(one.high)})"
