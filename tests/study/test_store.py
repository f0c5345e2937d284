"""What a finished cell may be reused for, and what the folder of a study holds."""

import json
import typing

import numpy as np
import pandas as pd
import pytest
from bench_cases import blob_source, tiny

from gutseg.config import Config
from gutseg.config.sections import Attention, Presence
from gutseg.data.mixing import Mix
from gutseg.data.patches import Patching
from gutseg.data.prior_day import PriorDay
from gutseg.data.selection import Dropped, Hard
from gutseg.settings import Section
from gutseg.study.store import HARMLESS, Store, changes, fingerprint

DATA = "0123456789abcdef"


def _begun(folder, result=None, study=None):
    """A store and the first cell of a study, begun and perhaps with a result."""
    study = study or tiny()
    store, cell = Store(folder, study.score), study.cells([0, 1], folder / "cells")[0]
    store.begin(cell, DATA)
    if result:
        store.write(cell, {"reason": ""} | result)
    return store, cell


def _sections(kind=Config, prefix=()):
    """Every leaf of a config: the path of its key and its declared type."""
    for name, declared in kind.model_fields.items():
        parts = typing.get_args(declared.annotation) or (declared.annotation,)
        inside = [p for p in parts if isinstance(p, type) and issubclass(p, Section)]
        if inside:
            yield from _sections(inside[0], (*prefix, name))
        else:
            yield (*prefix, name)


def _with(config, path, value):
    """The config with another value at a key, whatever the checks say of it."""
    name, *rest = path
    if rest:
        value = _with(getattr(config, name), rest, value)
    return config.model_copy(update={name: value})


def _whole(config):
    """The config with the sections that it may leave out."""
    model = config.model.model_copy(update={"presence": Presence(), "attention": Attention()})
    data = config.data.model_copy(update={"drop": Dropped(), "hard": Hard()})
    sections = {"data": data, "model": model, "volume": Patching(), "mix": Mix()} | {
        "prior_day": PriorDay()
    }
    return config.model_copy(update=sections)


CONFIG = _whole(tiny().first_config)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # of a value that no check let through
@pytest.mark.parametrize("path", list(_sections()), ids=".".join)
def test_every_key_of_a_config_makes_a_cell_stale_unless_it_is_harmless(path):
    config = CONFIG
    before = config
    for name in path:
        before = getattr(before, name)
    other = {"another": 1} if isinstance(before, dict) else "another"
    changed = changes(config, _with(config, path, other), HARMLESS)
    key = ".".join(path)
    assert bool(changed) != (key in HARMLESS)
    assert all(text.startswith(key) for text in changed)


def test_harmless_keys_are_keys():
    assert set(HARMLESS) <= {".".join(path) for path in _sections()}
    assert len(list(_sections())) > 50


@pytest.mark.parametrize("status", ["ok", "diverged", "failed"])
def test_other_settings_are_refused_and_failed_cells_run_again(tmp_path, status):
    store, cell = _begun(tmp_path)
    assert store.result(cell) is None
    store.write(cell, {"status": status, "reason": "", "iou": 0.5})
    store.check(cell, DATA)
    assert (store.result(cell) is None) == (status == "failed")
    others = {"train.batch_size": 3, "train.channels_last": True, "optim.power": 0.5}
    # val_loss of a loss over batches, such as Dice, depends on it
    others["predict.batch_size"] = 3
    for key, value in others.items():
        base = {key: value}
        other = tiny(base=base).cells([0, 1], tmp_path / "cells")[0]
        with pytest.raises(
            FileExistsError, match=rf"run with other settings .{key}: .* -> {value}"
        ):
            store.check(other, DATA)
    with pytest.raises(FileExistsError, match=f"other settings .data: {DATA} -> more data"):
        store.check(cell, "more data")
    harmless = {"train.workers": 2, "train.tensorboard": True, "predict.tta": "hflip"}
    store.check(tiny(base=harmless).cells([0, 1], tmp_path / "cells")[0], DATA)


