"""Configs and blends that older versions wrote load to the settings that they meant."""

from pathlib import Path

import pytest

from gutseg.config import load, load_blend

CONFIGS = Path(__file__).parents[1] / "configs"

# What `train` wrote beside the weights of the demo at commit 73b2c0a.
DEMO = """\
name: demo
seed: 0
runs: demo/runs
data:
  cache: demo/cache
  folds: demo/folds.csv
  blacklist: []
  empty_share: 0.3
stack:
  slices: 5
  stride: 1
  edge: clamp
scaling:
  kind: percentile
  low: 1.0
  high: 99.5
geometry:
  kind: body
  size:
  - 64
  - 96
  margin: 8
augment:
  name: mild
  params:
    shift: 0.06
    angle: 8.0
    noise: 0.03
model:
  name: hybrid_unet
  params:
    widths:
    - 16
    - 32
    - 48
    - 64
    norm: batch
    local_levels:
    - 2
    external_levels:
    - 3
    window: 4
    local_heads: 8
    external_heads: 32
    residual: true
    dropout: 0.0
  encoder_weights: null
loss:
  name: bce_dice
  params:
    dice_weight: 1.0
    mode: multilabel
    class_weights: null
    absent: present
    reduction: batch
  class_weights: null
  maps: {}
optim:
  name: adamw
  lr: 0.003
  weight_decay: 0.01
  momentum: 0.9
  schedule: cosine
  warmup_epochs: 0.5
  final_lr: 0.01
  power: 0.9
train:
  epochs: 7
  steps_per_epoch: null
  batch_size: 8
  accumulate: 1
  clip_norm: null
  ema: null
  patience: null
  monitor: score
  score_every: 7
  amp: true
  channels_last: true
  compile: false
  workers: 0
  tensorboard: true
  wandb: false
predict:
  batch_size: 16
  tta: none
"""
# What `blend` wrote then.
BLEND = """\
members:
- run: ../runs/demo
  folds:
  - 0
  - 1
  - 2
  - 3
  - 4
  weight: 1.0
  tta: none
rules:
  large_bowel:
    threshold: 0.41
    smallest: 120
    gate: 0.6
  small_bowel:
    threshold: 0.4
    smallest: 0
    gate: 0.0
  stomach:
    threshold: 0.45
    smallest: 30
    gate: 0.0
metric: default
score: 0.7512
"""
# Losses inside losses, which the resolved config of a run spells out as well.
TERMS = """
loss:
  name: weighted_sum
  params:
    terms:
    - {loss: dice, params: {absent: ABSENT}}
    - {loss: weighted_sum, params: {terms: [{loss: jaccard, params: {absent: ABSENT}}]}}
    - {loss: LOSS}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x.yaml").write_text("train: {epochs: 3}\n")
    return tmp_path / "x.yaml"


def test_the_demo_of_an_older_version_means_the_same(path):
    path.write_text(DEMO)
    places = ["data.folder=demo/cache", "data.folds=demo/folds.csv", "runs=demo/runs"]
    old = load(path)
    assert old == load(CONFIGS / "demo.yaml", places)
    assert (old.data.folder, old.loss.params["absent"]) == (Path("demo/cache"), "skip")
    path.write_text(DEMO.replace("final_lr: 0.01", "final_lr: 0.2").replace("[]", "[host12]"))
    changed = load(path)
    assert changed.optim.final_lr_ratio == 0.2
    assert changed.data.params == {"blacklist": ("host12",)}


def test_a_blend_of_an_older_version_means_the_same(path):
    path.write_text(BLEND)
    rules = load_blend(path).rules
    assert (rules.large_bowel.min_component_size, rules.large_bowel.gate) == (120, 0.6)
    assert (rules.small_bowel.min_component_size, rules.stomach.min_component_size) == (0, 30)


def test_values_are_renamed_inside_sums_of_losses(tmp_path):
    for word, name in (("present", "soft_dice_001"), ("skip", "soft_dice_per_pixel")):
        text = "name: x" + TERMS.replace("ABSENT", word).replace("LOSS", name)
        (tmp_path / f"{word}.yaml").write_text(text)
    assert load(tmp_path / "present.yaml") == load(tmp_path / "skip.yaml")
    (tmp_path / "x.yaml").write_text("loss: {name: wce_003}\n")
    assert load(tmp_path / "x.yaml").loss.name == "weighted_bce_from_predictions"


def test_old_keys_on_the_command_line_work_unless_the_new_one_is_given_too(path):
    assert load(path, ["data.cache=c", "data.blacklist=[host12]"]).data.folder == Path("c")
    with pytest.raises(ValueError, match="'data.cache=c': data.cache is called data.folder now"):
        load(path, ["data.folder=b", "data.cache=c"])
    path.write_text("data: {blacklist: [], params: {blacklist: [winners2]}}\n")
    with pytest.raises(ValueError, match="x.yaml: data.blacklist is called data.params.blacklist"):
        load(path)


def test_a_name_that_no_version_had_is_unknown(path):
    assert load(path, ["augment.name=seed001"]).augment.name == "elastic_blur_noise"
    with pytest.raises(ValueError, match="augment: unknown name 'seed009'"):
        load(path, ["augment.name=seed009"])
