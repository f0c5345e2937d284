import json

import pandas as pd
import pytest
from bench_cases import blobs, tiny

from gutseg.study.grid import Store, cells, fingerprint, second_cells, tuned


def _frame(bench, score):
    """One row a cell with a made-up score."""
    return pd.DataFrame(
        {
            "label": cell.loss.label,
            "network": cell.network.label,
            "lr": cell.lr,
            "patch": "{}x{}".format(*cell.patch),
            "seed": cell.seed,
            "iou": score(cell),
        }
        for cell in cells(bench)
    )


def test_ids_are_distinct_readable_and_stable():
    bench = tiny(lrs=[0.001, 1e-5], patches=[[16, 16], [16, 32]])
    ids = [cell.id for cell in cells(bench)]
    assert len(set(ids)) == len(ids) == 2 * 2 * 2 * 2 * 2
    assert ids[0] == "ce--unet--lr0.001--16x16--seed0--fold0"
    assert not set("".join(ids)) & set("/\\ ()=:,[]")


def test_inputs_with_a_name_stand_beside_the_network():
    bench = tiny(inputs=[{}, {"label": "five slices"}], losses=[{"name": "ce"}])
    names = [(cell.id.split("--")[2], cell.network_label) for cell in cells(bench)[:2]]
    assert names == [("lr0.01", "unet"), ("five_slices", "unet, five slices")]


def test_only_folds():
    assert {cell.fold for cell in cells(tiny(only_folds=[1]))} == {1}


def test_the_second_network_runs_the_best_losses():
    second = {
        "count": 1,
        "network": {"name": "unet", "label": "wide", "params": {"widths": [8, 8]}},
    }
    bench = tiny(best_with=second, lrs=[0.01, 0.1])
    frame = _frame(bench, lambda cell: cell.loss.name == "dice" and cell.lr == 0.01)
    chosen = second_cells(bench, frame)
    assert {cell.loss.label for cell in chosen} == {"dice"}
    assert {cell.network.label for cell in chosen} == {"wide"} and len(chosen) == 8
    assert second_cells(tiny(), frame) == []


def test_every_loss_is_taken_at_its_best_settings():
    frame = _frame(
        tiny(lrs=[0.01, 0.1]), lambda cell: cell.lr if cell.loss.name == "ce" else 1 - cell.lr
    )
    frame.loc[frame["seed"] == 1, "iou"] = float("nan")
    kept = tuned(frame, "iou")
    assert kept.groupby("label")["lr"].unique().map(list).to_dict() == {"ce": [0.1], "dice": [0.01]}


def test_other_settings_are_refused_and_failed_cells_run_again(tmp_path):
    bench = tiny()
    store, cell = Store(tmp_path, bench, "data"), cells(bench)[0]
    assert not store.finished(cell)
    store.write(cell, {"status": "failed", "reason": "x"})
    assert not store.finished(cell)
    store.write(cell, {"status": "diverged", "reason": "x"})
    assert store.finished(cell)
    for changed, data in ((tiny(batch_size=3), "data"), (bench, "other")):
        with pytest.raises(FileExistsError, match="run with other settings .(batch_size|data): "):
            Store(tmp_path, changed, data).finished(cell)
    for key, value in (("channels_last", True), ("background_from", {"name": "ce"})):
        with pytest.raises(FileExistsError, match=f"run with other settings .{key}: "):
            Store(tmp_path, tiny(**{key: value}), "data").finished(cell)
    assert Store(tmp_path, tiny(seeds=[0]), "data").finished(cell)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("result.json", "", "is not valid JSON"),
        ("result.json", '{"status": "ok", "reas', "is not valid JSON"),
        ("result.json", "[]", "holds no `key: value` pairs; delete .* its cell is trained again"),
        ("result.json", "{}", "is not the result of a cell; delete .* its cell is trained again"),
        ("result.json", '{"status": "fine", "reason": ""}', "is not the result of a cell"),
        ("result.json", '{"status": "ok", "reason": ""}', "is not the result of a cell"),
        ("result.json", '{"status": "ok", "reason": "", "iou": "x"}', "is not the result of a"),
        ("result.json", '{"status": "ok", "reason": "", "iou": [1]}', "is not the result of a"),
        ("result.json", '{"status": "ok", "reason": "", "iou": true}', "is not the result of a"),
        ("result.json", f'{{"status": "ok", "reason": "", "iou": {10**30}}}', "is not the result"),
        ("settings.json", None, "does not exist; delete .* its cell is trained again"),
        ("settings.json", "[1]", "holds no `key: value` pairs; delete"),
        ("settings.json", "\xff", "is not valid JSON"),
    ],
)
def test_a_broken_result_is_named(tmp_path, name, text, message):
    store, cell = Store(tmp_path, tiny(), "data"), cells(tiny())[0]
    store.write(cell, {"status": "ok", "reason": "", "iou": 0.5})
    path = tmp_path / "cells" / cell.id / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises((ValueError, OSError), match=f"{name} {message}"):
        store.finished(cell)
    if name == "result.json":
        with pytest.raises(ValueError, match=f"{name} {message}"):
            store.frame([cell])


def test_a_link_to_nowhere_is_no_cell_that_is_yet_to_run(tmp_path):
    store, cell = Store(tmp_path, tiny(), "data"), cells(tiny())[0]
    store.write(cell, {"status": "ok", "reason": "", "iou": 0.5})
    path = tmp_path / "cells" / cell.id / "result.json"
    path.rename(path.with_name("moved.json"))
    path.symlink_to("gone.json")
    with pytest.raises(FileNotFoundError, match="result.json is a link to gone.json"):
        store.finished(cell)


def test_the_frame_has_a_row_a_result(tmp_path):
    bench = tiny()
    store, grid = Store(tmp_path, bench, "data"), cells(bench)
    store.write(grid[0], {"status": "ok", "reason": "", "iou": 0.5})
    store.write(grid[1], {"status": "diverged", "reason": "nan"})
    frame = store.frame(grid)
    assert frame["status"].tolist() == ["ok", "diverged"]
    assert json.loads(frame["params"][0]) == {"class_weights": None, "divide_by": "weights"}
    assert frame["architecture"][0] == "unet" and frame["batch_size"][0] == bench.batch_size
    assert json.loads(frame["network_params"][0])["widths"] == [4, 8]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "bench.parquet"), frame)


def test_the_fingerprint_is_of_pixels():
    one, same, other = blobs(), blobs(), blobs()
    other.labels[0][0, 0] ^= 1
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
