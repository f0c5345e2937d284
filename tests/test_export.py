"""`gutseg export` writes files that answer raw slices as the run itself does."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from pictures import SMALL, write_nuclei

from gutseg import experiment
from gutseg.config import dump, load
from gutseg.data.cache import Cache
from gutseg.data.inputs import Window
from gutseg.engine import checkpoint
from gutseg.export import _check_network, export
from gutseg.files import read_json
from gutseg.inference import formats
from gutseg.inference.deployed import matrices

SCAN = "case1_day0"


def _raw(scan, z):
    """Three slices around z, the ends repeated, and the ends of the grey values."""
    planes = [max(z - 1, 0), z, min(z + 1, len(scan.image) - 1)]
    return np.array(scan.image)[planes].astype(np.float32)


def test_onnx_answers_as_the_predictions_on_disk(trained, tmp_path):
    """What `predict` wrote for held-out slices, from grey values and two numbers of the scan."""
    onnxruntime = pytest.importorskip("onnxruntime")
    fold = next(one for one in (0, 1) if (trained.run / f"fold{one}/oof/{SCAN}.npz").is_file())
    export(trained.run, fold=str(fold), batch=4, size="40x48", out=tmp_path)
    path = tmp_path / f"fold{fold}.onnx"
    note = read_json(path.with_suffix(".json"))
    assert note["inside"] == ["scaling", "geometry"] and note["largest_difference"] < 1e-5
    assert note["inputs"]["slices"] == "(batch, 3, 40, 48) float32" and note["batch"] == 4
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scan = Cache(trained.cache).scan(SCAN)
    low, high = (np.float32([scan.percentile(one)] * 4) for one in (1, 99.5))
    slices = np.stack([_raw(scan, z) for z in (0, 3, 4, 7)])
    (found,) = session.run(None, {"slices": slices, "low": low, "high": high})
    with np.load(trained.run / f"fold{fold}/oof/{SCAN}.npz") as written:
        expected = written["probabilities"][:, [0, 3, 4, 7]].swapaxes(0, 1)
    assert np.abs(found * 255 - expected).max() <= 0.51  # bytes are rounded


def _untrained(folder, config):
    """A run folder with first weights: what is inside a file does not depend on training."""
    torch.manual_seed(0)
    data = experiment.source(config)
    network = experiment.network(config, data.inputs.channels, len(data.classes))
    (folder / "fold0").mkdir(parents=True)
    checkpoint.save(folder / "fold0" / "best.pt", {"model": network.state_dict()})
    dump(config, folder / "fold0" / "config.yaml")
    return folder


# what is changed of the experiment -> the format, what is inside the file, its inputs
CASES = {
    "shrunk, by the stack, two channels": (
        ["geometry={kind: resize, size: [32, 32]}", "scaling.kind=stack", "channels=[0, 2]"],
        ("onnx", ["scaling", "geometry"], ["slices"]),
    ),
    "grown, by the highest value": (
        ["geometry={kind: resize, size: [64, 80]}", "scaling.kind=scan"],
        ("torch.export", ["scaling", "geometry"], ["slices", "low", "high"]),
    ),
    "the body": (["geometry={kind: body, size: [32, 48]}"], ("onnx", [], ["slices"])),
    "as it is": (
        ["geometry={kind: native}", "crop={size: [32, 32]}"],
        ("torch.export", ["scaling", "geometry"], ["slices", "low", "high"]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_windows_and_scalings(trained, tmp_path, case):
    changes, (to, inside, inputs) = CASES[case]
    run = _untrained(tmp_path / "run", load(trained.config, [*trained.overrides, *changes]))
    export(run, to=to, size="40x48", out=tmp_path)
    (note,) = map(read_json, tmp_path.glob("*.json"))
    assert note["largest_difference"] <= 1e-4 and note["slices_checked"] == 10
    assert (note["inside"], list(note["inputs"])) == (inside, inputs)
    shape = "(batch, 3, 40, 48) float32" if inside else "(batch, 3, 32, 48) float32"
    assert note["inputs"]["slices"] == shape
    assert any("gutseg.data.inputs.Window" in line for line in note["outside"]) == (not inside)


def test_pictures_whose_classes_exclude_each_other(tmp_path):
    write_nuclei(tmp_path / "nuclei")
    data = "data: {source: png_folder, folder: FOLDER, folds: 2, params: {ignore: 255}}"
    text = f"{data}\nloss: {{name: ce}}\n{SMALL}".replace("FOLDER", str(tmp_path / "nuclei"))
    (tmp_path / "nuclei.yaml").write_text(text)
    run = _untrained(tmp_path / "run", load(tmp_path / "nuclei.yaml"))
    export(run, to="torch.export", size="48x56", out=tmp_path)
    found = torch.export.load(tmp_path / "fold0.pt2").module()(torch.rand(1, 3, 48, 56))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 48, 56))
    assert "slices: channels in [0, 1]" in read_json(tmp_path / "fold0.json")["outside"]


def test_a_file_that_answers_otherwise_is_not_kept(trained, tmp_path, monkeypatch):
    def write(module, arguments, path):
        path.write_bytes(b"\x08")
        return lambda arrays: module(*map(torch.from_numpy, arrays)).detach().numpy() + 2e-4

    kind = replace(formats.FORMATS["onnx"], write=write)
    monkeypatch.setitem(formats.FORMATS, "onnx", kind)
    with pytest.raises(
        ValueError, match=r"fold0.onnx was not kept: .* differ by 0.0002 from those"
    ):
        export(trained.run, fold="0", out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_cannot_be_exported_is_said_first(trained, tmp_path):
    with pytest.raises(ValueError, match="--to: unknown name 'tensorrt'"):
        export(trained.run, to="tensorrt", out=tmp_path)
    with pytest.raises(
        ValueError, match="--size '9x9': no scan of the run's data has it; it has 36"
    ):
        export(trained.run, size="9x9", out=tmp_path)
    pyramid = load(trained.config, ["model={name: pspnet}"])
    with pytest.raises(
        ValueError, match="torch.onnx cannot write 'pspnet'; give --to torch.export"
    ):
        _check_network(pyramid, "onnx", tmp_path)
    _check_network(pyramid, "torch.export", tmp_path)
    coronal = load(trained.config, ["view=coronal"])
    with pytest.raises(ValueError, match="sees coronal planes; export writes networks of axial"):
        _check_network(coronal, "onnx", tmp_path)
    model = pyramid.model.model_copy(update={"params": {"dims": 3}})
    with pytest.raises(ValueError, match="is a network of volumes; export writes networks of slic"):
        _check_network(pyramid.model_copy(update={"model": model}), "torch.export", tmp_path)
    tiles = ["geometry={kind: native}", "predict.tile=32"]
    run = _untrained(tmp_path / "run", load(trained.config, [*trained.overrides, *tiles]))
    with pytest.raises(ValueError, match="slices of 40x48 are predicted in tiles of 32 pixels"):
        export(run, size="40x48", out=tmp_path)
    (tmp_path / "fold0.onnx").write_text("mine")
    with pytest.raises(FileExistsError, match="fold0.onnx exists and begins with b'm'"):
        export(trained.run, fold="0", out=tmp_path)


@pytest.mark.parametrize("size", [(24, 30), (96, 101), (24, 96), (96, 30)])
def test_a_window_is_a_product_with_two_matrices(size):
    """cv2 averages areas or interpolates, by the height alone; both ways."""
    window = Window((40, 48), (-3, 44, 5, 52), size)
    rows, columns = matrices(window.forward, (40, 48))
    plane = np.random.default_rng(1).random((40, 48), np.float32)
    assert rows.shape == (size[0], 40) and columns.shape == (size[1], 48)
    np.testing.assert_allclose(rows @ plane @ columns.T, window.forward(plane[None])[0], atol=1e-5)
    with pytest.raises(ValueError, match="the window of 40 x 48 slices is no product"):
        matrices(lambda planes: cv2.blur(planes[0], (3, 3))[None] ** 2, (40, 48))
