"""gutseg view RUN: a run's scans with truth and prediction in the browser."""

import errno
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from gutseg.viewer.scans import open_scans
from gutseg.viewer.server import ADDRESS, Server


def view(
    source: Annotated[Path, typer.Argument(help="a run folder, a blend.yaml or a prepared cache")],
    port: Annotated[int, typer.Option(help="0 takes a free one", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="open it; the address is printed anyway")] = True,
    fold: Annotated[str, typer.Option(help="of a run: a number, several (0,2) or all")] = "all",
) -> None:
    """Show scans slice by slice, with truth, out-of-fold prediction and their differences.

    The pages are served to this machine alone, at an address that nobody can guess, until Ctrl-C.
    A browser that is opened has the address in its command line, which other users of the machine
    can read: there, give --no-browser.
    """
    scans = open_scans(source, fold)
    try:
        folder = source.parent if source.is_file() else source
        server = Server(scans, folder.resolve().name, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken" if error.errno == errno.EADDRINUSE else "is for the system alone"
        raise ValueError(f"--port {port} of {ADDRESS} {why}; give another, or 0") from None
    with server:
        print(f"{len(scans.names)} scans at {server.url} until Ctrl-C", flush=True)
        if browser:
            # it waits for a browser in the terminal, and that one for the server
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_forever()
