"""gutseg view: which sources it opens, and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import numpy as np
import pytest

from gutseg import blends
from gutseg.view import view
from gutseg.viewer import open_scans, pick
from gutseg.viewer.server import Server


def test_a_cache_shows_its_labels(cache):
    scans = open_scans(cache)
    assert scans.names == sorted(scans.names) and len(scans.names) == 6
    one = scans["case1_day5"]
    assert (one.name, one.spacing, one.prediction) == ("case1_day5", (3.0, 1.5, 1.5), None)
    np.testing.assert_array_equal(
        one.truth.to_arrays(), [one.scan.labels >> bit & 1 for bit in range(3)]
    )
    with pytest.raises(KeyError):
        scans["case9_day9"]


def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="gone does not exist; expected a run folder, a bl"):
        open_scans(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        open_scans(tmp_path)
    opened = SimpleNamespace(data=SimpleNamespace(has_volumes=False))
    monkeypatch.setattr(blends, "open_source", lambda *_: opened)
    with pytest.raises(ValueError, match="predicts images that stand alone; the viewer shows"):
        open_scans(tmp_path)


def test_worst_median_and_best():
    scores = {"a": 0.9, "b": 0.1, "c": float("nan"), "d": 0.5, "e": 0.7, "f": 0.3}
    assert pick(scores) == ["b", "d", "a"]
    assert pick({"a": 0.5, "b": 0.6}) == ["a", "b"]
    assert pick({"c": float("nan")}) == []


def test_the_browser_is_led_to_the_address(cache, monkeypatch, capsys):
    opened, asked = [], threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: (opened.append(url), asked.set()))
    monkeypatch.setattr(Server, "serve_forever", lambda self: asked.wait(30))
    view(cache, port=0)
    printed = capsys.readouterr().out
    assert printed == f"6 scans at {opened[0]} until Ctrl-C\n"
    assert opened[0].startswith("http://127.0.0.1:")


def test_a_port_that_is_taken(cache):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port} of 127.0.0.1 is taken; give another"):
            view(cache, port=port, browser=False)


def test_it_answers_until_ctrl_c(cache):
    line = [sys.executable, "-m", "gutseg", "view", str(cache), "--no-browser"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        address = run.stdout.readline().split()[3]
        with urlopen(f"{address}scans.json", timeout=30) as answer:
            assert "case3_day0" in json.load(answer)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode == 128 + signal.SIGINT
    assert errors.strip() == "gutseg view: stopped; nothing was written"
    assert Path(cache, "index.parquet").is_file()
