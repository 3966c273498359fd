import asyncio
import json
import os
import tempfile
from pathlib import Path

import pytest

from moorage.config.model import EngineOptions, ModelSpec
from moorage.core.facts import ModelFacts
from moorage.core.ports import Engine, LaunchOrder
from moorage.http.client import Client
from moorage.testing.adapter import engine
from moorage.wire.control import Machine

MACHINE = Machine(hostname="here", cores=2, memory_bytes=1 << 30)
FACTS = ModelFacts(path="/any", format="gguf", task="generate", architecture="any", size_bytes=1)


def order(folder: str, **extra: str | int | float | bool | list[str | int | float]) -> LaunchOrder:
    model = ModelSpec(name="boat", source="/any", options=EngineOptions(max_sequences=2, extra_args=extra))
    socket = str(Path(folder) / "s")
    return LaunchOrder(replica="boat-0", model=model, facts=FACTS, machine=MACHINE, socket=socket, token="secret")


async def test_what_it_plans_runs_and_answers() -> None:
    adapter: Engine = engine
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        launch = adapter.launch(order(folder, tokens_per_s=500, reply_tokens=3, strict_model=True))
        assert "secret" not in " ".join(launch.argv)
        process = await asyncio.create_subprocess_exec(
            *launch.argv, env={**os.environ, **launch.env}, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            assert (await process.stdout.readline()).decode().strip() == launch.address
            async with Client() as client:
                probe = adapter.probe(launch)
                async with client.call(launch.address, probe.method, probe.path, body=probe.body) as reply:
                    assert reply.status == 200
                ask = json.dumps({"model": launch.served_name, "messages": [{"role": "user", "content": "hi"}]})
                path = "/v1/chat/completions"
                async with client.call(launch.address, "POST", path, body=ask.encode(), token=launch.token) as reply:
                    assert json.loads(await reply.read())["model"] == "fake/boat"
        finally:
            process.terminate()
            await process.wait()


def test_it_reads_its_own_metrics() -> None:
    load = engine.observe({"vllm:num_requests_running": 2, "vllm:generation_tokens_total": 5})
    assert (load.running, load.queued, load.progress) == (2, None, None)


@pytest.mark.parametrize("options", [{"sink": True}, {"fail": "cannot load it"}])
async def test_it_names_the_cause_of_a_failed_start(options: dict[str, str | bool]) -> None:
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        launch = engine.launch(order(folder, **options))
        process = await asyncio.create_subprocess_exec(*launch.argv, stderr=asyncio.subprocess.PIPE)
        _, errors = await process.communicate()
    diagnosis = engine.diagnose(errors.decode())
    assert process.returncode
    assert diagnosis is not None
    assert "options.extra_args" in diagnosis.fix
