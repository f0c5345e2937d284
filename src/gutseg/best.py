"""gutseg best RUN RUN ... [--out FOLDER]: which runs an ensemble needs, and what it then scores."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gutseg.blends import check_once, first_rules, over_background
from gutseg.files import check_output, write_json
from gutseg.inference.search import Search, parts_of, volumes
from gutseg.inference.selection import Members, examine
from gutseg.metrics.competition import METRICS
from gutseg.registry import require
from gutseg.reporting.selection import as_content, as_lines, as_table
from gutseg.runs import predictions

FILE = "best.json"


def best(
    runs: Annotated[list[Path], typer.Argument(help="run folders with predictions")],
    out: Annotated[Path | None, typer.Option(help="folder for best.json")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="a blend.yaml; default: thresholds of 0.5 alone")
    ] = None,
    metric: Annotated[str, typer.Option(help="a row of METRICS")] = "default",
    fold: Annotated[str, typer.Option(help="a number, several (0,2) or all")] = "all",
    background: Annotated[
        Path | None, typer.Option(help="a run that says where there is no organ at all")
    ] = None,
) -> None:
    """Choose the runs whose equal blend scores best out of fold, and say what each is worth.

    One run after the other is added as long as one helps. What a choice scores is also told
    cross-fitted: chosen on all folds but one, scored on that one. Prints the command that makes
    the blend.
    """
    require(metric, METRICS, "--metric")
    if len(runs) < 2:
        raise ValueError(f"{runs[0]} is one run; give two or more to choose from")
    check_once(runs)
    if out:
        check_output(out / FILE, begins=b'{\n  "runs"')
    by_class = first_rules(rules, background=background)
    found = over_background([predictions(run, fold) for run in runs], background)
    floor = min(rule.threshold for rule in by_class)
    search = Search(volumes(found, floor, apart=True), METRICS[metric], os.cpu_count() or 1)
    told = examine(Members(search, parts_of(found[0], apart=True), len(runs), by_class))
    command = _command(
        [runs[number] for number in told.chosen],
        {
            "--rules": rules,
            "--background": background,
            "--metric": None if metric == "default" else metric,
            "--fold": None if fold == "all" else fold,
        },
    )
    if out:
        content = as_content(runs, told, by_class, metric, f"{command} --trials 1")
        write_json(out / FILE, content)
    print(as_table(runs, told))
    print(as_lines(runs, told, metric))
    print(f"the chosen runs with equal weights and these rules:\n    {command} --trials 1")
    searched = command if rules else f"{command} --cross-fit"
    print(f"the same with weights and rules searched:\n    {searched}")
    if rules:
        print(
            f"cross-fitting says nothing of the rules of {rules}, which are the same for all folds"
        )


def _command(runs: Sequence[Path], options: dict[str, Path | str | None]) -> str:
    given = [word for key, value in options.items() if value for word in (key, str(value))]
    return shlex.join(["gutseg", "blend", *map(str, runs), "--out", "blends/best", *given])
