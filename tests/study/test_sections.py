import dataclasses
from pathlib import Path

import pytest
from bench_cases import blobs, tiny

from gutseg.config import read_with, validate
from gutseg.data.sources.labelled import DATASETS
from gutseg.registry import check
from gutseg.study.report.tables import check_tables
from gutseg.study.sections import Bench, check_data, criterion

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "bench").glob("*.yaml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": [{"name": "dica"}]}, "losses.0: unknown name 'dica'; did you mean 'dice'"),
        (
            {"losses": [{"name": "tversky", "params": {"gama": 1}}]},
            "losses.0.params: 'tversky' has no parameter 'gama'",
        ),
        (
            {"losses": [{"name": "weighted_sum", "params": {"terms": [{"loss": "dize"}]}}]},
            "losses.0.params.terms.0: unknown name 'dize'",
        ),
        (
            {"losses": [{"name": "weighted_sum", "params": {"terms": [{"weight": 1}]}}]},
            "losses.0.params.terms.0: unknown name ''",
        ),
        ({"losses": [{"name": "ce", "class_weights": "x"}]}, "losses.0.class_weights: unknown"),
        (
            {"losses": [{"name": "dl2"}, {"name": "topk_percent", "class_weights": "inverse"}]},
            "losses.1.class_weights: 'topk_percent' does not weigh classes",
        ),
        ({"losses": [{"name": "ce"}, {"name": "ce"}]}, "'ce' and 'ce' need labels that differ"),
        ({"losses": []}, "losses: "),
        ({"networks": [{"name": "une"}]}, "networks.0: unknown name 'une'"),
        ({"best_with": {"network": {"name": "x"}}}, "best_with.network: unknown name 'x'"),
        ({"best_with": {"network": {"name": "unet", "label": "unet"}}}, "labels that differ"),
        ({"inputs": [{"preset": "elastic"}]}, "inputs.0: unknown name 'elastic'"),
        ({"inputs": [{}, {}]}, "inputs: '' and '' need labels that differ"),
        ({"inputs": [{"channels": []}]}, "inputs.0.channels: "),
        ({"background_from": {"name": "dica"}}, "background_from: unknown name 'dica'"),
        ({"budget": {}}, "give exactly one of them"),
        ({"budget": {"steps": 1, "seconds": 2}}, "give exactly one of them"),
        ({"only_folds": [2]}, "only_folds: 2; choices: 0 to 1"),
        ({"budgets": {}}, "budgets: unknown key; did you mean 'budget'"),
        ({"score": "miou"}, "score: "),
        ({"losses": [{"name": "dice", "weight": 1}]}, "losses.0.weight: unknown key; did you"),
        # names that would become folders elsewhere, numbers that are none, too much of anything
        ({"name": "../x"}, "name: '../x' cannot be the name of a folder"),
        ({"name": "a\nb"}, "name: .* cannot be the name of a folder"),
        ({"losses": [{"name": "ce", "label": "!!!"}]}, "losses: the label '!!!' cannot name a f"),
        ({"inputs": [{"label": "a\nb"}]}, "inputs: the label 'a.nb' cannot name a folder"),
        ({"losses": [{"name": "ce", "label": "x" * 190}]}, "'xxx.* is too long for a folder's"),
        ({"dataset": {"name": "isbi", "folder": ""}}, "dataset.folder: '' is not a path"),
        ({"folds": True}, "folds: .*valid integer, found True"),
        ({"budget": {"steps": True}}, "budget.steps: .*valid integer, found True"),
        ({"budget": {"steps": "3"}}, "budget.steps: .*valid integer, found '3'"),
        ({"lrs": [True]}, "lrs.0: .*valid number, found True"),
        ({"lrs": [float("inf")]}, "lrs.0: .*finite number, found inf"),
        ({"patches": [[64, 64.5]]}, "patches.0.1: .*valid integer, found 64.5"),
        ({"patches": [[64, 100_000]]}, "patches.0.1: .*less than or equal to 4096"),
        ({"patches": [[4096, 4096]], "batch_size": 9999}, "patches.0 with batch_size: 9999 images"),
        ({"tile": 10**6}, "tile: .*less than or equal to 4096"),
        ({"seeds": [1, 1]}, "seeds: 1 is listed twice"),
        ({"only_folds": [0, 0]}, "only_folds: 0 is listed twice"),
        ({"patches": [[64, 64], [64, 64]]}, r"patches: \(64, 64\) is listed twice"),
        ({"seeds": list(range(30_000))}, "the grid has 120000 cells; at most 100000 are allowed"),
    ],
)
def test_a_bad_config_is_refused_before_any_data_is_read(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


def test_a_loss_must_fit_the_data():
    bench = tiny(losses=[{"name": "dice"}, {"name": "bce"}])
    check_data(bench, blobs(2, mode="multilabel"))
    with pytest.raises(ValueError, match="losses.1: loss 'bce' works in multilabel, not multicl"):
        check_data(bench, blobs(2))


def test_inputs_must_fit_the_data():
    with pytest.raises(ValueError, match="inputs.0.channels: 1; png_folder has 0 to 0"):
        check_data(tiny(inputs=[{"channels": [0, 1]}]), blobs(2))
    bench = tiny(losses=[{"name": "dice"}], background_from={"name": "ce"})
    check_data(bench, blobs(2))
    with pytest.raises(ValueError, match="background_from: the classes of png_folder may overlap"):
        check_data(bench, blobs(2, mode="multilabel"))


def test_labels_say_what_differs_from_the_defaults():
    bench = tiny(
        losses=[
            {"name": "tversky", "params": {"beta": 0.9}},
            {"name": "ce", "class_weights": "inverse"},
            {"name": "ce", "label": "plain"},
        ]
    )
    labels = [loss.label for loss in bench.losses]
    assert labels == ["tversky(beta=0.9)", "ce(class_weights=inverse)", "plain"]


def test_class_weights_reach_the_terms_of_a_sum_that_take_them():
    terms = [{"loss": "ce"}, {"loss": "topk_percent"}]
    loss = tiny(
        losses=[{"name": "weighted_sum", "class_weights": "inverse", "params": {"terms": terms}}]
    ).losses[0]
    weighed = criterion(loss, blobs(2), [0.1, 0.2, 0.7])
    functions = [part.function.keywords for part, _ in weighed.function.parts]
    assert functions[0]["class_weights"] == [0.1, 0.2, 0.7]
    assert "class_weights" not in functions[1]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid(path):
    bench = validate(Bench, read_with(path), str(path))
    check_tables(bench.tables)
    check(DATASETS, bench.dataset.name, bench.dataset.params)
    overlapping = bench.dataset.name in ("isbi", "slices")
    data = blobs(5, mode="multilabel" if overlapping else "multiclass")
    slices = bench.dataset.params.get("stack", 1)
    images = [image.repeat(slices, axis=2) for image in data.images]
    data = dataclasses.replace(data, images=images)
    check_data(bench, data)
    assert bench.name == path.stem


def test_there_are_configs():
    assert len(CONFIGS) >= 8
