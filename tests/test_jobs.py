"""Independent tasks: in this process, in others, killed, failing."""

import os
from functools import partial

import pytest
from deadly import die, double, fail_on_two, process_of, worked_once

from gutseg.jobs import default_jobs, run


def _run(tasks, work, **settings):
    return list(run(tasks, work, desc="test", unit="task", **settings))


def test_one_job_runs_here_and_several_elsewhere():
    here = _run([1, 2, 3], process_of, jobs=1)
    assert here == [(1, os.getpid()), (2, os.getpid()), (3, os.getpid())]
    elsewhere = dict(_run([1, 2, 3], process_of, jobs=2))
    assert set(elsewhere) == {1, 2, 3} and os.getpid() not in elsewhere.values()
    assert dict(_run([1, 2, 3], double, jobs=2)) == {1: 2, 2: 4, 3: 6}
    assert _run([], double) == []


def test_a_single_task_needs_no_other_process():
    assert _run([1], process_of, jobs=8) == [(1, os.getpid())]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_raised_or_becomes_a_result(jobs):
    with pytest.raises(ValueError, match="two is too many"):
        _run([1, 2], fail_on_two, jobs=jobs)
    found = dict(_run([1, 2], fail_on_two, jobs=jobs, failed=_reason))
    assert found == {1: 1, 2: "2: two is too many"}


def test_a_killed_task_is_tried_once_more_alone(tmp_path):
    work = partial(worked_once, str(tmp_path / "died"))
    assert dict(_run([1, 2, 3], work, jobs=2)) == {1: 1, 2: 2, 3: 3}
    assert (tmp_path / "died").is_file()


def test_a_task_that_is_killed_again_has_failed():
    with pytest.raises(ChildProcessError, match="^task 1: its process was killed, perhaps for"):
        _run([1, 2], die, jobs=2)
    found = dict(_run([1, 2], die, jobs=2, failed=_reason))
    assert all("its process was killed, perhaps for want" in found[task] for task in (1, 2))


def test_the_default_is_one_per_core(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert default_jobs() == 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert default_jobs() == 2


def test_ray_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match="--ray needs Ray: pip install"):
        _run([1], double, ray="auto")


def _reason(task, error):
    return f"{task}: {error}"
