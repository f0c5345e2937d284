"""How a command ends: with one sentence and a status, whatever it was that ended it.

Only the standard library is imported here, and little of it: a key pressed while torch is still
being imported must find these handlers in place.
"""

import atexit
import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

# What a verb that was stopped leaves behind.
KEPT = {
    "config": "nothing was written",
    "list": "nothing was written",
    "phantom": "finished scans are kept; the same command continues",
    "prepare": "finished scans are kept; the same command continues",
    "split": "nothing was written",
    "plan": "nothing was written",
    "train": "finished epochs are kept; the same command resumes",
    "predict": "finished scans are kept; the same command continues",
    "pseudo": "no labels of this fold count; the same command labels it again",
    "blend": "no blend.yaml was written",
    "best": "nothing was written",
    "score": "nothing was written",
    "report": "no page was replaced",
    "submit": "no submission was written",
    "validate": "nothing was written",
    "kernel": "no build was replaced; finished steps of a push are kept",
    "export": "finished files are kept",
    "segment": "no masks were written",
    "push-to-hub": "no folder was replaced",
    "bench": "finished cells are kept; the same command continues",
    "reuse": "finished epochs are kept; the same command resumes",
    "view": "nothing was written",
    "doctor": "nothing was written",
    "demo": "finished steps are kept; the same command continues",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A command that has not unwound so many seconds after a signal is ended where it is.
GRACE = 3.0
# torch and OpenCV have no class of their own for this, and are not imported here.
OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "Insufficient memory"),
    *("size calculation overflow", "multiplication overflow"),
)


class Stopped(BaseException):
    """A signal asked the command to end; not a KeyboardInterrupt, which libraries catch."""


@contextmanager
def guarded(verb: str, *, working: bool = True) -> Iterator[None]:
    """Turn signals, bad input and a reader that has gone away into a sentence and a status.

    Status 2: bad input or a full disk or memory; 128 + the signal's number: a signal; 141: nobody
    reads the output. A bug keeps its traceback. working: False while modules are being imported.
    """
    stop, before, received = _handle_signals(verb, working)
    try:
        yield
        sys.stdout.flush()
    except BaseException as error:
        if received:  # perhaps another error came of it, of a helper that got the signal too
            _leave(verb, received[0])
        is_unread = isinstance(error, BrokenPipeError) and _nobody_reads()
        _silence_broken_streams()
        if is_unread:
            sys.exit(128 + signal.SIGPIPE)
        sentence = explain(error) if isinstance(error, Exception) else None
        if sentence is None or os.environ.get("GUTSEG_DEBUG"):
            raise
        with suppress(OSError):
            print(f"{_name(verb)}: {sentence}", file=sys.stderr, flush=True)
        sys.exit(2)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


def explain(error: Exception) -> str | None:
    """Return the sentence for an error that input or the machine cause; None for a bug."""
    text = str(error) or type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.start + 1].hex()
        return f"a file is not {error.encoding} text: byte 0x{found} at position {error.start}"
    if isinstance(error, OSError) and error.strerror:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = error.filename or ("the output could not be written" if is_full else "")
        return f"{where}: {error.strerror}" if where else error.strerror
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return text
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        first = text.strip().splitlines()[0]
        return f"out of memory ({first}); take smaller images, networks or batches, or fewer jobs"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("gutseg"):
        remedy = "pip install -e . (gutseg doctor names all that is missing)"
        return f"the package {error.name} is not installed; {remedy}"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply"
    if type(error).__name__ == "BrokenProcessPool":  # its module is slow to import
        return "a process that worked for this command was killed, perhaps for want of memory"
    if isinstance(error, subprocess.CalledProcessError):
        return f"{' '.join(map(str, error.cmd))} ended with status {error.returncode}"
    return None


def ready_streams() -> None:
    """Make standard output and error writable: closed ones lead nowhere, "√" becomes "?"."""
    # a file that is opened later must not get the number of a closed standard stream
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", closefd=False)  # noqa: SIM115 (open for good)
            setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _handle_signals(
    verb: str, working: bool
) -> tuple[Callable, dict[signal.Signals, Any], list[int]]:
    """Install a handler; return it, those before it, and the list that takes what it receives."""
    owner = os.getpid()
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        if os.getpid() != owner:  # a forked reader of batches: its parent ends it
            return
        received.append(number)
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        if not working:
            _leave(verb, number, " before it began", tidy=False)
        signal.signal(signal.SIGALRM, lambda *_: _leave(verb, number, tidy=False))
        signal.setitimer(signal.ITIMER_REAL, GRACE)
        for child in _helpers():
            child.terminate()
        raise Stopped(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, stop)
    return stop, before, received


def _helpers() -> list:
    """The processes that work for this one; those that read batches end with their reader."""
    multiprocessing = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing else []
    return [child for child in children if not child.daemon]


def _leave(verb: str, number: int, kept: str = "", tidy: bool = True) -> NoReturn:
    """End the process without waiting for threads, helpers and seconds of taking torch down."""
    if os.environ.get("RANK", "0") == "0":  # once where torchrun runs one command many times
        kept = kept or f"; {KEPT.get(verb, 'nothing was written')}"
        with suppress(OSError):
            # on a line of its own: there may be a progress bar
            os.write(2, f"\n{_name(verb)}: stopped{kept}\n".encode())
    for child in _helpers():
        child.kill()
    if tidy:
        atexit._run_exitfuncs()
    if paths := sys.modules.get("gutseg.files"):
        paths.remove_temporaries()
    os._exit(128 + number)


def _name(verb: str) -> str:
    return f"gutseg {verb}".strip()


def _nobody_reads() -> bool:
    """Say whether standard output or error is a pipe whose reader has gone."""
    polled = select.poll()
    for number in (1, 2):
        polled.register(number, select.POLLOUT)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in polled.poll(0))


def _silence_broken_streams() -> None:
    """Lead streams that can no longer be written nowhere, or their end would complain again."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
