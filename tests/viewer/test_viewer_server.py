"""The viewer's server answers one person on this machine, and nothing but its scans."""

import http.client
import json
import threading

import pytest
from shown_scans import SHAPE, scans

from gutseg.viewer.server import KEPT, Pages, Server


@pytest.fixture(scope="module")
def server():
    with Server(scans(("case2_day0", "case3_day1")), "a run") as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield started
        started.shutdown()


def _ask(server, path, *, method="GET", hosts=None):
    """Ask for a path as it stands: no client tidies it up."""
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for host in hosts if hosts is not None else [f"127.0.0.1:{port}"]:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_it_is_bound_to_this_machine(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url.startswith("http://127.0.0.1:") and len(server.token) >= 40


def test_it_serves_its_pages(server):
    kinds = {
        "": "text/html",
        "viewer.js": "text/javascript",
        "viewer.css": "text/css",
        "scans.json": "application/json",
        "scan/case3_day1": "application/json",
    }
    for place, kind in kinds.items():
        status, headers, content = _ask(server, f"/{server.token}/{place}")
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8"), place
        assert len(content) == int(headers["Content-Length"]) > 0
        assert headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "gutseg" in headers["Server"] and "Python" not in headers["Server"]
    assert json.loads(content)["name"] == "case3_day1"
    assert json.loads(_ask(server, f"/{server.token}/scans.json")[2]) == [
        "case2_day0",
        "case3_day1",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/viewer.js",
        "/scans.json",
        "/scan/case2_day0",
        "//{token}x/",
        "/{token}",
        "/{token}x/",
        "/{short}/",
        "/{upper}/scans.json",
        "/%C3%A9/",
        "/?{token}/",
    ],
)
def test_without_the_token_there_is_nothing(server, path):
    token = server.token
    path = path.format(token=token, short=token[:-1], upper=token.swapcase())
    status, _, content = _ask(server, path)
    assert status == 404 and token.encode() not in content and b"case2_day0" not in content


@pytest.mark.parametrize(
    "place",
    [
        "scan/case9_day9",
        "scan/",
        "scan",
        "scans",
        "scan/case2_day0/",
        "scan/../scans.json",
        "scan/%2e%2e/scans.json",
        "scan/..%2fscans.json",
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "assets/viewer.js",
        "viewer.js/",
        "__init__.py",
        "scan/case2_day0%00",
    ],
)
def test_only_what_is_listed_is_found(server, place):
    status, _, content = _ask(server, f"/{server.token}/{place}")
    assert (status, json.loads(content)) == (404, {"error": "there is no such page"})


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", ""])
def test_another_host_is_refused(server, name):
    """A page of evil.example whose name leads to 127.0.0.1 would send its own name."""
    port = server.server_address[1]
    for host in (f"{name}:{port}", name):
        status, _, content = _ask(server, f"/{server.token}/scans.json", hosts=[host])
        assert status == 403 and b"case" not in content


def test_hosts_are_named_once_with_the_port(server):
    port = server.server_address[1]
    for hosts in ([], ["127.0.0.1"], [f"127.0.0.1:{port + 1}"], [f"127.0.0.1:{port}"] * 2):
        assert _ask(server, f"/{server.token}/", hosts=hosts)[0] == 403
    assert _ask(server, f"/{server.token}/", hosts=[f"LocalHost:{port}"])[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_it_only_gives(server, method):
    assert _ask(server, f"/{server.token}/scans.json", method=method)[0] == 501


def test_the_last_scans_are_kept_and_a_damaged_one_is_explained():
    names, opened = tuple(f"case{n}_day0" for n in range(KEPT + 2)), []
    source = scans(names)

    def read(name):
        opened.append(name)
        if name == names[-1]:
            raise ValueError("image.npy is cut; run: gutseg prepare")
        return source.read(name)

    pages = Pages(type(source)(names, source.index, read, source.predict), "a run")
    for name in (*names[:-1], names[1], names[0]):
        status, _, content = pages.answer(f"scan/{name}")
        assert status == 200 and json.loads(content)["shape"] == list(SHAPE)
    assert opened == [*names[:-1], names[0]]  # the first had been dropped for the last
    status, _, content = pages.answer(f"scan/{names[-1]}")
    assert status == 500
    assert json.loads(content) == {"error": "image.npy is cut; run: gutseg prepare"}
