"""A report as files: the page, its tables as csv, its figures as PNG and SVG."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pandas as pd

from gutseg.files import check_output, check_output_folder, replacing, replacing_folder
from gutseg.progress import progress
from gutseg.reporting import markdown_page, page
from gutseg.reporting.cells import tables, with_index, with_unique_names
from gutseg.reporting.drawing import draw, to_bytes
from gutseg.reporting.parts import Chart, Heat, Picture, Report

Format = Literal["html", "md"]
# the folders beside the page, what is written there, and the list that each of them holds
FIGURES, TABLES = "figures", "tables"
FIGURE_LIST, TABLE_LIST = "gutseg_figures.csv", "gutseg_tables.csv"
FIGURE_FILES, TABLE_FILES = ("*.png", "*.svg", FIGURE_LIST), ("*.csv",)


def check_places(out: Path, kind: Format, inputs: Iterable[Path]) -> None:
    """Raise FileExistsError unless all outputs replace nothing but an earlier report."""
    if out.suffix != f".{kind}":
        raise ValueError(f"--out {out}: expected a name that ends with .{kind} (--format {kind})")
    inputs = list(inputs)
    check_output(out, inputs, begins=(page if kind == "html" else markdown_page).BEGINS)
    check_output_folder(out.parent / FIGURES, FIGURE_FILES, marker=FIGURE_LIST, inputs=inputs)
    check_output_folder(out.parent / TABLES, TABLE_FILES, marker=TABLE_LIST, inputs=inputs)


def write(report: Report, out: Path, kind: Format = "html") -> int:
    """Write the page and the folders beside it; return the bytes of the page.

    Each of the three is whole or as it was before. Call `check_places` before the work.
    """
    report = with_unique_names(report)
    _write_tables(report, out.parent / TABLES)
    _write_figures(report, out.parent / FIGURES, ("png", "svg") if kind == "html" else ("png",))
    text = page.page(report) if kind == "html" else markdown_page.markdown_page(report)
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return len(text.encode())


def _write_tables(report: Report, folder: Path) -> None:
    with _list(folder, TABLE_FILES, TABLE_LIST) as (temporary, rows):
        for one in tables(report):
            with_index(one.frame).to_csv(temporary / f"{one.name}.csv", index=False)
            rows.append({"file": f"{one.name}.csv", "caption": one.caption, "note": one.note})


def _write_figures(report: Report, folder: Path, kinds: tuple[Literal["png", "svg"], ...]) -> None:
    parts = [part for section in report.sections for part in section.parts]
    shown = [part for part in parts if isinstance(part, Chart | Heat | Picture)]
    with _list(folder, FIGURE_FILES, FIGURE_LIST) as (temporary, rows):
        for one in progress(shown, desc="figures", unit="figure"):
            rows.append({"file": f"{one.name}.png", "caption": one.caption, "about": one.about})
            if isinstance(one, Picture):
                (temporary / f"{one.name}.png").write_bytes(one.png)
                continue
            figure = draw(one)
            for kind in kinds:
                (temporary / f"{one.name}.{kind}").write_bytes(to_bytes(figure, kind))


@contextmanager
def _list(folder: Path, files: tuple[str, ...], name: str) -> Iterator[tuple[Path, list[dict]]]:
    """Replace a folder of files and write the list of them that marks it as ours."""
    rows: list[dict] = []
    with replacing_folder(folder, files, marker=name) as temporary:
        temporary.mkdir(exist_ok=True)
        yield temporary, rows
        pd.DataFrame(rows, columns=list(rows[0]) if rows else ["file"]).to_csv(
            temporary / name, index=False
        )
