"""The config of background reuse: one base, two experiments."""

import copy

import pytest
import yaml
from bench_cases import CONTENT

from gutseg.study.two_stage import read_two_stage

BASE = CONTENT["base"] | {"loss": {"name": "tversky", "params": {"beta": 0.8}}}


@pytest.fixture
def read(tmp_path):
    """A function that reads a config with changes."""

    def read(*overrides, **changes):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
        content = copy.deepcopy({"base": "base.yaml"} | changes)
        (tmp_path / "two.yaml").write_text(yaml.safe_dump(content))
        return read_two_stage(tmp_path / "two.yaml", list(overrides))

    return read


def test_the_networks_differ_in_their_classes_and_in_what_is_set(read, tmp_path):
    made = read(set={"seed": 3}, binary={"set": {"loss": {"name": "ce"}}})
    classes, binary = (made.experiment(stage, tmp_path) for stage in ("multiclass", "binary"))
    assert made.name == "two" and classes.seed == binary.seed == 3
    assert (classes.name, binary.name, binary.runs) == ("multiclass", "binary", tmp_path)
    assert classes.loss.params["beta"] == 0.8  # a component that is named anew has its own
    assert binary.loss.name == "ce" and "beta" not in binary.loss.params
    assert [one.data.params["binary"] for one in (classes, binary)] == [False, True]
    assert classes.train == binary.train


def test_keys_may_be_given_one_by_one(read, tmp_path):
    changes = ("set.train.batch_size=3", "multiclass.set.loss.params.beta=0.6", "set.seed=1")
    config = read(*changes).experiment("multiclass", tmp_path)
    assert config.train.batch_size == 3 and config.train.steps == BASE["train"]["steps"]
    assert config.loss.params["beta"] == 0.6 and config.seed == 1
    binary = read("set.seed=1", "binary.set.seed=2").experiment("binary", tmp_path)
    assert binary.seed == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"set": {"traim": {"steps": 1}}},
            "set: unknown config key 'traim.steps'; did you mean 'train'",
        ),
        ({"set": {"name": "x"}}, "set: every stage has its own name; leave it out"),
        ({"binary": {"set": {"lr": 1}}}, "binary.set: unknown config key 'lr'; choices"),
        ({"binary": {"set": {"loss": {"name": "cf"}}}}, "binary: loss: unknown name 'cf'"),
        ({"multiclass": {"set": {"seed": 1}, "run": "x"}}, "multiclass: run and set are given"),
        ({"stages": []}, "stages: .*at least 1 item"),
        ({"stages": ["binary"] * 2}, "stages: .*binary, binary: a stage is listed twice"),
        ({"stages": ["gate"]}, "stages.0: .*'multiclass' or 'binary'"),
        ({"base": {"data": {"source": "competition"}}}, "classes of competition may overlap; lay"),
        ({"combined": True}, "combined: unknown key; did you mean 'combine'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(read, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(**changes)
    assert "two.yaml: " in str(caught.value) and "\n" not in str(caught.value)
