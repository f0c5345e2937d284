"""Independent tasks: in this process, in others, killed, failing."""

import os
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from deadly import die, double, fail_on_two, gpu_of, process_of, worked_once

from gutseg.jobs import at_once, default_jobs, gpu_names, run
from gutseg.predict import predict


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


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)


def test_gpus_are_counted_and_named(four_gpus, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_names(None) == ["0", "1", "2", "3"] and gpu_names(2) == ["0", "1"]
    assert gpu_names(0) == []
    with pytest.raises(ValueError, match="--gpus 5: this machine has 4; leave it out to use all"):
        gpu_names(5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,GPU-ab,2")
    assert gpu_names(3) == ["7", "5", "GPU-ab"]


# jobs, gpus: how many tasks run at a time
@pytest.mark.parametrize(
    ("jobs", "gpus", "count"),
    [(1, None, 1), (0, None, 4), (1, 2, 2), (0, 3, 3), (5, 2, 5), (0, 0, 6), (1, 0, 1)],
)
def test_every_gpu_has_a_task_at_least(four_gpus, jobs, gpus, count):
    assert at_once(jobs, gpus) == count


def test_each_process_sees_one_gpu(four_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,GPU-ab,2")
    found = dict(_run([1, 2, 3, 4], gpu_of, jobs=1, gpus=2))
    assert set(found.values()) == {"7", "5"}


class FakeRay:
    """A cluster whose nodes are this process."""

    exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=KeyError)

    def __init__(self, **resources):
        self.resources, self.started, self.tasks = resources, [], []

    def is_initialized(self):
        return bool(self.started)

    def init(self, address, log_to_driver):
        self.started.append(address)

    def cluster_resources(self):
        return self.resources

    def remote(self, **asked):
        def wrap(function):
            def start(*arguments):
                self.tasks.append((asked["num_gpus"], arguments[1]))
                return partial(function, *arguments)

            return SimpleNamespace(remote=start)

        return wrap

    def wait(self, running, num_returns):
        return running[-1:], running[:-1]

    def get(self, task):
        return task()


@pytest.mark.parametrize(("resources", "parts"), [({"CPU": 5.0}, 3), ({"CPU": 9, "GPU": 2.0}, 1)])
def test_a_cluster_gets_as_many_parts_as_it_has_gpus_or_cores(
    trained, tmp_path, monkeypatch, resources, parts
):
    run = tmp_path / "tiny"
    shutil.copytree(trained.run, run, ignore=shutil.ignore_patterns("oof"))
    ray = FakeRay(**resources)
    monkeypatch.setitem(sys.modules, "ray", ray)
    predict(run, ray="somewhere")
    assert ray.started == ["somewhere"] and len(ray.tasks) == 2 * parts
    assert {gpus for gpus, _ in ray.tasks} == {int("GPU" in resources)}
    scans = sorted(scan for _, part in ray.tasks for scan in part.scans)
    assert scans == sorted(path.stem for path in trained.run.glob("fold*/oof/*.npz"))
    for path in trained.run.glob("fold*/oof/*.npz"):
        with np.load(path) as here, np.load(run / path.relative_to(trained.run)) as there:
            assert np.array_equal(here["probabilities"], there["probabilities"])
    with pytest.raises(ValueError, match="--gpus is for this machine; a Ray cluster gives every"):
        predict(run, ray="somewhere", gpus=1)


def test_ray_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--ray needs Ray: pip install"):
        _run([1], double, ray="auto")


def _reason(task, error):
    return f"{task}: {error}"
