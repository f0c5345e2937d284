"""A web server for one person on this machine: `gutseg view`.

It answers this machine alone (127.0.0.1), only to who knows the token of its address, and only
under its own name, so that another site's page cannot reach it through a name that leads here.
"""

import json
import logging
import secrets
from collections.abc import Callable
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import unquote, urlsplit

from gutseg.viewer.encoding import payload
from gutseg.viewer.page import STYLE, asset, page, script
from gutseg.viewer.scans import Scans

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
# scans kept ready: going back to the last ones is quick, and a whole run does not fill the memory
KEPT = 4
# seconds that a browser may take to ask
PATIENCE = 30
# what an address without a port means
HTTP_PORT = 80
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Answer = tuple[HTTPStatus, str, bytes]


class Pages:
    """What is under the token: a fixed set of addresses, none of which is a path of a file."""

    def __init__(self, scans: Scans, title: str) -> None:
        self._scans = scans
        self._ready: dict[str, bytes] = {}
        self._lock = Lock()  # scans are opened one by one: they share files and memory
        self._fixed: dict[str, tuple[str, Callable[[], str]]] = {
            "": ("text/html", lambda: page(title)),
            "viewer.js": ("text/javascript", script),
            "viewer.css": ("text/css", lambda: asset(STYLE)),
            "scans.json": ("application/json", lambda: json.dumps(list(scans.names))),
        }

    def answer(self, place: str) -> Answer:
        """Return status, type and content of what is at a place below the token."""
        if place in self._fixed:
            kind, make = self._fixed[place]
            return HTTPStatus.OK, kind, make().encode()
        folder, _, name = place.partition("/")
        if folder != "scan" or name not in self._scans.names:
            return HTTPStatus.NOT_FOUND, "application/json", _error("there is no such page")
        try:
            return HTTPStatus.OK, "application/json", self._scan(name)
        except (ValueError, OSError) as error:  # a damaged file: the page shows the sentence
            log.warning("%s", error)
            return HTTPStatus.INTERNAL_SERVER_ERROR, "application/json", _error(str(error))

    def _scan(self, name: str) -> bytes:
        with self._lock:
            if name not in self._ready:
                self._ready[name] = json.dumps(payload(self._scans[name])).encode()
                for old in list(self._ready)[:-KEPT]:
                    del self._ready[old]
            return self._ready[name]


class Server(ThreadingHTTPServer):
    """Answers on 127.0.0.1 below a token of its own."""

    daemon_threads = True

    def __init__(self, scans: Scans, title: str, port: int = 0) -> None:
        """port: 0 takes a free one. Raises OSError where the port is taken."""
        self.pages, self.token = Pages(scans, title), secrets.token_urlsafe(32)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where the viewer is, with its token."""
        return f"http://{ADDRESS}:{self.server_address[1]}/{self.token}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing where a browser closed a connection before it had its answer."""
        log.debug("a request of %s was not finished", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "gutseg", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host", [])
        port = self.server.server_address[1]
        known = [f"{name}:{port}" for name in NAMES]
        known += NAMES if port == HTTP_PORT else []  # which browsers leave out
        if len(hosts) != 1 or hosts[0].lower() not in known:
            return self._send(HTTPStatus.FORBIDDEN, "application/json", _error("another host"))
        # //host/path would be read as an address: what is asked for begins with one slash
        token, slash, place = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        given, wanted = (word.encode("utf-8", "replace") for word in (token, self.server.token))
        if not compare_digest(given, wanted) or not slash:
            return self._send(HTTPStatus.NOT_FOUND, "application/json", _error("no such page"))
        return self._send(*self.server.pages.answer(place))

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet: the standard library would print the token with every request."""


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode()
