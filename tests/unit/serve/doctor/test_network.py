import os
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moorage.environments.bounded import Outcome
from moorage.serve.doctor.network import ask, default_index, pip_settings


class Handler(BaseHTTPRequestHandler):
    status = 200
    date = ""
    asked: list[tuple[str, dict[str, str]]]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        self.send_response_only(self.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        if self.date:
            self.send_header("Date", self.date)
        self.end_headers()


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    class Own(Handler):
        asked: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012 - one for each server

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}", Own
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.mark.parametrize(
    ("status", "good"), [(200, True), (302, True), (401, True), (404, True), (407, False), (502, False)]
)
def test_an_answer_is_an_answer(server: tuple[str, type[Handler]], status: int, good: bool) -> None:
    url, handler = server
    handler.status = status
    answer = ask(f"{url}/simple", {}, "", 2.0)
    assert (answer.status, answer.good) == (status, good)
    assert [path for path, _ in handler.asked] == ["/simple"]


def test_no_login_is_sent(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    assert ask(url.replace("//", "//ann:secret@"), {}, "", 2.0).good
    assert "Authorization" not in handler.asked[0][1]


def test_the_proxy_of_the_environment_is_taken(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    assert ask("http://hub.invalid/x", {"HTTP_PROXY": url}, "", 2.0).good
    assert handler.asked[0][0] == "http://hub.invalid/x"
    assert not ask("http://hub.invalid/x", {"HTTP_PROXY": url, "NO_PROXY": ".invalid"}, "", 2.0).good


def test_the_time_there(server: tuple[str, type[Handler]]) -> None:
    url, handler = server
    handler.date = formatdate(time.time() - 3600, usegmt=True)
    skew_s = ask(url, {}, "", 2.0).skew_s
    assert skew_s is not None
    assert 3590 < skew_s < 3610
    handler.date = "yesterday"
    assert ask(url, {}, "", 2.0).skew_s is None


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        answer = ask(url, {}, "", 0.3)
    assert (answer.status, answer.error) == (None, "no answer within 0.3 s")
    assert ask("http://127.0.0.1:1", {}, "", 1.0).error == "it refuses the connection"
    assert ask("http://hub.invalid", {}, "", 2.0).error == "its name cannot be resolved"


@pytest.mark.parametrize("url", ["", "ftp://host/", "http://", "http://host:port/", "nonsense"])
def test_what_is_no_address(url: str) -> None:
    assert ask(url, {}, "", 1.0).error == f"{url!r} is no address"


def test_nonsense_for_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(os.urandom(100) + b"\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        found = ask(f"http://127.0.0.1:{listening.getsockname()[1]}", {}, "", 2.0)
        thread.join()
    assert not found.good
    assert found.error


def test_a_missing_certificate_file_is_no_end() -> None:
    assert ask("https://127.0.0.1:1", {}, "/nowhere/ca.pem", 1.0).error


def test_indexes_as_pip_knows_them() -> None:
    told = "\n".join(
        [
            ":env:.index-url='https://ann:pw@mirror/simple/'",
            "global.index-url='https://other/simple'",
            "install.extra-index-url='https://a/simple\\nfile:///srv/wheels'",
            'global.find-links="/srv/it\'s"',
            "list.index-url='https://not-this'",
            "global.cert='/etc/ca.pem'",
            "not a setting",
            "global.timeout=broken",
        ]
    )
    found = pip_settings(Outcome(0, told, ""))
    assert found.indexes == ("https://ann:pw@mirror/simple", "https://a/simple", "file:///srv/wheels")
    assert (found.links, found.certificates) == (("/srv/it's",), "/etc/ca.pem")
    assert pip_settings(Outcome(1, "", "boom")).indexes == (default_index(),)
    assert pip_settings(Outcome(0, "global.no-index='true'", "")).indexes == ()
