import json

import pytest

from moorage.environments.bounded import Outcome
from moorage.serve.doctor.containers import compose, engine
from moorage.serve.doctor.findings import Level

NEW = {"Client": {"Version": "28.2.2"}, "Server": {"Version": "26.1.5+dfsg1"}}
OLD = {"Client": {"Version": "19.03.15"}, "Server": {"Version": "19.03.15"}}
ALONE = {"Client": {"Version": "28.2.2"}, "Server": None}
AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
FORBIDDEN = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("outcome", "level", "what", "words"),
    [
        (Outcome(0, json.dumps(NEW), ""), "ok", "Docker 26.1.5+dfsg1", ""),
        (Outcome(0, json.dumps(OLD), ""), "warning", "Docker 19.03.15", "older than 20.10, which is wanted"),
        (Outcome(1, json.dumps(ALONE), AWAY), "note", "Docker 28.2.2, daemon away", "not running"),
        (Outcome(1, json.dumps(ALONE), FORBIDDEN), "note", "Docker 28.2.2, daemon away", "may not use its socket"),
        (Outcome(None, "", ""), "warning", "Docker does not answer", "says nothing"),
        (Outcome(0, "[1, 2]", ""), "note", "Docker fails", "[1, 2]"),
        (Outcome(0, '{"Client": 3, "Server": {"Version": 4}}', ""), "note", "Docker fails", ""),
        (Outcome(127, "", "cannot run docker: Exec format error"), "note", "Docker fails", "Exec format error"),
    ],
)
def test_docker(outcome: Outcome, level: Level, what: str, words: str) -> None:
    finding = engine(outcome)
    assert (finding.level, finding.what) == (level, what)
    assert words in finding.detail
    assert bool(finding.fix) is (level != "ok")


@pytest.mark.parametrize(
    ("plugin", "old", "level", "what"),
    [
        (Outcome(0, "Docker Compose version v2.29.1\n", ""), None, "ok", "Compose 2.29.1"),
        (Outcome(0, "Docker Compose version 2.26.1-4", ""), None, "ok", "Compose 2.26.1"),
        (Outcome(1, "", "docker: 'compose' is not a docker command."), None, "note", "no Docker Compose 2"),
        (Outcome(1, "", "no"), Outcome(0, "1.29.2\n", ""), "note", "no Docker Compose 2"),
        (Outcome(1, "", "no"), Outcome(0, "2.20.0\n", ""), "ok", "Compose 2.20.0"),
        (Outcome(None, "", ""), None, "note", "no Docker Compose 2"),
    ],
)
def test_compose(plugin: Outcome, old: Outcome | None, level: Level, what: str) -> None:
    finding = compose(plugin, old)
    assert (finding.level, finding.what) == (level, what)
