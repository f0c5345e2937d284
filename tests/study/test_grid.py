"""Base and axes become cells; what cannot is refused with the key named."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bench_cases import CONTENT, content, study_of, tiny

from gutseg.study.grid import read_study
from gutseg.study.report.tables import check_tables
from gutseg.study.report.view import View

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "bench").glob("*.yaml"))
UNET = {"label": "unet", "value": {"name": "unet", "params": {"widths": [4, 8]}}}
WIDE = {"label": "wide", "value": {"name": "unet", "params": {"widths": [8, 8]}}}


def _dumped(content):
    return yaml.safe_dump(content, sort_keys=False)


def _cells(study, folds=(0, 1)):
    return study.cells(list(folds), Path("out"))


def _frame(cells, score):
    """One row a cell with a made-up score."""
    return pd.DataFrame([cell.columns | {"iou": score(cell)} for cell in cells])


def test_a_cell_is_the_base_with_its_values():
    axes = {"optim.lr": [0.1, 0.2], "seed": [5], "model": [UNET]}
    cells = _cells(tiny(axes, {"train.batch_size": 4}))
    assert len(cells) == 2 * 2 * 2
    one = cells[0].config
    assert (one.optim.lr, one.seed, one.train.batch_size, one.loss.name) == (0.1, 5, 4, "ce")
    assert list(one.model.params["widths"]) == [4, 8] and one.crop.size == (16, 16)
    assert one.runs == Path("out") and cells[0].folder == Path("out") / one.name / "fold0"


def test_ids_are_distinct_readable_and_stable():
    study = tiny({"optim.lr": [0.001, 1e-5], "crop.size": [[16, 16], [16, 32]], "model": [UNET]})
    ids = [cell.id for cell in _cells(study)]
    assert len(set(ids)) == len(ids) == 2 * 2 * 2 * 2 * 2
    assert ids[0] == "ce--unet--lr0.001--16x16--seed0--fold0"
    assert not set("".join(ids)) & set("/\\ ()=:,[]")


def test_seeds_come_first_so_that_a_stopped_study_compares_all():
    places = [(cell.config.seed, cell.fold) for cell in _cells(tiny())]
    assert places == [(0, 0), (0, 0), (0, 1), (0, 1), (1, 0), (1, 0), (1, 1), (1, 1)]


def test_a_named_axis_sets_several_keys():
    still = {"crop.flips": False, "crop.quarter_turns": False}
    axes = {
        "input": [
            {"label": "", "set": {}},
            {"label": "one channel", "set": still | {"channels": [2]}},
        ]
    }
    cells = _cells(tiny(axes | {"model": [UNET], "loss": [{"name": "ce"}]}))
    assert [cell.network for cell in cells[:2]] == ["unet", "unet, one channel"]
    assert cells[1].id.split("--")[:3] == ["ce", "unet", "one_channel"]
    assert cells[1].config.channels == [2] and not cells[1].config.crop.flips
    assert cells[0].config.channels is None and cells[0].columns["input"] == ""


def test_a_key_inside_a_section_that_another_axis_gives_is_kept():
    """Losses come last of all axes: their sections used to replace what was set inside them."""
    rows = [
        {"label": "", "set": {}},
        {"label": "recall", "set": {"loss.params.beta": 0.9, "model.params.widths": [2, 2]}},
    ]
    axes = {"technique": rows, "model": [UNET], "loss": [{"name": "tversky"}]}
    plain, recall = (cell.config for cell in _cells(tiny(axes), folds=[0])[:2])
    assert (plain.loss.params["beta"], recall.loss.params["beta"]) == (0.7, 0.9)
    assert [list(one.model.params["widths"]) for one in (plain, recall)] == [[4, 8], [2, 2]]


def test_any_key_is_an_axis_and_a_column():
    axes = {"optim.weight_decay": [0.0, 0.1], "loss": [{"name": "ce"}], "model": [UNET]}
    cells = _cells(tiny(axes))
    assert [cell.columns["optim.weight_decay"] for cell in cells[:2]] == [0.0, 0.1]
    assert cells[1].network == "unet, weight_decay=0.1"
    sweep = tiny({"loss": [{"name": "tversky"}], "loss.params.beta": [0.5, 0.9]})
    assert [cell.label for cell in _cells(sweep)[:2]] == ["tversky, beta=0.5", "tversky, beta=0.9"]
    assert _cells(sweep)[1].config.loss.params["beta"] == 0.9


def test_folds_are_an_axis_or_all():
    assert {cell.fold for cell in _cells(tiny({"fold": [1]}))} == {1}
    assert {cell.fold for cell in _cells(tiny(), [0, 1, 2])} == {0, 1, 2}
    with pytest.raises(ValueError, match="axes.fold: 2; the data has the folds 0, 1"):
        _cells(tiny({"fold": [2]}))


def test_cells_share_their_folds():
    """Their numbers are read from the first cell's data: folds 2 to 4 of five would be left out."""
    with pytest.raises(ValueError, match=r"axes.data.folds.1: data.folds: all cells share their f"):
        tiny({"data.folds": [2, 5]})
    axis = {"input": [{"label": "two", "set": {}}, {"label": "five", "set": {"data.folds": 5}}]}
    with pytest.raises(ValueError, match=r"axes.input.1: data.folds: all cells share"):
        tiny(axis)
    with pytest.raises(ValueError, match=r"best_with.axes.data.folds.0: data.folds: all cells"):
        tiny(best_with={"axes": {"data.folds": [5]}})
    assert tiny({"data.folds": [5]}).first_config.data.folds == 5


