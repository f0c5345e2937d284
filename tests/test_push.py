"""gutseg kernel push against a kaggle command that answers and fails as the real one does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pushing import Kaggle, run_here, write_build

from gutseg.kaggle import client
from gutseg.kaggle.push import log_lines, newest
from gutseg.kaggle.steps import kept
from gutseg.kaggle.words import Lines
from gutseg.kernel import kernel

UPLOAD = ["datasets status", "datasets create", "datasets status", "datasets status"]
RUN = ["kernels push", *3 * ["kernels status"], "kernels output"]
SUBMIT = ["competitions submit", *2 * ["competitions submissions"]]


@pytest.fixture
def kaggle(tmp_path, monkeypatch, request):
    monkeypatch.setattr(client, "EVERY", 0)
    if "executable" not in request.node.name:
        monkeypatch.setattr(client, "run_command", run_here)
    monkeypatch.setenv("FAKE_KAGGLE", str(tmp_path / "fake"))
    monkeypatch.setenv("PATH", str(tmp_path / "fake" / "bin"))
    return Kaggle(tmp_path / "fake")


@pytest.fixture
def build(tmp_path):
    return write_build(tmp_path / "build")


def test_an_executable_is_asked_in_order_until_there_is_a_score(kaggle, build, capsys):
    kernel("push", folder=build, submit="first, with a comma")
    assert kaggle.calls() == [*UPLOAD, *RUN, *SUBMIT]
    said = capsys.readouterr().out
    assert said == "me/gutseg-infer version 1: public score 0.86445, private 0.85588\n"
    output = {path.name for path in (build / "output").iterdir()}
    assert output == {"submission.csv", "score.json", "gutseg-infer.log"}


def test_a_repeated_push_goes_on_after_the_last_finished_step(kaggle, build, capsys):
    kernel("push", folder=build)
    assert kaggle.calls() == [*UPLOAD, *RUN]
    assert "to submit it, repeat this command with --submit MESSAGE" in capsys.readouterr().out
    kernel("push", folder=build, submit="hello")
    assert kaggle.calls() == SUBMIT
    kernel("push", folder=build, submit="hello")
    assert kaggle.calls() == []
    assert "version 1: public score 0.86445" in capsys.readouterr().out
    kernel("push", folder=build, submit="once more")
    assert kaggle.calls() == SUBMIT


@pytest.mark.parametrize("words", dict.fromkeys([*UPLOAD, *RUN, *SUBMIT]))
def test_no_step_is_lost_or_done_twice_wherever_it_failed(kaggle, build, words):
    """What changes something on Kaggle is asked for once, however often the push fails."""
    kaggle.answer(**{words.replace(" ", "_"): [["", "killed by somebody", 9]]})
    with pytest.raises(ValueError, match=f"kaggle {words} failed: killed by somebody; repeat the"):
        kernel("push", folder=build, submit="hello")
    kernel("push", folder=build, submit="hello")
    calls = kaggle.calls()
    for changing in ("datasets create", "kernels push", "competitions submit"):
        assert calls.count(changing) == 1 + (changing == words)


def test_a_changed_bundle_starts_anew_and_a_changed_script_sends_no_bundle(kaggle, build):
    kernel("push", folder=build)
    kaggle.calls()
    (build / "infer" / "infer.py").write_text("print('other')\n")
    kernel("push", folder=build)
    assert kaggle.calls() == RUN
    state = (build / "push.json").read_bytes()
    write_build(build, "other weights")
    (build / "push.json").write_bytes(state)
    kernel("push", folder=build)
    # the version that is there is asked for before, and a ready one of before is not taken for it
    renewed = ["datasets status", "datasets version", "datasets status", "datasets status"]
    assert kaggle.calls() == [*renewed, *RUN]


def test_a_rebuilt_build_keeps_what_was_pushed(build):
    for before in (None, '{"kernel": {"of": "x", "result": 3}}'):
        if before:
            (build / "push.json").write_text(before)
        with kept(build):
            write_build(build)
            assert not (build / "push.json").exists()
        found = (build / "push.json").read_text() if (build / "push.json").exists() else None
        assert found == before


@pytest.mark.parametrize("content", ["", "[]", '{"kernel": 3}', '{"kernel": {"of": 1}}'])
def test_a_damaged_state_is_no_state(kaggle, build, content):
    (build / "push.json").write_text(content)
    kernel("push", folder=build)
    assert kaggle.calls() == [*UPLOAD, *RUN]


def test_a_dry_run_prints_the_commands_and_runs_none(kaggle, build, capsys, monkeypatch):
    monkeypatch.chdir(build.parent)
    kernel("push", folder=Path("build"), submit="two words", dry_run=True)
    lines = [line.split("  # ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "kaggle datasets status me/gutseg-bundle --format json",
        "kaggle datasets create -p build/bundle --dir-mode zip",
        "kaggle datasets version -p build/bundle --dir-mode zip -m 'gutseg 0.1.0'",
        "kaggle datasets status me/gutseg-bundle --format json",
        "kaggle kernels push -p build/infer",
        "kaggle kernels status me/gutseg-infer",
        "kaggle kernels output me/gutseg-infer -p build/output",
        "kaggle competitions submit uw-madison-gi-tract-image-segmentation "
        "-k me/gutseg-infer -v VERSION -f submission.csv -m 'two words'",
        "kaggle competitions submissions uw-madison-gi-tract-image-segmentation -v",
    ]
    assert kaggle.calls() == [] and not (build / "push.json").exists()


def test_refusals_that_pass_are_waited_for_but_not_for_ever(kaggle, build):
    busy = ["", "429 Client Error: Too Many Requests for url: https://k.com/x", 1]
    kaggle.answer(kernels_status=[busy, busy])
    kernel("push", folder=build)
    assert kaggle.calls().count("kernels status") == 5
    kaggle.answer(competitions_submissions=[busy] * 5)
    with pytest.raises(ValueError, match="429 Client Error.*Kaggle wants fewer requests: repeat"):
        kernel("push", folder=build, submit="hello")


def test_a_kernel_is_not_asked_for_before_kaggle_has_begun_it(kaggle, build, monkeypatch):
    """For a moment the status may be that of the version before: complete."""

    def pause() -> None:
        with (kaggle.root / "calls.txt").open("a") as calls:
            calls.write("pause\n")

    monkeypatch.setattr(client, "pause", pause)
    kernel("push", folder=build)
    calls = kaggle.calls()
    assert calls[calls.index("kernels push") + 1] == "pause"


def test_waiting_has_an_end(kaggle, build, monkeypatch):
    monkeypatch.setattr(client, "HOURS", 0)
    with pytest.raises(ValueError, match="gutseg-bundle is not ready after 0 hours; repeat the"):
        kernel("push", folder=build)


def test_a_kernel_that_failed_is_quoted_and_runs_again(kaggle, build):
    kernel("push", folder=build)
    kaggle.change(kernels={"me/gutseg-infer": {"version": 4, "end": "ERROR"}})
    (build / "infer" / "infer.py").write_text("print('other')\n")
    with pytest.raises(ValueError, match="ended with error .Your notebook tried to") as failed:
        kernel("push", folder=build)
    assert str(failed.value).splitlines()[1:] == [f"  line {n}" for n in range(12, 20)]
    kaggle.change(kernels={"me/gutseg-infer": {"version": 5}})
    kaggle.calls()
    kernel("push", folder=build)
    assert kaggle.calls() == RUN


def test_what_kaggle_could_not_use_is_sent_again(kaggle, build):
    absent = ["", "404 Client Error: Not Found for url: https://k.com", 1]
    failed = ['{"status": "failed", "current_version_number": 1}', "", 0]
    kaggle.answer(datasets_status=[absent, failed])
    kaggle.change(scoring="ERROR")
    for problem in ("gutseg-bundle: failed; repeat", "could not score the submission 'hello'"):
        with pytest.raises(ValueError, match=problem):
            kernel("push", folder=build, submit="hello")
    kaggle.change(scoring="COMPLETE")
    kernel("push", folder=build, submit="hello")
    calls = kaggle.calls()
    assert calls.count("datasets create") == calls.count("datasets version") == 1
    assert calls.count("kernels push") == 1 and calls.count("competitions submit") == 2


STOPPED = "stopped after 8.5 hours; attach this kernel's output to it and run it again"


def test_a_training_is_pushed_again_beside_its_own_output_until_it_has_ended(
    kaggle, tmp_path, capsys
):
    build = write_build(tmp_path / "build", kind="train")
    kaggle.change(output={"runs/a/fold0/last.pt": ""}, log=["epoch 0", STOPPED])
    for number in (1, 2):
        kernel("push", folder=build, kind="train")
        assert kaggle.calls() == ([*UPLOAD, *RUN] if number == 1 else RUN)
        assert capsys.readouterr().out == (
            f"me/gutseg-train version {number} has run; its output is in {build}/output; its time "
            "was over: repeat this command, and it resumes from there\n"
        )
        sent = json.loads((build / "train" / "kernel-metadata.json").read_text())
        assert sent["kernel_sources"] == ["me/gutseg-train"]
    kaggle.change(log=["runs/a/fold0 is trained"])
    for calls in (RUN, []):
        kernel("push", folder=build, kind="train")
        assert kaggle.calls() == calls
        assert capsys.readouterr().out.endswith(f"has run; its output is in {build}/output\n")


def test_a_build_does_not_forget_that_a_training_goes_on(kaggle, tmp_path, monkeypatch):
    """`kernel push --config` builds first, each time."""
    build = write_build(tmp_path / "build", kind="train")
    metadata = build / "train" / "kernel-metadata.json"
    fresh = metadata.read_text()
    module = sys.modules["gutseg.kernel"]

    def rebuild(*_):
        metadata.write_text(fresh)

    monkeypatch.setattr(module, "build_code_bundle", rebuild)
    kaggle.change(output={"runs/a/fold0/last.pt": ""}, log=["epoch 0", STOPPED])
    again = {"folder": build, "kind": "train", "config": Path("a.yaml"), "user": "me"}
    kernel("push", **again)
    kernel("push", **again)
    assert json.loads(metadata.read_text())["kernel_sources"] == ["me/gutseg-train"]
    kaggle.change(log=["runs/a/fold0 is trained"])
    kernel("push", **again)
    kernel("push", **again)  # what comes after the end begins anew
    assert json.loads(metadata.read_text())["kernel_sources"] == []


def test_the_scores_of_what_was_attached_are_told(kaggle, tmp_path, caplog):
    caplog.set_level("INFO")
    build = write_build(tmp_path / "build", kind="cv")
    found = {"train/runs/a": {"score": 0.75}, "s.csv": {"score": 0.5}}
    kaggle.change(output={"score.json": json.dumps(found)})
    kernel("push", folder=build, kind="cv")
    said = "output: gutseg-cv.log, score.json; train/runs/a 0.7500; s.csv 0.5000"
    assert said in caplog.messages
    with pytest.raises(ValueError, match="--submit is not for kernel --kind cv, which writes no"):
        kernel("push", folder=build, kind="cv", submit="first")
    kaggle.change(output={"other.csv": ""})
    (build / "push.json").unlink()
    with pytest.raises(ValueError, match="wrote no score.json, but gutseg-cv.log, other.csv; see"):
        kernel("push", folder=build, kind="cv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": Path("a.yaml")}, "--config is not for kernel --kind infer; leave it out"),
        ({"attach": ["code/me/x"]}, "--attach is not for kernel --kind infer"),
        ({"kind": "cv", "blend": Path("a.yaml")}, "--blend is not for kernel --kind cv"),
        ({"kind": "cv", "config": Path("a.yaml")}, "--config is not for kernel --kind cv"),
        ({"kind": "train", "blend": Path("a.yaml")}, "--blend is not for kernel --kind train"),
    ],
)
def test_options_of_another_kind_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kernel("push", **options)


def test_a_log_may_be_json_or_text(tmp_path):
    events = [{"stream_name": "stderr", "data": "one\ntw"}, {"data": "o\n"}]
    (tmp_path / "a.log").write_text(json.dumps(events))
    assert log_lines(tmp_path) == ["one", "two"]
    (tmp_path / "a.log").write_text("plain\n\ntext")
    assert log_lines(tmp_path) == ["plain", "text"]
    assert log_lines(tmp_path / "none") == []


def test_the_newest_submission_of_a_message():
    head = "Using competition: uw\nref,fileName,date,description,status,publicScore,privateScore\n"
    rows = "1,s.csv,2026-11-20,a,S.COMPLETE,0.1,\n2,s.csv,2026-11-22,a,S.COMPLETE,0.3,\n"
    assert newest(f"{head}{rows}3,s.csv,2026-11-23,b,S.ERROR,,", "a")["publicScore"] == "0.3"
    assert newest("No submissions found", "a") == newest(head, "a") == {}


def shown(command: str) -> list[str]:
    """Return what docs/kaggle.md shows below a command."""
    page = (Path(__file__).parents[1] / "docs" / "kaggle.md").read_text()
    block = page.split(f"    $ {command}\n")[1].split("\n\n")[0]
    return [line.removeprefix("    ") for line in block.splitlines()]


def test_the_page_shows_what_a_push_prints(kaggle, tmp_path, monkeypatch, caplog, capsys):
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    folder = write_build(Path("build/kaggle"), user="somebody")
    kernel("push", folder=folder, submit="first", dry_run=True)
    dry = capsys.readouterr().out.splitlines()
    assert dry == shown("gutseg kernel push --dry-run --submit first")
    kernel("push", folder=folder, submit="first")
    printed = [*caplog.messages, *capsys.readouterr().out.splitlines()]
    assert printed == shown("gutseg kernel push --submit first")


@pytest.mark.parametrize("kind", ["train", "cv"])
def test_the_page_shows_what_the_other_kernels_are_pushed_with(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_build(Path(f"build/kaggle-{kind}"), user="somebody", kind=kind)
    kernel("push", kind=kind, dry_run=True)
    assert capsys.readouterr().out.splitlines() == shown(
        f"gutseg kernel push --kind {kind} --dry-run"
    )


REAL = shutil.which("kaggle")
real = pytest.mark.skipif(not REAL, reason="the kaggle command is not installed")


@real
def test_the_real_command_knows_every_option():
    lines = Lines(Path("build"), "me/gutseg-bundle", "me/gutseg-infer", "hello").in_order()
    for words, _ in {" ".join(words[:2]): (words, 0) for words, _ in lines}.values():
        told = subprocess.run([REAL, *words[:2], "--help"], capture_output=True, text=True).stdout
        missing = [word for word in words if word.startswith("-") and f"{word}" not in told]
        assert not missing, f"kaggle {' '.join(words[:2])}: {missing}"


@real
def test_the_real_command_takes_the_metadata_as_far_as_it_looks_offline(build):
    """It checks them before its first request, which a proxy that is not there refuses."""
    token = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "x", "HOME": str(build)}
    settings = {
        "env": token | {"HTTPS_PROXY": "http://127.0.0.1:9", "PATH": str(Path(REAL).parent)}
    }

    def said(*words):
        done = subprocess.run([REAL, *words], capture_output=True, text=True, **settings)
        return done.stdout + done.stderr

    lines = Lines(build, "me/gutseg-bundle", "me/gutseg-infer", "hello")
    assert "ProxyError" in said(*lines.start)
    assert "ProxyError" in said(*lines.create)
    path = build / "infer" / "kernel-metadata.json"
    path.write_text(path.read_text().replace('"python"', '"perl"'))
    assert "A valid language must be specified" in said(*lines.start)
