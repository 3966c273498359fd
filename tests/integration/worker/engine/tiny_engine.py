"""A tiny engine that misbehaves on demand. `tiny_engine.py SOCKET OPTIONS-AS-JSON`; standard library only, threads.

Options: start_s (seconds until /health says 200), fail (print so many lines and exit 1), stubborn (ignore SIGTERM),
grandchild (fork a process that leaves the session), chatty (lines at start), busy (running calls in /metrics),
probe (status of the chat route).
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler

OPTIONS = json.loads(sys.argv[2])
STARTED = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200 if time.monotonic() - STARTED >= OPTIONS.get("start_s", 0) else 503, {"status": "ok"})
        elif self.headers.get("authorization") != f"Bearer {os.environ['TINY_TOKEN']}":
            self.answer(401, {"error": "token"})
        elif self.path == "/metrics":
            text = f'tiny_running {OPTIONS.get("busy", 0)}\ntiny_queued 0\ntiny_steps{{a="b"}} 7\n'
            self.answer(200, text)
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/adapters":
            print(f"adapters: {sorted(body.items())}", flush=True)
            self.answer(500 if body.get("load") == "refused" else 200, "no such thing")
            return
        words = body["messages"][-1]["content"]
        if words == "print":
            print("printed " * 1000, file=sys.stderr, flush=True)
        if words == "exit":
            os._exit(3)
        self.answer(OPTIONS.get("probe", 200), {"choices": [{"message": {"content": words}}]})

    def answer(self, status: int, content: object) -> None:
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    if lines := OPTIONS.get("fail"):
        for number in range(lines):
            print(f"error line {number}", file=sys.stderr)
        print("out of tiny memory", file=sys.stderr)
        sys.exit(1)
    for number in range(OPTIONS.get("chatty", 0)):
        print(f"chatty line {number} " + "x" * 80, flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if OPTIONS.get("stubborn") else signal.SIG_DFL)
    if OPTIONS.get("grandchild"):
        subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(1000)"])
    print("tiny engine listens", flush=True)
    Server(sys.argv[1], Handler).serve_forever()


main()
