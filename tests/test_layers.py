"""Imports point one way: constants < metrics, losses, models < data < config < ... < cli."""

import ast
from pathlib import Path

import gutseg

PACKAGE = Path(gutseg.__file__).parent

LAYERS = (
    ("constants", "files", "claims", "progress", "registry", "settings", "ending", "jobs", "gpu"),
    ("masks",),
    ("metrics", "losses", "models"),
    ("data", "synthetic"),
    ("config",),
    ("engine", "inference"),
    ("reporting",),
    ("experiment",),
    ("pseudo_labels", "epochs"),
    ("warm_start",),
    ("detector",),
    ("runs", "training"),
    ("blends", "notebook", "held_out"),
    ("study", "kaggle", "viewer", "clinic", "chapters", "planning"),
    ("clinical",),
    (
        "phantom",
        "prepare",
        "split",
        "train",
        "predict",
        "pseudo",
        "blend",
        "best",
        "score",
        "submit",
        "export",
        "segment",
        "push_to_hub",
        "validate",
        "view",
        "facts",
    ),
    ("kernel", "doctor", "bench", "report", "reuse", "list", "plan"),
    ("demo",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write gutseg.x"
            names = [node.module]
            if node.module == "gutseg":
                names = [f"gutseg.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("gutseg.")}
    return rooms


def _files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def test_every_file_stands_in_a_known_room():
    unknown = {_room(path) for path in _files()} - set(RANK)
    assert not unknown, f"name these rooms in LAYERS: {sorted(unknown)}"


def test_imports_point_left():
    arrows = [
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in _files()
        for room in _imported_rooms(path)
        if room != _room(path)
        and room in RANK
        and RANK[room] >= RANK[_room(path)]
        # the lowest layer may use itself (registry reads no config, paths read constants)
        and not (RANK[room] == RANK[_room(path)] == 0)
    ]
    assert not arrows


def test_files_and_functions_stay_short():
    too_long = []
    for path in _files():
        text = path.read_text()
        if text.count("\n") > 300:
            too_long.append(f"{path.relative_to(PACKAGE)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                too_long.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}")
    assert not too_long
