"""Take the README's picture of a terminal: the real commands, run in tmux, drawn as SVG.

    python scripts/picture.py docs/images/terminal.svg

Needs tmux. The model should be in the cache already, so that the picture shows a second start.
"""

import shlex
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 104, 30
PORT = 8000


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as state:
        terminal = Tmux(f"env MOORAGE_STATE_DIR={shlex.quote(state)} PS1='$ ' bash --norc")
        try:
            terminal.type("make -s serve EXTRAS=speech")
            terminal.wait_for("Ctrl-C stops the server")
            serving = terminal.screen()
            other = Tmux("env PS1='$ ' bash --norc")
            try:
                other.type("export PATH=$PWD/.venv/bin:$PATH; clear")
                other.type("moorage chat -p 'What is a harbour for?' --max-tokens 60 --seed 3")
                other.wait_for("\n$", after="--seed 3")
                chatting = other.screen()
            finally:
                other.close()
        finally:
            terminal.press("C-c")
            time.sleep(2)
            terminal.close()
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text.from_ansi(serving.rstrip()))
    console.rule(style="dim")
    console.print(Text.from_ansi(chatting.rstrip().removesuffix("$").rstrip()))
    target.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(target), title="moorage")


class Tmux:
    """One terminal of fixed size."""

    def __init__(self, command: str) -> None:
        self._name = f"picture-{time.monotonic_ns()}"
        self._run("new-session", "-d", "-s", self._name, "-x", str(COLUMNS), "-y", str(LINES), command)

    def type(self, text: str) -> None:
        time.sleep(0.5)
        self._run("send-keys", "-t", self._name, "-l", text)
        self.press("Enter")

    def press(self, key: str) -> None:
        self._run("send-keys", "-t", self._name, key)

    def screen(self, *, colors: bool = True) -> str:
        return self._run("capture-pane", "-t", self._name, "-p", *(["-e"] if colors else []))

    def wait_for(self, text: str, *, after: str = "", timeout_s: float = 120) -> None:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if text in self.screen(colors=False).rpartition(after)[2] if after else text in self.screen(colors=False):
                return
            time.sleep(0.2)
        raise SystemExit(f"the terminal never showed {text!r}:\n{self.screen(colors=False)}")

    def close(self) -> None:
        subprocess.run(["tmux", "kill-session", "-t", self._name], check=False)

    @staticmethod
    def _run(*args: str) -> str:
        return subprocess.run(["tmux", *args], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
