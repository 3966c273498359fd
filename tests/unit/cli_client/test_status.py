from typing import Any

from moorage.cli.endpoint import Endpoint
from moorage.cli.status import headline, load, machinery, reason, rows
from moorage.core.text import age, harmless, human

NOW = 1_000_000.0


def target(**fields: Any) -> dict[str, Any]:
    return {"id": "boat-0", "state": "ready", "reason": "answers", "since": NOW - 90, "engine": "llama.cpp"} | fields


def test_a_row_for_each_replica_and_for_a_model_without() -> None:
    seen: dict[str, Any] = {
        "models": [
            {"id": "boat", "task": "generate", "state": "ready", "targets": [target(), target(id="boat-1")]},
            {"id": "idle", "task": None, "state": "stopped", "targets": []},
        ]
    }
    found = rows(seen, NOW)
    assert [row[2] for row in found] == ["boat-0", "boat-1", ""]
    assert found[0] == ("boat", "generate", "boat-0", "ready", "2m", "llama.cpp", "", "answers")
    assert found[2][3] == "stopped"


def test_unknown_load_is_left_out_and_zero_is_not() -> None:
    assert load(target(load={"running": None, "queued": None, "kv_used": None})) == ""
    assert load(target(capacity=4, load={"running": 0, "queued": 0, "kv_used": 0.0})) == "0/4 running, KV 0%"
    assert load(target(capacity=4, load={"running": 4, "queued": 2, "kv_used": 0.5})) == "4/4 running, 2 queued, KV 50%"


def test_a_reason_says_how_far_and_what_comes_next() -> None:
    loading = target(reason="fetching", progress={"what": "download", "done": 50 << 20, "total": 100 << 20})
    assert reason(loading, NOW) == "fetching; download 50% of 100.0 MB"
    assert reason(target(reason="", progress={"what": "load", "done": 2048, "total": None}), NOW) == "load 2.0 KB"
    failed = target(reason="out of memory", restarts=3, retry_at=NOW + 80)
    assert reason(failed, NOW) == "out of memory; 3 restarts; next start in 1m"


def test_headline_and_machinery() -> None:
    where = Endpoint("http://here:1")
    assert headline({"version": "0.1.0", "uptime_s": 7300}, where) == "Moorage 0.1.0 at http://here:1, up 2h"
    assert headline({}, where) == "Moorage at http://here:1"
    worker = {"id": "w", "state": "ready", "cores": 2, "memory_bytes": 8 << 30, "seen_s": 0.4}
    gateways = [{"process": 0, "pid": 7}, {"process": 1, "pid": 8, "requests_in_flight": 3}]
    assert machinery({"workers": [worker], "gateways": gateways}) == [
        "worker w: ready, 2 cores, 8.0 GB, heard 0s ago",
        "gateway 0: process 7",
        "gateway 1: process 8, 3 calls",
    ]


def test_numbers_as_people_read_them() -> None:
    assert [age(value) for value in (-1, 0, 59, 61, 7200, 200_000)] == ["0s", "0s", "59s", "1m", "2h", "2d"]
    assert [human(value) for value in (10, 2048, 5 << 20, 3 << 30)] == ["10 bytes", "2.0 KB", "5.0 MB", "3.0 GB"]


def test_control_characters_are_taken_out() -> None:
    assert harmless("a\x1b[31mb\x9b2Jc\x07\n\tü世") == "a[31mb2Jc\n\tü世"


def test_a_port_of_a_models_own_is_told() -> None:
    seen: dict[str, Any] = {"models": [{"id": "boat", "url": "http://h:8001", "targets": []}, {"id": "idle"}]}
    assert machinery(seen) == ["model boat: also at http://h:8001"]
