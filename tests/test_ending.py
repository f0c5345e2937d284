"""How the command line ends: sentences, statuses, signals, streams."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from deadly import die

from gutseg import cli
from gutseg.cli import VERBS
from gutseg.ending import KEPT, explain, guarded
from gutseg.jobs import workers
from gutseg.progress import progress


def _error(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Path("/gone/x.csv").read_text(), "^/gone/x.csv: No such file or directory$"),
        (lambda: os.open("/dev/null/x", os.O_RDONLY), "^/dev/null/x: Not a directory$"),
        (lambda: os.read(999, 1), "^Bad file descriptor$"),
        (lambda: b"\xff".decode(), "^a file is not utf-8 text: byte 0xff at position 0$"),
        (lambda: np.zeros((10**6, 10**6, 10)), "^out of memory .Unable to allocate .*; take small"),
        (
            lambda: torch.zeros(10**15),
            "^out of memory .*; take smaller images, networks or batches",
        ),
        (lambda: torch.zeros(2**62, 2**62), "^out of memory"),
        (lambda: subprocess.run(["false"], check=True), "^false ended with status 1$"),
    ],
)
def test_what_input_and_machine_cause_is_a_sentence(call, sentence):
    assert re.match(sentence, explain(_error(call)))


def test_bugs_stay_loud():
    for bug in (
        KeyError("x"),
        TypeError("x"),
        IndexError("x"),
        RuntimeError("x"),
        AssertionError(),
    ):
        assert explain(bug) is None
    assert explain(BrokenProcessPool("abrupt")).startswith("a process that worked for this command")
    assert explain(RecursionError("maximum depth")) == "the input is nested too deeply"
    with pytest.raises(KeyError), guarded("score"):
        raise KeyError("x")


def test_the_error_of_a_verb_is_one_line_and_status_2(capsys, monkeypatch):
    monkeypatch.delenv("GUTSEG_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended, guarded("score"):
        raise ValueError("x.csv: no rows")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "gutseg score: x.csv: no rows\n"
    monkeypatch.setenv("GUTSEG_DEBUG", "1")
    with pytest.raises(ValueError), guarded("score"):
        raise ValueError("x.csv: no rows")


def test_every_verb_says_what_is_kept():
    assert set(KEPT) == set(VERBS)


def test_handlers_are_those_from_before_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with guarded("score"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("columns", [40, 60])
def test_help_is_readable_in_a_narrow_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["gutseg", "phantom", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    # no word is cut and no option is left without its text
    assert shown.isascii() and "..." not in shown.replace("[OPTIONS]", "")
    for option in ("--cases", "--seed", "--preset", "--workers"):
        assert f"  {option} <" in shown
    assert "Patients in train." in " ".join(shown.split())


# `run` stands for a verb; the modules of real ones take seconds to import.
SCRIPT = """
import sys, time
from pathlib import Path
import gutseg.cli, gutseg.ending

def app(wanted):
    def nap(seconds):
        time.sleep(seconds)

    def run():
        from gutseg.files import replacing
        from gutseg.jobs import workers
        if "print" in sys.argv:
            print("sum √ " * 20000)
            return
        if "fail" in sys.argv:
            raise ValueError("the √ of nothing")
        with workers(2, int) as pool, replacing(Path("out.txt")) as temporary:
            temporary.write_text("half")
            sleeping = [pool.submit(time.sleep, 60) for _ in range(4)]
            time.sleep(1)
            print("ready", flush=True)
            if "deaf" in sys.argv:
                while True:
                    try:
                        time.sleep(60)
                    except BaseException:
                        pass
            sleeping[0].result()

    if "import" in sys.argv:
        print("ready", flush=True)
        time.sleep(60)
    return gutseg.ending.guarded("train")(run)

gutseg.cli.app = app
if __name__ == "__main__":
    gutseg.cli.main()
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)

    def start(*words, prefix=(), **settings):
        command = [*prefix, sys.executable, str(tmp_path / "script.py"), "train", *words]
        return subprocess.Popen(
            command, cwd=tmp_path, start_new_session=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **settings,
        )  # fmt: skip

    return start


@pytest.mark.parametrize(
    ("words", "number", "kill", "said"),
    [
        (["import"], signal.SIGINT, os.kill, "stopped before it began"),
        (["work"], signal.SIGINT, os.kill, KEPT["train"]),
        (["work"], signal.SIGINT, os.killpg, KEPT["train"]),
        (["work"], signal.SIGTERM, os.kill, KEPT["train"]),
        (["deaf"], signal.SIGINT, os.killpg, KEPT["train"]),
    ],
    ids=["import", "parent", "group", "term", "deaf"],
)
def test_one_signal_stops_a_command_and_its_helpers(tmp_path, script, words, number, kill, said):
    process = script(*words)
    assert process.stdout.readline() == "ready\n"
    kill(process.pid, number)
    started = time.monotonic()
    _, errors = process.communicate()  # ends once no helper holds the pipe any more
    assert time.monotonic() - started < 8
    assert process.returncode == 128 + number
    lines = errors.strip().splitlines()
    assert lines[0].startswith("gutseg train: stopped") and lines[0].endswith(said)
    assert len(lines) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_output_survives_streams_that_are_poor_or_closed(tmp_path, script):
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    out, errors = script("print", env=ascii_only).communicate()
    assert out.startswith("sum ? sum ?") and not errors
    process = script("fail", env=ascii_only)
    assert process.communicate()[1] == "gutseg train: the ? of nothing\n"
    shell = ["sh", "-c"]
    cases = {
        '"$@" 2>&-': 0,
        '"$@" >&-': 0,
        '"$@" >&- 2>&-': 0,
        '"$@" > /dev/full': 2,
        '{ "$@"; echo $? > status; } | head -c 1': 141,
    }
    for case, status in cases.items():
        line = case if "status" in case else f"{case}; echo $? > status"
        process = script("print", prefix=[*shell, line, "sh"])
        _, errors = process.communicate()
        assert (tmp_path / "status").read_text() == f"{status}\n", case
        assert errors in (
            "",
            "gutseg train: the output could not be written: No space left on device\n",
        )


def test_a_helper_has_no_semaphore_that_a_stop_would_leave_behind():
    """The end of `train --jobs 2` was a warning about leaked semaphores: those of tqdm's locks."""
    assert not hasattr(progress(disable=True).get_lock(), "mp_lock")


def test_the_death_of_the_youngest_helper_is_noticed_while_others_work():
    """With two folds in two processes the second could be killed and `train` went on waiting."""
    with workers(2, _ready) as pool:
        pool.submit(time.sleep, 60)
        killed = pool.submit(die)
        with pytest.raises(BrokenProcessPool):
            killed.result(timeout=45)  # a loaded machine imports slowly


def _ready() -> None:
    """Leave the pool's thread the time to look away."""
    time.sleep(1)