def test_labels_say_what_differs_from_the_defaults():
    losses = [
        {"name": "tversky", "params": {"beta": 0.9}},
        {"name": "ce", "class_weights": "inverse"},
        {"label": "plain", "value": {"name": "ce"}},
    ]
    labels = [cell.label for cell in _cells(tiny({"loss": losses}))[:3]]
    assert labels == ["tversky(beta=0.9)", "ce(class_weights=inverse)", "plain"]


def test_without_an_axis_loss_and_network_are_the_bases():
    made = content() | {"axes": {"seed": [0]}}
    made["base"]["loss"] = {"name": "tversky", "params": {"beta": 0.9}}
    cell = _cells(study_of(made))[0]
    assert cell.label == "tversky(beta=0.9)" and cell.columns["architecture"] == "unet"


def test_best_with_runs_the_best_losses_with_other_values():
    best = {"count": 1, "axes": {"model": [WIDE]}}
    study = tiny({"model": [UNET], "optim.lr": [0.01, 0.1]}, best_with=best)
    cells = _cells(study)
    frame = _frame(cells, lambda cell: cell.label == "dice" and cell.config.optim.lr == 0.01)
    chosen = study.second_cells(cells, frame)
    assert {cell.label for cell in chosen} == {"dice"}
    assert {cell.network for cell in chosen} == {"wide"} and len(chosen) == 8
    assert not {cell.id for cell in chosen} & {cell.id for cell in cells}
    assert tiny().second_cells(cells, frame) == []


def test_a_study_says_that_best_with_chooses_on_the_images_it_reports():
    best = {"count": 1, "axes": {"model": [WIDE]}}
    said = "chosen by iou on these same held-out images"
    assert said in tiny({"model": [UNET]}, best_with=best).describe()
    assert said not in tiny({"model": [UNET]}).describe()


def test_best_with_runs_no_cell_of_the_grid_again():
    best = {"count": 1, "axes": {"model": [UNET, WIDE]}}
    study = tiny({"model": [UNET]}, best_with=best)
    cells = _cells(study)
    chosen = study.second_cells(cells, _frame(cells, lambda cell: cell.label == "dice"))
    assert {cell.network for cell in chosen} == {"wide"} and len(chosen) == 4


def test_best_with_may_not_call_another_network_by_a_name_of_the_grid():
    best = {"axes": {"model": [WIDE | {"label": "unet"}]}}
    with pytest.raises(ValueError, match="would share the folder"):
        tiny({"model": [UNET]}, best_with=best)


def test_every_loss_is_taken_at_its_best_settings():
    cells = _cells(tiny({"optim.lr": [0.01, 0.1]}))
    frame = _frame(cells, lambda c: c.config.optim.lr if c.label == "ce" else 1 - c.config.optim.lr)
    frame.loc[frame["seed"] == 1, "iou"] = float("nan")
    kept = View(frame, "iou", Path("out")).tuned(frame["network"][0])
    assert kept.groupby("label")["lr"].unique().map(list).to_dict() == {"ce": [0.1], "dice": [0.01]}


def test_the_columns_say_which_cell_it_is():
    terms = [{"loss": "ce"}, {"loss": "dice"}]
    losses = [{"label": "both", "value": {"name": "weighted_sum", "params": {"terms": terms}}}]
    row = _cells(tiny({"loss": losses}))[0].columns
    assert (row["label"], row["loss"], row["terms"]) == ("both", "weighted_sum", "ce+dice")
    assert (row["lr"], row["patch"], row["batch_size"]) == (0.01, "16x16", 2)
    assert json.loads(row["network_params"])["widths"] == [4, 8]
    assert [term["loss"] for term in json.loads(row["params"])["terms"]] == ["ce", "dice"]


