"""Every rule of the planner: with other statistics the plan is another, as its reason says."""

from dataclasses import replace
from pathlib import Path

import pytest

from gutseg.config import Config, validate
from gutseg.config.files import flat
from gutseg.config.plain_yaml import parse
from gutseg.planning import Fingerprint, Machine, as_yaml, decide
from gutseg.planning.fingerprint import ClassFacts, Greys
from gutseg.planning.rules import RULES

GPU = Machine(cores=16, memory_gib=64.0, gpu="Tesla T4", gpu_gib=14.6)
TINY = Machine(cores=1, memory_gib=2.0)
WEIGHTS = Machine(cores=2, memory_gib=8.0, weights=("efficientnet_lite0",))
# like the phantom of the demo
ORGANS = Fingerprint(
    source="competition",
    images=1100,
    scans=24,
    groups=12,
    most_days=3,
    volumes=True,
    exclusive=False,
    sizes={(133, 133): 15, (155, 180): 9},
    body=(84, 123),
    depth=48,
    channels=1,
    spacings=((3.0, 3.0, 3.0),),
    empty_share=0.55,
    classes=(ClassFacts("bowel", 0.03, 1, 300.0), ClassFacts("stomach", 0.003, 1, 200.0)),
    background=None,
    greys=(Greys(0, 158, 300), Greys(0, 10216, 20000)),
    machine=Machine(cores=2, memory_gib=8.0),
)
SEVERAL = (
    ClassFacts("background", 0.7, 1, 9000.0),
    ClassFacts("gland", 0.2, 3, 900.0),
    ClassFacts("fat", 0.1, 3, 900.0),
)
# like nuclei of several kinds, all of them frequent
CELLS = replace(
    ORGANS,
    source="png_folder",
    images=30,
    scans=30,
    groups=30,
    most_days=1,
    volumes=False,
    exclusive=True,
    sizes={(512, 512): 30},
    body=(512, 512),
    depth=1,
    channels=3,
    spacings=(),
    empty_share=0.0,
    classes=SEVERAL,
    background="background",
    greys=(Greys(0.1, 0.9, 1.0),),
)
RARE = (*SEVERAL[:2], ClassFacts("fat", 0.0004, 1, 50.0))
DEFAULT = object()
ABSENT = object()

