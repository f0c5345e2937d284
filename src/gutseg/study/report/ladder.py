"""A ladder: a base setting and techniques that are added to it one at a time, in pairs of cells."""

from gutseg.reporting.tables import markdown, number, with_interval
from gutseg.study.report.ranking import COMPETITION
from gutseg.study.report.view import View
from gutseg.study.statistics import interval

_PAIR = ["seed", "fold"]


def ladder(view: View) -> str:
    """What every input setting gains over the first, over all seeds and folds that both have.

    Cost is seconds of a step over the first setting's, each the least of all cells, since other
    work on the machine only adds to it.
    """
    frame = view.frame
    names = list(frame["input"].unique())
    if len(names) < 2:
        return "Not measured: the study has only one input."
    measures = [key for key in dict.fromkeys([view.score, *COMPETITION]) if key in frame]
    cells = {name: frame[frame["input"] == name].set_index(_PAIR) for name in names}
    base = cells[names[0]]
    rows = []
    for name, having in cells.items():
        gains = (having[measures] - base[measures]).dropna()
        row = [name, number(having[view.score].mean())]
        row += [
            "–" if name == names[0] else with_interval(*interval(gains[key])) for key in measures
        ]
        cost = having["seconds_per_step"].min() / base["seconds_per_step"].min()
        rows.append([*row, number(cost, 2), f"{having[view.score].notna().sum()}/{len(having)}"])
    heads = ["technique", view.score]
    heads += [f"{COMPETITION.get(key, key)}: difference ± 95 %" for key in measures]
    return markdown([*heads, "time of a step", "cells"], rows)
