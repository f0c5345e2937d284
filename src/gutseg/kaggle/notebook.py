"""kernels/*/*.ipynb, made from the scripts beside them: make notebooks."""

import json
import re
from pathlib import Path
from typing import Any

from gutseg.files import replacing
from gutseg.kaggle.bundle import KERNELS, complete

KINDS = ("infer", "train", "cv")
# What a notebook shows after the script has run.
SHOWN = {
    "infer": """\
from gutseg.kaggle.pictures import draw_slices
from IPython.display import Image, display

try:
    draw_slices(Path("submission.csv"), INPUT, Path("slices.png"))
    display(Image("slices.png"))
except Exception as error:  # a picture must not cost a submission
    print(f"no picture: {error}")"""
}
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(kind: str) -> dict[str, Any]:
    """Return the notebook of a kernel: a cell for every part of its script, no outputs.

    The text of opening.py is in it, as in a script that is built, but any bundle will do.
    """
    _, about, code = complete((KERNELS / kind / f"{kind}.py").read_text(), "").split('"""', 2)
    cells = [_cell("markdown", 0, about.strip())]
    parts = [*split(code), *([SHOWN[kind]] if kind in SHOWN else [])]
    cells += [_cell("code", number, part) for number, part in enumerate(parts, start=1)]
    return {"cells": cells, "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}


def split(code: str) -> list[str]:
    """Cut a script where two lines are blank, that is between its functions."""
    return [part.strip("\n") for part in re.split(r"\n{3,}", code.strip("\n"))]


def _cell(kind: str, number: int, text: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.splitlines(keepends=True)
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, **extra, "source": lines}


def text_of(kind: str) -> str:
    """Return what the file of a notebook holds."""
    return json.dumps(notebook(kind), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the notebooks of all kernels of this clone."""
    for kind in KINDS:
        path: Path = KERNELS / kind / f"{kind}.ipynb"
        with replacing(path) as temporary:
            temporary.write_text(text_of(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