def test_whole_images_have_no_patch():
    made = content({"seed": [0]})
    del made["base"]["crop"]
    assert _cells(study_of(made))[0].columns["patch"] == "whole"


def test_the_page_says_how_images_vary():
    still = {"crop.flips": False, "crop.quarter_turns": False}
    inputs = [
        {"label": "", "set": {}},
        {"label": "still", "set": still},
        {"label": "moved", "set": still | {"augment": {"name": "mild"}}},
    ]
    text = tiny({"input": inputs}).describe()
    assert "augmented by flips and quarter turns; still: nothing; moved: mild. " in text
    assert "trains 3 steps on batches of 2 crops with adam" in text
    assert "differ in loss (2), seed (2), input (3)" in text


def test_overrides_reach_axes_and_base(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(_dumped(CONTENT))
    overrides = [
        "axes.seed=[7]",
        "axes.optim.lr=[0.5]",
        "set.train.steps=9",
        "axes.loss=[{name: ce}]",
    ]
    cells = _cells(read_study(path, overrides))
    assert [(cell.config.seed, cell.config.optim.lr) for cell in cells] == [(7, 0.5), (7, 0.5)]
    assert cells[0].config.train.steps == 9


def test_a_base_may_be_a_file_beside_the_study(tmp_path):
    (tmp_path / "base.yaml").write_text(_dumped(CONTENT["base"]))
    path = tmp_path / "studies" / "tiny.yaml"
    path.parent.mkdir()
    path.write_text(_dumped(CONTENT | {"base": "../base.yaml"}))
    written_out = [replace(cell, choices=()) for cell in _cells(tiny())]
    assert [replace(cell, choices=()) for cell in _cells(read_study(path))] == written_out
    path.write_text(_dumped(CONTENT | {"base": "gone.yaml"}))
    with pytest.raises(FileNotFoundError, match="gone.yaml does not exist"):
        read_study(path)


def test_a_study_of_an_older_version_says_what_to_write(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("dataset: {name: isbi, folder: x}\nlosses: [{name: bce}]\n")
    with pytest.raises(ValueError, match="dataset, losses: a study of an older version; it is a"):
        read_study(path)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"loss": [{"name": "dica"}]}, "axes.loss.0: loss: unknown name 'dica'; did you mean"),
        (
            {"loss": [{"name": "ce"}, {"name": "tversky", "params": {"gama": 1}}]},
            "axes.loss.1: loss.params: 'tversky' has no parameter 'gama'",
        ),
        (
            {"loss": [{"name": "weighted_sum", "params": {"terms": [{"loss": "dize"}]}}]},
            "axes.loss.0: loss.params.terms.0: unknown name 'dize'",
        ),
        ({"loss": [{"name": "ce", "class_weights": "x"}]}, "axes.loss.0: loss.class_weights: unk"),
        (
            {"loss": [{"name": "dl2"}, {"name": "topk_percent", "class_weights": "inverse"}]},
            "axes.loss.1: loss.class_weights: 'topk_percent' does not weigh",
        ),
        ({"loss": [{"name": "dice"}, {"name": "bce"}]}, "axes.loss.1: loss: .*'bce'"),
        ({"loss": [{"name": "ce"}, {"name": "ce"}]}, "axes.loss: 'ce' and 'ce' need labels that"),
        ({"loss": []}, r"axes.loss: expected a list of values, found \[\]"),
        ({"loss": {"name": "ce"}}, "axes.loss.name: expected a list of values, found 'ce'"),
        ({"loss": [{"name": "dice", "weight": 1}]}, "axes.loss.0: loss.weight: unknown key; did"),
        ({"loss": [{"label": "a", "name": "ce"}]}, "axes.loss.0: name beside label or value; give"),
        ({"loss": [{"label": 3, "value": {"name": "ce"}}]}, "axes.loss.0.label: expected text"),
        ({"model": [{"name": "une"}]}, "axes.model.0: model: unknown name 'une'"),
        ({"augment": [{"name": "elastic"}]}, "axes.augment.0: augment: unknown name 'elastic'"),
        ({"channels": [[]]}, "axes.channels.0: channels: "),
        ({"lrs": [1]}, "axes.lrs: unknown config key 'lrs'; "),
        (
            {"optim.lrr": [1]},
            "axes.optim.lrr: unknown config key 'optim.lrr'; did you mean 'lr'",
        ),
        ({"optim.lr.x": [1]}, "axes.optim.lr.x: unknown config key 'optim.lr.x'"),
        ({"name": ["a"]}, "axes.name: the study gives every cell its name; leave it out"),
        ({"runs": ["a"]}, "axes.runs: the study gives every cell its runs"),
        ({"input": [{"set": {"seed": 1}}]}, "axes.input.0: expected {label: ..., set: {key: value"),
        ({"input": [{"label": "a", "set": {"x": 1}}]}, "axes.input.0.set: unknown config key 'x'"),
        (
            {"optim.lr": [0.1], "input": [{"label": "a", "set": {"optim.lr": 0.2}}]},
            "axes.*: optim.lr: axes.* sets it, too; let one axis set it",
        ),
        ({"fold": [-1]}, "axes.fold.0: expected the number of a fold, found -1"),
        ({"seed": [{"label": "a", "value": 1}]}, "axes.seed.0.label: values of seed name themsel"),
        ({"seed": [True]}, "axes.seed.0: seed: .*valid integer, found True"),
        ({"seed": [1, 1]}, "axes.seed: 1 is listed twice"),
        ({"fold": [0, 0]}, "axes.fold: 0 is listed twice"),
        ({"crop.size": [[64, 64], [64, 64]]}, "axes.crop.size: 64x64 is listed twice"),
        ({"optim.lr": [float("inf")]}, "axes.optim.lr.0: optim.lr: .*finite number, found inf"),
        ({"optim.lr": [True]}, "axes.optim.lr.0: optim.lr: .*valid number, found True"),
        ({"crop.size": [[64, 64.5]]}, "axes.crop.size.0: crop.size.1: .*valid integer, found 64.5"),
        ({"crop.size": [[64, 100_000]]}, "axes.crop.size.0: crop.size.1: .*or equal to 4096"),
        ({"train.batch_size": [2, 10**9]}, "axes.train.batch_size.1: train.batch_size: "),
        ({"seed": list(range(60_000))}, "the grid has 120000 cells; at most 100000 are allowed"),
        # labels that would become folders elsewhere, or none
        (
            {"loss": [{"label": "!!!", "value": {"name": "ce"}}]},
            "axes.loss: the label '!!!' cannot",
        ),
        ({"loss": [{"label": "a\nb", "value": {"name": "ce"}}]}, "the label 'a.nb' cannot name a"),
        (
            {"loss": [{"label": "x" * 150, "value": {"name": "ce"}}]},
            "'xxx.* is too long for a fold",
        ),
    ],
)
def test_a_bad_axis_is_refused_before_any_data_is_read(axes, message):
    with pytest.raises(ValueError, match=f"tiny.yaml: .*{message}"):
        tiny(axes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"best_with": {"axes": {"model": [{"name": "x"}]}}},
            "best_with.axes.model.0: model: unkn",
        ),
        (
            {"best_with": {"axes": {"loss": [{"name": "ce"}]}}},
            "best_with.axes: loss is the axis who",
        ),
        ({"best_with": {"axes": {}}}, "best_with.axes: there is no axis"),
        ({"background_from": {"name": "dica"}}, "background_from: loss: unknown name 'dica'"),
        ({"axis": {}}, "axis: unknown key; did you mean 'axes'"),
        ({"score": "miou"}, "score: "),
        ({"name": "../x"}, "name: '../x' cannot be the name of a folder"),
        ({"hard_pixels": [0]}, "hard_pixels.0: "),
        ({"set": {"train.step": 3}}, "set: unknown config key 'train.step'; did you mean 'steps'"),
        ({"set": {"name": "x"}}, "set: the study gives every cell its name"),
        ({"base": {"data": 3}}, "axes.loss.0: data: "),
    ],
)
def test_a_bad_study_is_refused_before_any_data_is_read(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


def test_a_key_is_set_in_sections_alone():
    made = content(base={"data.folds": 2})
    made["base"]["data"] = 3
    with pytest.raises(ValueError, match="data.folds: data is 3, not a section"):
        study_of(made)


def test_two_cells_never_share_a_folder():
    some = [{"label": "", "set": {}}, {"label": "a", "set": {"predict.tile": 64}}]
    with pytest.raises(ValueError, match="share the folder ce--.*--a--.*; give labels that differ"):
        tiny({"one": some, "other": some})


def test_reusing_a_background_needs_classes_that_exclude_each_other():
    made = content(background_from={"name": "bce"})
    made["base"]["data"]["source"] = "isbi"
    made["axes"]["loss"] = [{"name": "bce"}]
    with pytest.raises(ValueError, match="background_from: the classes of isbi may overlap"):
        study_of(made)


def test_check_tables():
    check_tables(["main", "curves"])
    with pytest.raises(ValueError, match="tables: unknown name 'T99'"):
        check_tables(["T99"])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid(path):
    study = read_study(path)
    check_tables(study.tables)
    assert study.name == path.stem and _cells(study, range(10))


def test_there_are_configs():
    assert len(CONFIGS) >= 8
