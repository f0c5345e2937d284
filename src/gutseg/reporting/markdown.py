"""Markdown tables."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Return a Markdown table; the first `words` columns are words, the others numbers."""
    lines = [header, ["---"] * words + ["---:"] * (len(header) - words), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|")


def number(value: float, digits: int = 3) -> str:
    """Return a number with fixed digits, a dash for NaN."""
    return "–" if value != value else f"{value:.{digits}f}"


def with_interval(mean: float, half: float, digits: int = 3) -> str:
    """Return mean ± half the width of its interval."""
    return number(mean, digits) if half != half else f"{mean:.{digits}f} ± {half:.{digits}f}"
