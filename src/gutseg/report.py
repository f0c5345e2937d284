"""gutseg report SOURCES --data FOLDER --out report/report.html: a page to look at, its tables."""

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

import gutseg
from gutseg import runs, viewer
from gutseg.chapters import dataset, results, training
from gutseg.config import load_blend
from gutseg.data.folds import FULL
from gutseg.engine.provenance import commit
from gutseg.files import need_file
from gutseg.progress import progress
from gutseg.reporting.page import MOST_BYTES
from gutseg.reporting.parts import Report, Section
from gutseg.reporting.writing import Format, check_places, write

# of the chapters in the page
ORDER = ("results", "scans", "training", "data")
EXPECTED = "give a run folder or a blend.yaml, or data with --data"


def report(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="run folders and blend.yaml files")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="a cache, a competition's folder or a csv of slices")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the page [default: report/report.html, or .md]")
    ] = None,
    format: Annotated[Format, typer.Option(help="html, or md: Markdown with PNGs")] = "html",
) -> None:
    """Write a page on data, runs and blends, its tables as csv and its figures as PNG and SVG.

    The page is one file that needs no network; tables/ and figures/ lie beside it. A second
    report replaces all three, so every report gets a folder of its own.
    """
    given = list(sources or [])
    out = out or Path("report") / f"report.{format}"
    folders = _run_folders(given)
    check_places(out, format, [*given, *folders, *([data] if data else [])])
    shown = build(given, data)
    size = write(shown, out, format)
    heavy = f"; more than the {MOST_BYTES / 1e6:.0f} MB meant" if size > MOST_BYTES else ""
    count = sum(len(section.parts) for section in shown.sections)
    megabytes = f"{size / 1e6:.1f} MB{heavy}"
    print(f"{out}: {len(shown.sections)} sections, {count} tables and figures, {megabytes}")


def build(sources: Sequence[Path], data: Path | None = None) -> Report:
    """Return the report on run folders and blend.yaml files; in a notebook it shows itself.

    data: a cache, a competition's folder or a list of slices, which is described last.
    """
    folders = _run_folders(sources)
    chapters: dict[str, Callable[[], Iterable[Section]]] = {}
    if data:  # first: what is wrong with a path is known before the long work
        chapters["data"] = lambda: dataset.sections(data)
    if folders:
        chapters["results"] = lambda: results.sections(sources)
    chapters["scans"] = lambda: viewer.sections(sources, data)
    if folders:
        chapters["training"] = lambda: training.sections(folders)
    if not (folders or data):
        raise ValueError(f"nothing to report on; {EXPECTED}")
    found: dict[str, Iterable[Section]] = {}
    bar = progress(chapters.items(), desc="chapters", unit="chapter")
    for name, chapter in bar:
        bar.set_postfix_str(name)
        found[name] = chapter()
    sections = [section for name in ORDER for section in found.get(name, ())]
    named = [*sources, *([data] if data and not sources else [])]
    return Report(", ".join(dict.fromkeys(map(_name, named))), _about(), sections)


def _name(path: Path) -> str:
    """Return what a source is called: a blend.yaml like its folder."""
    return (path.parent if path.name == "blend.yaml" else path).resolve().name


def _about() -> str:
    made = commit()
    version = f"gutseg {gutseg.__version__}{f', commit {made}' if made else ''}"
    # in a notebook or a test the words of the process say nothing
    typed = shlex.join(["gutseg", *sys.argv[1:]]) if "report" in sys.argv[1:2] else ""
    return f"{version}, {date.today():%d %B %Y}\n{typed}".strip()


def _run_folders(sources: Sequence[Path]) -> list[Path]:
    """Return the run folders that are named, and those of the blends, each once."""
    found: dict[Path, Path] = {}
    for source in sources:
        for run in [source] if source.is_dir() else _members(source):
            if not (run / FULL / "config.yaml").is_file():
                runs.fold_folders(run, "all")  # a sentence for what is not a run
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _members(path: Path) -> list[Path]:
    solved = load_blend(need_file(path, EXPECTED))
    return [path.parent / member.run for member in solved.members]
