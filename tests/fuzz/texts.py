"""Mutators of csv, YAML and JSON that know rows, columns, keys and types."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

from tests.fuzz.mutators import Mutator

Rows = list[list[str]]

NUMBERS = {"case", "fold", "width", "height", "has_ann"}
RUNS = {"segmentation", "predicted"}
NO_NUMBER = ["", "nan", "inf", "-1", "1e400", "9" * 25, "1.5", "٣", "abc", "0x10", "1;2", "--", "?"]
NO_ID = ["", "case1", "case1_day0", "case٣_day0_slice_0001", "../x", "case1_day0_slice_1", "nan"]
NO_ID += ["case1_day0_slice_0001 ", "case" + "9" * 30 + "_day0_slice_0001", "x" * 200_000]
NO_RUNS = ["1", "0 5", "5 -1", "1 999999", "a b", "5 3 1", "1.5 2", "٣ 3", "1 0", "1" * 30 + " 1"]
NO_RUNS += ["1 5 3 4", "\t", "1 " + "9" * 18]


def _table(change: Callable[[Rows, Random], None]) -> Mutator:
    """Make a mutator of a change to the rows, of which the first is the header."""

    def mutate(data: bytes, rng: Random) -> bytes:
        rows = list(csv.reader(io.StringIO(data.decode())))
        change(rows, rng)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    return mutate


def _cell(rows: Rows, rng: Random, columns: set[str], values: list[str]) -> None:
    places = [place for place, name in enumerate(rows[0]) if name in columns]
    rows[rng.randrange(1, len(rows))][rng.choice(places)] = rng.choice(values)


def _drop_column(rows: Rows, rng: Random) -> None:
    place = rng.randrange(len(rows[0]))
    for row in rows:
        del row[place]


def _double_column(rows: Rows, rng: Random) -> None:
    place = rng.randrange(len(rows[0]))
    for row in rows:
        row.append(row[place])


def _add_column(rows: Rows, rng: Random) -> None:
    for number, row in enumerate(rows):
        row.append(str(number) if number else "remark")


def _shuffle_columns(rows: Rows, rng: Random) -> None:
    for row in rows:
        row.append(row.pop(0))


def _rename(rows: Rows, rng: Random) -> None:
    rows[0][rng.randrange(len(rows[0]))] = rng.choice(["", "Id", "unnamed", "классы"])


def _any_row(rows: Rows, rng: Random) -> int:
    return rng.randrange(1, len(rows))


def _longer(rows: Rows, rng: Random) -> None:
    rows[_any_row(rows, rng)] += ["1", "2"]


def _shorter(rows: Rows, rng: Random) -> None:
    rows[_any_row(rows, rng)].pop()


def _swap(rows: Rows, rng: Random) -> None:
    one, two = rng.sample(range(1, len(rows)), 2)
    rows[one], rows[two] = rows[two], rows[one]


def _quote(data: bytes, rng: Random) -> bytes:
    lines = data.decode().split("\n")
    lines[rng.randrange(1, len(lines) - 1)] = '"' + lines[1]
    return "\n".join(lines).encode()


def _blank_lines(data: bytes, rng: Random) -> bytes:
    return data.replace(b"\n", b"\n\n") if rng.random() < 0.5 else data + b"\n\n"


CSV: dict[str, Mutator] = {
    "drop_column": _table(_drop_column),
    "double_column": _table(_double_column),
    "add_column": _table(_add_column),
    "shuffle_columns": _table(_shuffle_columns),
    "rename_column": _table(_rename),
    "no_header": _table(lambda rows, rng: rows.pop(0)),
    "header_twice": _table(lambda rows, rng: rows.insert(_any_row(rows, rng), rows[0])),
    "only_header": _table(lambda rows, rng: rows.__delitem__(slice(1, None))),
    "drop_row": _table(lambda rows, rng: rows.pop(_any_row(rows, rng))),
    "double_row": _table(lambda rows, rng: rows.append(rows[_any_row(rows, rng)])),
    "swap_rows": _table(_swap),
    "longer_row": _table(_longer),
    "shorter_row": _table(_shorter),
    "bad_number": _table(lambda rows, rng: _cell(rows, rng, NUMBERS, NO_NUMBER)),
    "bad_id": _table(lambda rows, rng: _cell(rows, rng, {"id"}, NO_ID)),
    "bad_class": _table(lambda rows, rng: _cell(rows, rng, {"class"}, ["", "liver", "Stomach"])),
    "bad_runs": _table(lambda rows, rng: _cell(rows, rng, RUNS, NO_RUNS)),
    "quote": _quote,
    "blank_lines": _blank_lines,
}


def crlf(data: bytes, rng: Random) -> bytes:
    """Write the lines as Windows does."""
    return data.replace(b"\n", b"\r\n")


def bom(data: bytes, rng: Random) -> bytes:
    """Put the mark in front that Windows puts before UTF-8."""
    return b"\xef\xbb\xbf" + data


def utf16(data: bytes, rng: Random) -> bytes:
    """Write it as UTF-16."""
    return data.decode().encode("utf-16")


ENCODINGS: dict[str, Mutator] = {"crlf": crlf, "bom": bom, "utf16": utf16}

# A key and the value of a Python expression would run it; an anchor nine deep is 10^9 words.
RUN_CODE = b"\nextra: !!python/object/apply:os.system ['touch was_here']\n"
LAUGHS = b"\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)
)
# Keys whose huge value is not wrong: the work only takes for ever.
ENDLESS = {"epochs", "steps_per_epoch", "steps", "seconds", "patience"}
# Keys that may hold any text.
FREE = {"name", "runs", "cache", "folds", "label", "folder", "run"}


def _leaves(content: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    if isinstance(content, dict | list) and content:
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _leaves(value, (*path, key))
    else:
        yield path, content


def _set(content: Any, path: tuple, value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def _structure(change: Callable[[dict, Random], Any]) -> Mutator:
    """Make a mutator of a change to a YAML's content; what it returns replaces the content."""

    def mutate(data: bytes, rng: Random) -> bytes:
        content = yaml.safe_load(data)
        changed = change(content, rng)
        found = content if changed is None else changed
        return yaml.safe_dump(found, allow_unicode=True, sort_keys=False).encode()

    return mutate


