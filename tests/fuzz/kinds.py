"""Every kind of file: what can happen to it, and what a verb that reads it must then do."""

from tests.fuzz import binaries, texts
from tests.fuzz.mutators import CONTENT, DISASTERS, Disaster, Mutator

Verdict = str
Step = Mutator | Disaster

# Of the general mutators; what is not named here is "fail".
BINARY = {"linked": "same"}
TEXT = {"linked": "same", "cut": "either", "flip": "either", "insert": "either", "append": "either"}
TEXT |= {"crlf": "same", "bom": "same", "utf16": "same"}
LENIENT = {"flip": "either", "insert": "either", "append": "either"}  # no checksum inside

CSV = TEXT | {
    "zipped": "same",  # read whatever the name says
    "double_column": "either",
    "add_column": "same",
    "shuffle_columns": "same",
    "swap_rows": "same",
    "blank_lines": "same",
}
YAML = TEXT | {"comment": "same", "huge": "either", "drop_key": "either", "misspelt_key": "fail"}


def _mutators(*tables: dict[str, Mutator], without: tuple[str, ...] = ()) -> dict[str, Step]:
    found: dict[str, Step] = dict(CONTENT) | DISASTERS
    for table in tables:
        found |= table
    return {name: step for name, step in found.items() if name not in without}


def _csv(*without: str) -> dict[str, Step]:
    return _mutators(texts.CSV, texts.ENCODINGS, without=without)


_YAML = _mutators(texts.YAML, texts.ENCODINGS)
_JSON = _mutators(texts.JSON, texts.ENCODINGS)

# kind: (mutators, verdicts that are not "fail")
KINDS: dict[str, tuple[dict[str, Step], dict[str, Verdict]]] = {
    "slice": (_mutators(binaries.SLICE), BINARY),
    "photo": (_mutators(binaries.PHOTO), BINARY),
    "label": (_mutators(binaries.LABEL), BINARY),
    # rows of train.csv in another order change the fingerprint, a lost one is a slice unlabelled
    "labels": (
        _csv("bad_number"),
        CSV | {"swap_rows": "either", "drop_row": "either"},
    ),
    "masks": (_csv("bad_number"), CSV),
    "submission": (_csv("bad_number"), CSV | {"swap_rows": "fail"}),
    "sample": (
        _csv("bad_number", "bad_runs"),
        CSV | dict.fromkeys(("swap_rows", "drop_row", "double_row", "shorter_row"), "either"),
    ),
    "slices": (_csv("bad_class", "bad_runs"), CSV),
    "listing": (
        _csv("bad_class", "bad_runs"),
        CSV | dict.fromkeys(("swap_rows", "drop_row"), "either"),
    ),
    "folds": (_csv("bad_class", "bad_runs", "bad_id"), CSV),
    "experiment": (_YAML, YAML),
    "resolved": (_YAML, YAML),
    "blend": (_YAML, YAML),
    "grid": (_YAML, YAML),
    "json": (_JSON, dict.fromkeys(_JSON, "same")),
    # a bundle's: what is listed, and what lists it or describes it to Kaggle in free words
    "listed": (_mutators(), {"linked": "same"}),
    "manifest": (_JSON, TEXT | dict.fromkeys(("leaf", "drop_key", "misspelt_key"), "either")),
    "description": (_JSON, TEXT | dict.fromkeys(("leaf", "drop_key", "misspelt_key"), "either")),
    # the numbers of a bench's cell, which nothing else holds
    "record": (
        _JSON,
        # without it the cell is run again, and takes another time
        dict.fromkeys(_JSON, "same")
        | LENIENT
        | dict.fromkeys(("leaf", "drop_key", "remove"), "either"),
    ),
    "array": (
        _mutators(binaries.NPY),
        BINARY | LENIENT,
    ),
    "prediction": (_mutators(binaries.NPZ), BINARY | dict.fromkeys(LENIENT, "same")),
    "index": (
        _mutators(binaries.PARQUET),
        BINARY | dict.fromkeys((*LENIENT, "drop_column", "planes"), "same"),
    ),
    "table": (_mutators(binaries.TABLE), BINARY | LENIENT),
    # bits between the parts of a zip and what follows its end are read by nobody, and of
    # best.pt nobody needs the metrics
    "weights": (
        _mutators(binaries.PT),
        BINARY | dict.fromkeys((*LENIENT, "drop_key"), "remade"),
    ),
    "encoder": (_mutators(binaries.PT, without=("drop_key",)), BINARY | LENIENT),
    "safetensors": (_mutators(binaries.SAFETENSORS), BINARY | LENIENT),
}


def verdict(kind: str, mutator: str, remedy: bool) -> Verdict:
    """Return what a verb must do; remedy: it can make the file again, or does not need it."""
    found = KINDS[kind][1].get(mutator, "fail")
    return "remade" if remedy and found in ("fail", "same") else found
