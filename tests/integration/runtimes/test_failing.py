"""A library that fails under way: its calls end with an error, and the process with it."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.integration.runtimes.runtime import TOKEN, Answer, UnixConnection, until

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from moorage.errors import EngineError, InternalError
from moorage.runtimes.host.app import App
from moorage.runtimes.host.process import run
from moorage.wire.runtime import RuntimeSettings

class Failing:
    plan = "to fail when it is called"
    def __init__(self, settings): self.settings = settings
    def load(self): pass
    def close(self): pass

    @asynccontextmanager
    async def serving(self):
        failure = asyncio.get_running_loop().create_future()
        async def scrape(): return ""
        async def call(body, send):
            failure.set_exception(EngineError("the library failed in a step: no more room"))
            raise InternalError("the engine failed")
        yield App(self.settings, max_model_len=1, scrape=scrape, posts={"/call": call}, failure=failure)

settings = RuntimeSettings(
    socket=sys.argv[1], token="a-token", model_path="/m", served_name="m", task="generate", threads=1, grace_s=60.0
)
sys.exit(run(settings, Failing))
"""


def test_its_calls_get_an_error_and_the_process_ends(short_tmp: Path) -> None:
    path = short_tmp / "engine.sock"
    argv = [sys.executable, "-c", PROGRAM, str(path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None

        def ask(method: str, route: str) -> Answer:
            with closing(UnixConnection(str(path))) as connection:
                connection.request(method, route, b"{}", {"Authorization": f"Bearer {TOKEN}"})
                return Answer(connection.getresponse())

        def answers() -> bool:
            try:
                return ask("GET", "/health").status == 200
            except OSError:
                return False

        until(answers, 30)
        answer = ask("POST", "/call")
        assert answer.status == 500
        assert answer.error["message"] == "the engine failed"
        assert process.wait(20) == 1
        assert "moorage: the library failed in a step: no more room" in process.stderr.read()
    assert not path.exists()