def _number(values: list[Any], skip: set[str] = frozenset()) -> Mutator:
    """Make a mutator that replaces one number."""

    def change(content: dict, rng: Random) -> None:
        numbers = [
            path
            for path, value in _leaves(content)
            if type(value) in (int, float) and not skip & set(path)
        ]
        _set(content, rng.choice(numbers), rng.choice(values))

    return _structure(change)


def _wrong_type(content: dict, rng: Random) -> None:
    path, _ = rng.choice(list(_leaves(content)))
    _set(content, path, rng.choice([{"a": [1]}, [[1], "x"], {"a": {"b": None}}]))


def _wrong_word(content: dict, rng: Random) -> None:
    words = [path for path, value in _leaves(content) if isinstance(value, str)]
    words = [path for path in words if path[-1] not in FREE or path[1:][-1:] == ("name",)]
    _set(content, rng.choice(words), rng.choice(["no_such_thing", "", " dice", "имя", "x" * 9999]))


def _sections(content: Any) -> list[dict]:
    found = [content] if isinstance(content, dict) else []
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, dict | list):
            found += _sections(value)
    return found


def _unknown_key(content: dict, rng: Random) -> None:
    rng.choice(_sections(content))[rng.choice(["no_such_key", 7, "", "Name"])] = 1


def _misspell(content: dict, rng: Random) -> None:
    section = rng.choice([section for section in _sections(content) if section])
    key = rng.choice(list(section))
    section[f"{key}s"] = section.pop(key)


def _drop_key(content: dict, rng: Random) -> None:
    section = rng.choice([section for section in _sections(content) if section])
    del section[rng.choice(list(section))]


def _double_key(data: bytes, rng: Random) -> bytes:
    return data + data[: data.index(b"\n", data.index(b":")) + 1]


def _deep(data: bytes, rng: Random) -> bytes:
    return data + b"extra: " + b"[" * 5000 + b"]" * 5000 + b"\n"


def _broken(data: bytes, rng: Random) -> bytes:
    return data + rng.choice([b"\tx: 1\n", b"a: [1, 2\n", b"}\n", b"a: b: c\n", b"x: *nobody\n"])


YAML: dict[str, Mutator] = {
    "not_finite": _number([float("nan"), float("inf"), float("-inf")]),
    "negative": _number([-1, -0.5, -(10**30)]),
    "huge": _number([10**30, 1e300, 10**7], skip=ENDLESS),
    "no_number": _number([True, "٣", "1,5", "", [1], "nan", "12 "]),
    "wrong_type": _structure(_wrong_type),
    "wrong_word": _structure(_wrong_word),
    "unknown_key": _structure(_unknown_key),
    "misspelt_key": _structure(_misspell),
    "drop_key": _structure(_drop_key),
    "not_a_mapping": _structure(lambda content, rng: rng.choice([[content], "text", 7, [1, 2]])),
    "double_key": _double_key,
    "deep": _deep,
    "broken": _broken,
    "run_code": lambda data, rng: data + RUN_CODE,
    "laughs": lambda data, rng: data + LAUGHS,
    "two_documents": lambda data, rng: data + b"---\n" + data,
    "comment": lambda data, rng: b"# a remark\n" + data,
}


def _json(change: Callable[[Any, Random], Any]) -> Mutator:
    return lambda data, rng: json.dumps(change(json.loads(data), rng)).encode()


def _json_leaf(content: dict, rng: Random) -> dict:
    path, value = rng.choice(list(_leaves(content)))
    others = [None, -1, 1e300, float("nan"), "text", [], {}, True, 10**30]
    _set(content, path, rng.choice([other for other in others if other != value]))
    return content


def _json_drop(content: dict, rng: Random) -> dict:
    del content[rng.choice(list(content))]
    return content


JSON: dict[str, Mutator] = {
    "other_json": _json(lambda content, rng: rng.choice([{}, [], None, "text", 7, [content]])),
    "leaf": _json(_json_leaf),
    "drop_key": _json(_json_drop),
    "deep": lambda data, rng: b"[" * 100_000 + b"]" * 100_000,
}
