import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import UpstreamBroken
from moorage.http.client import Client
from moorage.serve.bench import Bench, Side, Workload
from moorage.testing import Call, FakeEngine

Start = Callable[..., str]
Piped = Callable[..., Any]
SHORT = ["-n", "4", "--rounds", "2", "--warmup", "1", "--output-tokens", "5"]


def prompts(calls: list[Call]) -> list[str]:
    return [call.json["messages"][0]["content"] for call in calls]


async def measured(engine: FakeEngine, workload: Workload) -> tuple[Bench, list[Call]]:
    """The bench, and its measured calls at the engine."""
    bench = Bench(workload, [Side(url=engine.address, model="fake")])
    async with Client() as client:
        await bench.run(client)
    return bench, engine.calls[2 + workload.warmup :]


@pytest.mark.parametrize("stream", [True, False])
async def test_it_sends_what_it_was_asked_for(stream: bool) -> None:
    async with FakeEngine(tokens_per_s=1000) as engine:
        workload = Workload(
            concurrency=3, requests=7, rounds=2, warmup=2, prompt_tokens=50, output_tokens=6, stream=stream
        )
        bench, calls = await measured(engine, workload)
        assert engine.record.running_max == 3
    assert bench.calls == 2 + 14
    assert len(calls) == 14
    samples = [sample for one in bench.rounds for sample in one.samples]
    assert {sample.prompt_tokens for sample in samples} == {50}
    assert {sample.output_tokens for sample in samples} == {6}
    assert all(sample.error is None for sample in samples)
    assert all((sample.first_s is not None) is stream for sample in samples)
    assert all(len(sample.gaps_s) == (5 if stream else 0) for sample in samples)
    assert len(set(prompts(calls))) == 14


async def test_times_are_those_of_the_server() -> None:
    async with FakeEngine(tokens_per_s=50, prompt_delay_s=0.1) as engine:
        bench, _ = await measured(engine, Workload(requests=2, rounds=1, warmup=0, output_tokens=6))
    for sample in bench.rounds[0].samples:
        assert sample.first_s == pytest.approx(0.12, abs=0.05)
        assert sample.per_token_s == pytest.approx(0.02, abs=0.01)
        assert sample.total_s == pytest.approx(0.22, abs=0.06)


async def test_a_shared_prefix_is_shared_and_only_it() -> None:
    async with FakeEngine() as engine:
        workload = Workload(requests=5, rounds=1, warmup=0, prompt_tokens=40, shared_prefix_tokens=30)
        bench, calls = await measured(engine, workload)
    sent = [prompt.split() for prompt in prompts(calls)]
    assert len({tuple(words[:30]) for words in sent}) == 1
    assert len({tuple(words[30:]) for words in sent}) == 5
    assert {len(words) for words in sent} == {40}
    assert bench.prompt_is_calibrated


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("undone", "a stream ended before it was complete"),
        ("error", "the stream ended in an error: broken on demand"),
        ("reset after=2", "broke off its reply"),
        ("json", "the server sent what is no answer"),
        ("status code=503", "503: broken on demand"),
    ],
)
async def test_calls_that_fail_are_errors_and_no_measurement(fault: str, words: str) -> None:
    kind, *options = fault.split()
    values = {key: int(value) for key, _, value in (option.partition("=") for option in options)}
    async with FakeEngine() as engine:
        bench = Bench(Workload(requests=3, rounds=1, warmup=0), [Side(url=engine.address, model="fake")])

        def break_it() -> None:
            engine.fault(kind, **values)

        async with Client() as client:
            await bench.run(client, break_it)
    first, *others = bench.rounds[0].samples
    assert first.error is None
    assert len(others) == 2
    assert all(words in (sample.error or "") for sample in others)


async def test_a_server_that_fails_every_warm_up_call_is_named() -> None:
    async with FakeEngine() as good, FakeEngine() as bad:
        bad.fault("reset")
        sides = [Side(url=good.address, model="fake"), Side(url=bad.address, model="fake")]
        async with Client() as client:
            with pytest.raises(UpstreamBroken, match="failed every warm-up call"):
                await Bench(Workload(requests=1, rounds=1), sides).run(client)


async def test_two_servers_alternate() -> None:
    async with FakeEngine() as a, FakeEngine() as b:
        bench = Bench(
            Workload(requests=2, rounds=3, warmup=0),
            [Side(url=a.address, model="fake"), Side(url=b.address, model="fake")],
        )
        async with Client() as client:
            await bench.run(client)
        assert not set(prompts(a.calls[2:])) & set(prompts(b.calls))
    assert [(one.side, one.number) for one in bench.rounds] == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2), (1, 2)]


def test_the_report(engine_at: Start, piped: Piped, tmp_path: Path) -> None:
    a, b = (engine_at("--model", model, "--tokens-per-s", "200") for model in ("boat", "ship"))
    file = tmp_path / "bench.json"
    done = piped("bench", "--url", a, "--url", b, *SHORT, "--rounds", "6", "--json", str(file))
    assert done.returncode == 0
    assert f"A  {a}  boat" in done.stdout
    assert f"B  {b}  ship" in done.stdout
    assert "24 calls, 1 at once, streamed; prompt 128 tokens (asked for 128), reply 5 tokens" in done.stdout
    assert "B against A, round by round" in done.stdout
    assert len(json.loads(file.read_text())["calls"]) == 48


def test_json_alone_on_stdout(engine_at: Start, piped: Piped) -> None:
    done = piped("bench", "--url", engine_at(), *SHORT, "--no-stream", "--json", "-")
    rows = {row["name"]: row for row in json.loads(done.stdout)["sides"][0]["rows"]}
    assert rows["time to first token"]["p50"] is None
    assert rows["whole call"]["p50"] > 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--url", "http://127.0.0.1:1"], 1, "start a server with `moorage serve`, or name one by --url"),
        (["--url", "a", "--url", "b", "--url", "c"], 2, "at most two servers"),
        (["--api-key", "a", "--api-key", "b"], 2, "more keys than servers"),
        (["--model", "a", "--model", "b"], 2, "more models than servers"),
        (["-c", "0"], 2, "0 is not in the range"),
    ],
)
def test_what_cannot_be_measured(piped: Piped, options: list[str], code: int, words: str) -> None:
    done = piped("bench", *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr


def test_ctrl_c_reports_what_there_is(engine_at: Start, terminal: Callable[..., Any]) -> None:
    screen = terminal("bench", "--url", engine_at("--tokens-per-s", "50"), *SHORT, "-n", "100", "--rounds", "1")
    screen.expect(r" [3-9]/101")
    screen.interrupt()
    screen.expect(r"\d+ calls, 1 at once.*whole call.*interrupted: the last round is in the percentiles")
    assert screen.ends() == 130
