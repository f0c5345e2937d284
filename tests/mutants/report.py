"""Writes the results of docs/mutants.md: a table, the equivalent mutants, and what is left."""

from collections import defaultdict
from pathlib import Path

import yaml

from tests.mutants.generate import Mutant

HEADING = "## Results\n"
HEAD = """
| file | mutants | tried | killed | of these by the clock | left | equivalent | share |
|---|---|---|---|---|---|---|---|
"""


def write(root: Path, rows: list[tuple[str, list[Mutant], list[tuple[Mutant, str]]]]) -> None:
    """Replace everything below the heading.

    rows: file, all of its mutants, and those that were tried with their state.
    """
    listed = yaml.safe_load((root / "tests" / "mutants" / "equivalent.yaml").read_text())
    reasons = {(e["file"], *change): e["why"] for e in listed for change in e["mutants"]}
    table, equivalent, left = [], defaultdict(list), []
    for file, mutants, tried in rows:
        before = len(left)
        survived = sorted((m for m, s in tried if s == "survived"), key=lambda m: m.line)
        for mutant in survived:
            why = reasons.get((file, mutant.function, *mutant.change))
            (equivalent[file, why] if why else left).append(mutant)
        late = sum(state == "timeout" for _, state in tried)
        missed = len(left) - before
        table.append((file, len(mutants), len(tried), late, missed, len(survived) - missed))
    totals = ("**together**", *(sum(row[n] for row in table) for n in range(1, 6)))
    text = [HEADING, HEAD, *map(_row, [*table, totals]), "\n### Equivalent\n"]
    for (file, why), found in equivalent.items():
        text += [f"\n`{file}`: {why}\n\n", *map(_change, found)]
    text.append("\n### Left\n\n")
    text += [f"`{mutant.file}`\n{_change(mutant)}" for mutant in left] or ["None.\n"]
    page = root / "docs" / "mutants.md"
    page.write_text(page.read_text().split(HEADING)[0] + "".join(text))


def _row(row: tuple) -> str:
    file, number, tried, late, left, equivalent = row
    killed = tried - left - equivalent
    share = 100 * killed / max(tried - equivalent, 1)
    cells = (file, number, tried, killed, late, left, equivalent, f"{share:.1f} %")
    return f"| {' | '.join(map(str, cells))} |\n"


def _change(mutant: Mutant) -> str:
    where = f"line {mutant.line}, `{mutant.function}`" if mutant.function else f"line {mutant.line}"
    was, now = mutant.change
    return f"- {where}: `` {was} `` → `` {now} ``\n"