# what the data are, what differs, a key, its value, and what the reason names
CASES = {
    "sizes differ": (ORGANS, {}, "geometry", {"kind": "body", "size": [64, 96]}, "2 sizes"),
    "small, of one size": (
        ORGANS,
        {"sizes": {(60, 90): 24}},
        "geometry",
        {"kind": "pad", "size": [64, 96]},
        "nothing is resampled",
    ),
    "large, of one size, air around": (
        ORGANS,
        {"sizes": {(266, 266): 24}, "images": 144, "body": (160, 252)},
        "geometry",
        {"kind": "body", "size": [128, 176]},
        "160 x 252",
    ),
    "large, of one size, full": (
        ORGANS,
        {"sizes": {(200, 200): 24}, "body": (190, 195)},
        "geometry",
        {"kind": "resize", "size": [80, 64]},
        "shrunk",
    ),
    "a GPU sees slices at their own size": (
        ORGANS,
        {"sizes": {(266, 266): 24}, "machine": GPU},
        "geometry",
        {"kind": "pad", "size": [288, 288]},
        "nothing is resampled",
    ),
    "a GPU sees a larger window": (
        ORGANS,
        {"machine": GPU},
        "geometry",
        {"kind": "body", "size": [144, 214 // 16 * 16]},
        "122,880",
    ),
    "large images that stand alone": (CELLS, {}, "crop", {"size": [128, 128]}, "900 pixels"),
    "not resampled": (CELLS, {}, "geometry", {"kind": "native"}, "stand alone"),
    "large pieces": (
        CELLS,
        {"classes": (SEVERAL[0], ClassFacts("gland", 0.3, 1, 40000.0))},
        "crop",
        {"size": [256, 256]},
        "40,000 pixels",
    ),
    "small images that stand alone": (CELLS, {"sizes": {(90, 90): 30}}, "crop", ABSENT, ""),
    "they are padded": (
        CELLS,
        {"sizes": {(90, 90): 30}},
        "geometry",
        {"kind": "pad", "size": [96, 96]},
        "90 x 90",
    ),
    "and counted in epochs": (CELLS, {"sizes": {(90, 90): 30}}, "train.epochs", 60, "as often"),
    # .45 / .55 of what would make a quarter of the epoch: .25 * .45 / (.75 * .55)
    "many empty slices": (ORGANS, {}, "data.empty_share", 0.27, "55%"),
    "few empty slices": (ORGANS, {"empty_share": 0.1}, "data.empty_share", DEFAULT, "10%"),
    "little data": (ORGANS, {"images": 144}, "data.empty_share", 0.27, "55%"),
    "empty slices and a GPU": (
        ORGANS,
        {"machine": GPU},
        "model.presence",
        {"weight": 0.2},
        "55%",
    ),
    "sees them all": (ORGANS, {"machine": GPU}, "data.empty_share", DEFAULT, "all"),
    "its gate, beside weights": (
        ORGANS,
        {"machine": WEIGHTS},
        "model.presence",
        {"gate": "multiply"},
        "55%",
    ),
    "no gate for crops": (
        CELLS,
        {"machine": WEIGHTS, "empty_share": 0.5},
        "model.presence",
        ABSENT,
        "",
    ),
    "no gate without weights": (ORGANS, {}, "model.presence", ABSENT, ""),
    "no head without empties": (
        ORGANS,
        {"machine": GPU, "empty_share": 0.1},
        "model.presence",
        ABSENT,
        "",
    ),
    "rare": (ORGANS, {}, "model.initial_bias", "log_odds", "stomach covers 0.30%"),
    "Dice beside cross-entropy": (
        ORGANS,
        {},
        "loss",
        {"name": "bce_dice", "params": {"dice_weight": 1.0}},
        "overlap",
    ),
    "frequent": (ORGANS, {"classes": ORGANS.classes[:1]}, "model.initial_bias", ABSENT, ""),
    "one frequent class": (
        ORGANS,
        {"classes": ORGANS.classes[:1]},
        "loss",
        {"name": "bce"},
        "One class",
    ),
    "several frequent classes": (
        ORGANS,
        {"classes": (ORGANS.classes[0], ClassFacts("liver", 0.1, 1, 900.0))},
        "loss",
        {"name": "bce_dice", "params": {"dice_weight": 1.0}},
        "bowel covers 3.00%",
    ),
    "exclusive": (
        CELLS,
        {},
        "loss",
        {"name": "weighted_sum", "params": {"terms": [{"loss": "ce"}, {"loss": "dice"}]}},
        "fat covers 10.00%",
    ),
    "exclusive and rare": (CELLS, {"classes": RARE}, "loss", {"name": "tversky"}, "0.04%"),
    "no bias for a region loss": (CELLS, {"classes": RARE}, "model.initial_bias", ABSENT, ""),
    "greys differ": (ORGANS, {}, "scaling", DEFAULT, "158 to 10216"),
    "greys agree": (
        ORGANS,
        {"greys": (Greys(0, 900, 1000), Greys(0, 1000, 1100))},
        "scaling",
        {"kind": "scan"},
        "900 to 1000",
    ),
    "greys agree, outliers do not": (
        ORGANS,
        {"greys": (Greys(0, 900, 9000), Greys(0, 1000, 1100))},
        "scaling",
        DEFAULT,
        "10.0 times",
    ),
    "days": (ORGANS, {}, "data.folds", 5, "up to 3 days"),
    "few patients": (ORGANS, {"groups": 3}, "data.folds", 3, "3 patients"),
    "one patient": (ORGANS, {"groups": 1}, "data.folds", "folds/blocks.csv", "--block 3"),
    "and no score to choose by": (ORGANS, {"groups": 1}, "train.monitor", None, "blocks"),
    "deep scans": (ORGANS, {}, "stack", DEFAULT, "48 slices, 3 mm apart"),
    "no spacing": (ORGANS, {"spacings": ()}, "stack", DEFAULT, "48 slices: two"),
    "pieces": (
        ORGANS,
        {"classes": (ClassFacts("bowel", 0.03, 2.5, 300.0), ORGANS.classes[1])},
        "predict",
        DEFAULT,
        "at most 2.5 pieces",
    ),
    "flat scans": (ORGANS, {"depth": 5}, "stack", {"slices": 3}, "5 slices"),
    "single slices": (ORGANS, {"depth": 1}, "stack", {"slices": 1}, "1 slices"),
    "other patients": (ORGANS, {}, "augment", {"name": "mild_elastic"}, "12 patients"),
    "the same patient": (ORGANS, {"groups": 1}, "augment", {"name": "mild"}, "Safe"),
    "grey images": (CELLS, {"channels": 1}, "augment", {"name": "mild"}, "Grey"),
    "colour images": (CELLS, {}, "augment", DEFAULT, "Colour"),
    "a CPU": (ORGANS, {}, "train.batch_size", 8, "no GPU"),
    "a small machine": (ORGANS, {"machine": TINY}, "train.batch_size", 4, "2 GiB"),
    "its network": (
        ORGANS,
        {"machine": TINY},
        "model.params",
        {"widths": [8, 16, 24, 32], "norm": "batch", "local_levels": [2], "external_levels": [3]},
        "1 core,",
    ),
    "its network of pictures": (
        CELLS,
        {"machine": TINY},
        "model.params",
        {"widths": [8, 16, 32], "norm": "batch"},
        "half",
    ),
    "memory format": (ORGANS, {}, "train.channels_last", True, "CPU"),
    "a GPU's batch": (ORGANS, {"machine": GPU}, "train.batch_size", 32, "Tesla T4"),
    "half a GPU's batch": (
        ORGANS,
        {"machine": replace(GPU, gpu_gib=7.6)},
        "train.batch_size",
        16,
        "8 GiB",
    ),
    "mixed precision": (ORGANS, {"machine": GPU}, "train.amp", DEFAULT, "Mixed"),
    "workers": (ORGANS, {"machine": GPU}, "train.workers", 8, "16 cores"),
    "no workers": (ORGANS, {}, "train.workers", ABSENT, ""),
    "flips at the end": (
        ORGANS,
        {"machine": GPU},
        "predict",
        {"batch_size": 32, "tta": "hflip"},
        "mirrored",
    ),
    "weights": (
        ORGANS,
        {"machine": WEIGHTS},
        "model.encoder_weights",
        "package:efficientnet_lite0",
        "phantom",
    ),
    "their learning rate": (
        ORGANS,
        {"machine": WEIGHTS},
        "optim",
        {"lr": 4e-3, "warmup_epochs": 1},
        "demo.yaml",
    ),
    "no weights": (ORGANS, {}, "model.name", "hybrid_unet", "no packaged weights"),
    "few pictures": (
        CELLS,
        {"images": 10},
        "model.params",
        {"widths": [16, 32, 64], "norm": "batch"},
        "10 images",
    ),
    "weights for pictures": (
        CELLS,
        {"machine": WEIGHTS},
        "model.params",
        {
            "architecture": "Unet",
            "encoder": "tu-tf_efficientnet_lite0",
            "options": {"decoder_channels": [64, 48, 32, 24, 16]},
        },
        "membrane.yaml",
    ),
    "and a bias for any class": (
        CELLS,
        {"machine": WEIGHTS, "classes": RARE},
        "model.initial_bias",
        "log_odds",
        "nuclei.yaml",
    ),
    "larger crops for weights": (CELLS, {"machine": WEIGHTS}, "crop", {"size": [256, 256]}, "mem"),
    "fewer of them in a batch": (CELLS, {"machine": WEIGHTS}, "train.batch_size", 4, "no GPU"),
    "many crops for rare classes": (
        CELLS,
        {"machine": WEIGHTS, "classes": RARE},
        "crop",
        {"size": [128, 128]},
        "whole",
    ),
    # the 24 images have 4 crops of 256 x 256: 40 x 96 crops in batches of 4
    "fewer passes with weights": (CELLS, {"machine": WEIGHTS}, "train.steps", 1000, "40 times"),
    # and 16 of 128 x 128: 20 x 384 crops in batches of 8
    "and fewer with rare classes": (
        CELLS,
        {"machine": WEIGHTS, "classes": RARE},
        "train.steps",
        1000,
        "20 times",
    ),
    "their mean": (CELLS, {"machine": WEIGHTS}, "train.ema", 0.99, "membrane.yaml"),
    "a shorter mean": (CELLS, {"machine": WEIGHTS, "classes": RARE}, "train.ema", 0.98, "nuclei"),
    "the last weights": (CELLS, {"machine": WEIGHTS}, "train.monitor", None, "averaged"),
    "their rate": (
        CELLS,
        {"machine": WEIGHTS},
        "optim",
        {"name": "adam", "lr": 3e-3, "weight_decay": 0.0},
        "membrane.yaml",
    ),
    "views of pictures": (CELLS, {"machine": WEIGHTS}, "predict", {"tta": "flips"}, "mirrored"),
    # 24 of 30 images have 16 crops of 128 x 128: 60 x 384 crops in batches of 8
    "steps": (CELLS, {}, "train.steps", 2900, "60 times"),
    # 880 training slices, of whose 484 empty ones 131 are drawn: 527 an epoch, 4000 / 527
    "epochs": (ORGANS, {}, "train.epochs", 7, "527 slices"),
    "more data, fewer epochs": (ORGANS, {"images": 38000}, "train.epochs", 5, "slices"),
    # 115 training slices, of whose 63 empty ones 17 are drawn: 69 an epoch, 4000 / 69
    "less data, more epochs": (ORGANS, {"images": 144}, "train.epochs", 58, "69 slices"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_plan_changes_as_its_reason_says(case):
    base, differs, key, value, named = CASES[case]
    choices = {choice.key: choice for choice in decide(replace(base, **differs))}
    if value is ABSENT:
        assert key not in choices
        return
    chosen = choices[key]
    assert chosen.is_default if value is DEFAULT else chosen.value == value
    assert named in chosen.why


@pytest.mark.parametrize("machine", [ORGANS.machine, TINY, GPU, WEIGHTS])
@pytest.mark.parametrize("base", [ORGANS, CELLS, replace(CELLS, classes=RARE)])
def test_a_plan_loads_and_names_nothing_but_what_it_changes(base, machine):
    choices = decide(replace(base, machine=machine))
    text = as_yaml(choices, "plan", base.source, Path("folder"), {})
    content = parse(text)
    settings = validate(Config, content, "plan.yaml")
    usual = flat(validate(Config, {"name": "plan"}, "usual").model_dump(mode="json"))
    assert content["data"]["folder"] == "folder"
    for key, value in flat(content).items():
        if not key.endswith("name") and not key.startswith(("model.params", "loss.params")):
            assert usual.get(key) != value, key
    # what the text says is what is chosen: a comment is no key
    found = flat(settings.model_dump(mode="json"))
    for choice in choices:
        for key, value in flat({choice.key: choice.value}).items() if not choice.is_default else ():
            assert found.get(key, value) == value, key


def test_every_reason_stands_above_its_key_and_ends():
    choices = decide(ORGANS)
    text = as_yaml(choices, "plan", "competition", Path("cache"), {})
    lines = text.splitlines()
    assert "source:" not in text and "folder:" not in text and max(map(len, lines)) <= 100
    assert all(choice.why.endswith((".", "folds/blocks.csv")) for choice in choices)
    place = lines.index("  folds: 5")
    assert lines[place - 1] == "  # scored on people it has seen."
    # one that keeps its default is named in its comment
    assert any(line.startswith("# scaling, as by default: ") for line in lines)


def test_every_rule_decides_somewhere():
    tried = [replace(base, **differs) for base, differs, *_ in CASES.values()]
    reached = set()
    for f in tried:
        taken = set()
        for number, rule in enumerate(RULES):
            if rule.key not in taken and rule.when(f):
                taken.add(rule.key)
                reached.add(number)
    assert [RULES[n].key for n in range(len(RULES)) if n not in reached] == []
