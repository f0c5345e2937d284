"""`gutseg push-to-hub`: a folder that says how it scored and predicts as the blend does."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import gutseg
from gutseg.config import load, load_blend
from gutseg.config.files import flat
from gutseg.data.cache import Cache
from gutseg.push_to_hub import _published, push_to_hub

CONFIGS = Path(__file__).parents[1] / "configs"
# the keys of a config that take a file or a folder
PATHS = (
    *("runs", "data.folder", "data.folds", "data.extra"),
    *("model.encoder_weights", "train.init_from", "geometry.from_run"),
)
NAMES = ("config.yaml", "held_out.json", "weights.safetensors")


def test_the_folder_is_complete_and_says_nothing_of_the_machine(trained, tmp_path):
    out = tmp_path / "model"
    for _ in range(2):  # its own output is replaced
        push_to_hub(trained.blend, out)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    folds = [f"runs/0-tiny/fold{fold}" for fold in (0, 1)]
    files = {f"{fold}/{name}" for fold in folds for name in NAMES}
    assert found == {"README.md", "blend.yaml", *files}
    for name in found - {one for one in found if one.endswith(".safetensors")}:
        assert str(tmp_path.parent) not in (out / name).read_text()
        assert str(trained.cache.parent) not in (out / name).read_text()
    config = load(out / folds[0] / "config.yaml")
    assert (str(config.data.folder), str(config.data.folds)) == ("cache", "folds.csv")
    volume = np.array(Cache(trained.cache).scan("case2_day0").image)
    assert np.array_equal(gutseg.load(out)(volume), gutseg.load(trained.blend)(volume))


def test_of_every_place_that_a_config_names_only_the_last_part_is_published():
    """Of the run that `trained` is made of, only two of them are set."""
    given = {key: f"/home/somebody/secret/{key.replace('.', '_')}" for key in PATHS}
    start = given.pop("train.init_from")  # with it there is no model.encoder_weights
    of_both = [f"{key}={place}" for key, place in given.items()]
    whole = load(CONFIGS / "smp_unet.yaml", [*of_both, "geometry.kind=found"])
    tuned = load(CONFIGS / "bce_dice_unet.yaml", [f"train.init_from={start}"])
    left = set(PATHS)
    for config in (whole, tuned):
        content = flat(_published(config).model_dump(mode="json"))
        assert not [key for key, value in content.items() if "secret" in str(value)]
        left -= {key for key in PATHS if content.get(key) == key.replace(".", "_")}
    assert not left


def test_the_card_has_the_metric_row(trained, tmp_path):
    push_to_hub(trained.blend, tmp_path / "model")
    _, facts, text = (tmp_path / "model" / "README.md").read_text().split("---\n", 2)
    score = load_blend(trained.blend).score
    (metric,) = yaml.safe_load(facts)["model-index"][0]["results"][0]["metrics"]
    assert metric == {"type": "score", "name": "out of fold (default)", "value": score}
    assert f"| **{score:.4f}** | `default` | 2 |" in text
    lines = [line for line in text.splitlines() if line.startswith("| tiny | ")]
    assert [line.split(" | ")[1] for line in lines] == ["0", "1"] and " - " not in lines[0]
    push_to_hub(trained.run, tmp_path / "run")  # nothing was searched, so nothing is claimed
    _, facts, text = (tmp_path / "run" / "README.md").read_text().split("---\n", 2)
    assert "model-index" not in yaml.safe_load(facts) and "| not searched |" in text


@pytest.fixture
def hub(monkeypatch):
    """A huggingface_hub that notes what it is told."""
    calls = []

    def note(name):
        return lambda *words, **facts: calls.append((name, words, facts))

    api = SimpleNamespace(create_repo=note("create"), upload_folder=note("upload"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: api))
    return SimpleNamespace(calls=calls, api=api)


def test_nothing_is_uploaded_unless_asked(trained, tmp_path, hub, capsys):
    push_to_hub(trained.blend, tmp_path / "model")
    assert not hub.calls
    push_to_hub(trained.blend, tmp_path / "model", upload="somebody/gut")
    assert [name for name, _, _ in hub.calls] == ["create", "upload"]
    assert hub.calls[0][1:] == (("somebody/gut",), {"private": True, "exist_ok": True})
    assert hub.calls[1][2]["folder_path"] == str(tmp_path / "model")
    assert "2 networks, uploaded to https://huggingface.co/somebody/gut" in capsys.readouterr().out

    def refuse(*_, **__):
        raise RuntimeError("401 Client Error: Unauthorized\nmore lines")

    hub.api.create_repo = refuse
    message = (
        r"model is written, but --upload a/b failed \(RuntimeError: 401 .*Unauthorized.*\); log in"
    )
    with pytest.raises(ValueError, match=message):
        push_to_hub(trained.blend, tmp_path / "model", upload="a/b")


def test_what_is_missing_is_said_before_any_work(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'gutseg\[hub\]'"):
        push_to_hub(trained.blend, tmp_path / "model", upload="a/b")
    with pytest.raises(ValueError, match="--upload 'a b': expected OWNER/NAME"):
        push_to_hub(trained.blend, tmp_path / "model", upload="a b")
    assert not (tmp_path / "model").exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds notes.txt, which this command did not write"):
        push_to_hub(trained.blend, tmp_path)
    with pytest.raises(FileExistsError, match="this command reads"):
        push_to_hub(trained.run, trained.run / "fold0")
