from pathlib import Path

import pytest

from moorage.environments.store import Half
from moorage.serve.doctor.findings import Level
from moorage.serve.doctor.programs import absent, present, unfinished
from moorage.wire.control import Installation


def found(engine: str, version: str, *, managed: bool = False, silent: bool = False) -> Installation:
    flags = None if silent else ("--port",)
    return Installation(engine=engine, version=version, command=(f"/bin/{engine}",), flags=flags, managed=managed)


@pytest.mark.parametrize(
    ("one", "level", "what", "detail"),
    [
        (found("vllm", "0.32.0", managed=True), "ok", "vllm 0.32.0", "/bin/vllm; proven in our tests"),
        (found("vllm", "0.9"), "ok", "vllm 0.9", "/bin/vllm, found on PATH; proven in our tests as 0.32.0"),
        (
            found("no-such-engine", "1.0"),
            "ok",
            "no-such-engine 1.0",
            "/bin/no-such-engine, found on PATH; unproven: it never ran in our tests",
        ),
        (
            found("vllm", "", silent=True),
            "note",
            "vllm of unknown version",
            "it did not tell its flags: they are passed unchecked",
        ),
    ],
)
def test_one_that_is_here(one: Installation, level: Level, what: str, detail: str) -> None:
    finding = present(one)
    assert (finding.level, finding.what) == (level, what)
    assert detail in finding.detail


def test_one_that_does_not_work() -> None:
    finding = unfinished(Half("vllm", "0.32.0", Path("/cache/engines/vllm/0.32.0")))
    assert (finding.level, finding.what) == ("warning", "vllm 0.32.0 does not work")
    assert finding.fix.startswith("moorage engine install vllm==0.32.0 ")


def test_all_others_in_one_line() -> None:
    (processor,) = absent(set(), cuda=False)
    assert processor.what.startswith("not installed: vllm, transformers, ")
    assert processor.what.endswith("llama-server")
    assert processor.fix == "moorage engine install vllm"
    (fewer,) = absent({"vllm", "transformers"}, cuda=False)
    assert "vllm" not in fewer.what
    assert fewer.facts["missing"]