def test_a_cell_that_was_stopped_is_not_resumed_with_other_settings(tmp_path):
    store, cell = _begun(tmp_path)
    other = tiny(base={"train.batch_size": 3}).cells([0, 1], tmp_path / "cells")[0]
    store.check(other, DATA)  # nothing was trained yet
    cell.folder.mkdir()
    (cell.folder / "last.pt").write_text("half of a training")
    store.check(cell, DATA)
    with pytest.raises(FileExistsError, match="run with other settings .train.batch_size: 2 -> 3"):
        store.check(other, DATA)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fold0.json", "", "is not valid JSON"),
        ("fold0.json", '{"status": "ok", "reas', "is not valid JSON"),
        ("fold0.json", "[]", "holds no `key: value` pairs; delete .* its cells are trained again"),
        ("fold0.json", "{}", "is not the result of a cell; delete .* its cells are trained again"),
        ("fold0.json", '{"status": "fine", "reason": ""}', "is not the result of a cell"),
        ("fold0.json", '{"status": "ok", "reason": ""}', "is not the result of a cell"),
        ("fold0.json", '{"status": "ok", "reason": "", "iou": "x"}', "is not the result of a"),
        ("fold0.json", '{"status": "ok", "reason": "", "iou": [1]}', "is not the result of a"),
        ("fold0.json", '{"status": "ok", "reason": "", "iou": true}', "is not the result of a"),
        ("fold0.json", f'{{"status": "ok", "reason": "", "iou": {10**30}}}', "is not the result"),
        ("data.json", None, "does not exist; delete .* its cells are trained again"),
        ("data.json", "[1]", "holds no `key: value` pairs; delete"),
        ("data.json", "\xff", "is not valid JSON"),
        ("config.yaml", None, "does not exist; delete .* its cells are trained again"),
        ("config.yaml", "[1]", "holds no `key: value` lines"),
        ("config.yaml", "loss: {name: dise}", "loss: unknown name 'dise'"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, text, message):
    store, cell = _begun(tmp_path, {"status": "ok", "iou": 0.5})
    path = cell.folder.parent / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, OSError), match=f"{name}:? {message}"):
        store.check(cell, DATA)
        store.result(cell)
    if name == "fold0.json":
        with pytest.raises(ValueError, match=f"{name} {message}"):
            store.frame([cell])


def test_a_link_to_nowhere_is_no_cell_that_is_yet_to_run(tmp_path):
    store, cell = _begun(tmp_path, {"status": "ok", "iou": 0.5})
    path = cell.folder.parent / "fold0.json"
    path.rename(path.with_name("moved.json"))
    path.symlink_to("moved_away.json")
    with pytest.raises(FileNotFoundError, match="fold0.json is a link to moved_away.json"):
        store.result(cell)


def test_the_frame_has_a_row_a_result(tmp_path):
    study = tiny()
    store, cells = Store(tmp_path, study.score), study.cells([0, 1], tmp_path / "cells")
    for cell, result in zip(
        cells, ({"status": "ok", "iou": 0.5}, {"status": "diverged"}), strict=False
    ):
        store.begin(cell, DATA)
        store.write(cell, {"reason": ""} | result)
    frame = store.frame(cells)
    assert frame["status"].tolist() == ["ok", "diverged"]
    assert json.loads(frame["params"][0])["divide_by"] == "weights"
    assert frame["architecture"][0] == "unet" and frame["batch_size"][0] == 2
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "bench.parquet"), frame)


def test_the_fingerprint_is_of_pixels_and_folds():
    one, same, other = blob_source(), blob_source(), blob_source()
    other.pictures["image0"].labels[0, 0, 0] ^= 1
    table = one.index.assign(fold=np.arange(6) % 2)
    assert fingerprint(one, table) == fingerprint(same, table) != fingerprint(other, table)
    assert fingerprint(one, table) != fingerprint(one, table.assign(fold=[1, 0, 0, 1, 0, 1]))
