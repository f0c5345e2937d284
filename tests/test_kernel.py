"""The kernel's build, check and push when the network, the token or Kaggle says no."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_builds import write_build

import gutseg
from gutseg import experiment
from gutseg.config import Config, dump, load_blend, validate
from gutseg.engine import checkpoint
from gutseg.kaggle.bundle import build_bundle
from gutseg.kernel import kernel

PACKAGE = Path(gutseg.__file__).parents[1]
INFER = Path(__file__).parents[1] / "kernels" / "infer" / "infer.py"


@pytest.fixture
def blend(tmp_path):
    """A blend of one fold of an untrained network."""
    fold = tmp_path / "runs" / "tiny" / "fold0"
    model = {"name": "unet", "params": {"widths": [4, 8], "norm": "batch"}}
    config = validate(Config, {"name": "tiny", "model": model}, "tiny.yaml")
    dump(config, fold / "config.yaml")
    checkpoint.save(
        fold / "best.pt", {"model": experiment.model(config, config.stack.slices, 3).state_dict()}
    )
    path = tmp_path / "blend.yaml"
    path.write_text("members: [{run: runs/tiny, folds: [0]}]\n")
    return path


@pytest.fixture
def built(tmp_path):
    """A function that writes a build whose kernel is the given script."""

    def write(script):
        folder = write_build(tmp_path, script)
        (tmp_path / "sample_submission.csv").write_text("id,class,predicted\n")
        (tmp_path / "work").mkdir()
        return folder

    return write


@pytest.mark.parametrize("places", [("a", "b"), ("gutseg-bundle", "datasets/user/gutseg-bundle")])
def test_two_bundles_are_refused_by_name(tmp_path, places):
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "bundle.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, INFER],
        env=os.environ | {"GUTSEG_INPUT": str(tmp_path), "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    names = ", ".join(sorted(str(tmp_path / place) for place in places))
    assert done.stderr == f"2 bundles are attached, keep one: {names}\n"


def test_a_build_is_what_it_says_and_nothing_that_must_be_unpickled(blend, tmp_path):
    build_bundle(blend, tmp_path / "kaggle", "somebody", name="Gut two")
    bundle = tmp_path / "kaggle" / "bundle"
    data = json.loads((bundle / "dataset-metadata.json").read_text())
    assert (data["id"], data["title"]) == ("somebody/gut-two-bundle", "Gut two bundle")
    kernel = json.loads((tmp_path / "kaggle" / "infer" / "kernel-metadata.json").read_text())
    assert (kernel["id"], kernel["title"]) == ("somebody/gut-two-infer", "Gut two infer")
    assert kernel["dataset_sources"] == ["somebody/gut-two-bundle"]
    assert kernel["machine_shape"] == "NvidiaTeslaT4" and kernel["enable_internet"] is False
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    fold = "runs/0-tiny/fold0"
    assert names == {
        *("bundle.json", "dataset-metadata.json", "blend.yaml"),
        *(f"{fold}/config.yaml", f"{fold}/weights.safetensors", f"{fold}/held_out.json"),
        "wheels/gutseg-0.1.0-py3-none-any.whl",
    }
    listed = json.loads((bundle / "bundle.json").read_text())["files"]
    assert set(listed) == names - {"bundle.json", "dataset-metadata.json"}
    weights = bundle / fold / "weights.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert listed[f"{fold}/weights.safetensors"] == {
        "bytes": weights.stat().st_size,
        "sha256": digest,
    }
    assert load_blend(bundle / "blend.yaml").members[0].run == Path("runs/0-tiny")


@pytest.mark.parametrize("name", ["best.pt", "config.yaml"])
def test_a_network_that_the_kernel_could_not_open_is_not_built(blend, tmp_path, name):
    path = tmp_path / "runs" / "tiny" / "fold0" / name
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{name} is empty"):
        build_bundle(blend, tmp_path / "kaggle", "somebody", wheels=False)
    assert not (tmp_path / "kaggle").exists()


@pytest.mark.parametrize("user", ["", "me/other", '"', "two words", "../x"])
def test_the_name_of_a_kaggle_user_is_checked(blend, tmp_path, user):
    with pytest.raises(ValueError, match="is not a Kaggle name; give --user"):
        build_bundle(blend, tmp_path / "kaggle", user, wheels=False)


@pytest.mark.parametrize("token", [b"{}", b"[1]", b'{"username": ', b"\xff\xfe", b"null"])
def test_a_token_without_a_name_is_named(blend, tmp_path, monkeypatch, token):
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "kaggle.json").write_bytes(token)
    with pytest.raises(ValueError, match=r"kaggle.json is not of the form .*or give --user"):
        kernel("build", blend=blend, folder=tmp_path / "kaggle", wheels=False)
    (tmp_path / "kaggle.json").write_text('{"username": "somebody", "key": "x"}')
    kernel("build", blend=blend, folder=tmp_path / "kaggle", wheels=False)
