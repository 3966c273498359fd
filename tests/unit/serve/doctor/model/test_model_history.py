import time
from pathlib import Path

from moorage.config.model import EngineOptions, ModelSpec
from moorage.core.remedies import Remedy
from moorage.core.replica import fingerprint
from moorage.serve.doctor.findings import worst
from moorage.serve.doctor.model.history import examine, remembered, states
from moorage.serve.state import State
from moorage.worker.remedies import Failed, Remedies, case

SPEC = ModelSpec(name="chat", source="/models/chat.gguf")
OTHER = SPEC.model_copy(update={"options": EngineOptions(max_sequences=1)})
LESS = Remedy(options={"max_model_len": 4096}, instead={"max_model_len": 8192}, cause="it does not fit")


def mark(spec: ModelSpec) -> str:
    return fingerprint(spec.model_dump(mode="json"))


def server(root: Path) -> State:
    state = State(root, "8000")
    state.take()
    state.release()
    return state


def fail(state: State, spec: ModelSpec) -> None:
    failed = Failed(
        model=spec.name,
        fingerprint=mark(spec),
        generation=3,
        reason="start failed: x: no room. Less.\nlast lines",
        at=time.time() - 120,
        cause="no room",
        fix="less of it",
        signature="x.room",
        source="https://example.org/1",
    )
    Remedies(state.run).note_failure("chat-0", failed)


def keep(state: State, spec: ModelSpec) -> None:
    about = case(model=spec.name, fingerprint=mark(spec), files=(), engine="e", version="1", devices=[])
    Remedies(state.run).keep(about, spec.name, "e", (LESS,))


def test_nothing_is_remembered_where_no_server_ever_ran(short_tmp: Path) -> None:
    known = states(short_tmp / "none", 8000)
    (finding,) = examine(SPEC, known, ready=False)
    assert (finding.id, finding.level) == ("start.failed", "ok")
    assert remembered(SPEC, known) == ()
    assert not (short_tmp / "none").exists()


def test_a_failure_with_the_settings_of_now_is_a_problem_with_cause_link_and_fix(short_tmp: Path) -> None:
    state = server(short_tmp)
    fail(state, SPEC)
    (state.logs / "chat-0.log").write_text("=== generation 3 now: x\na line\nno room at all\n")
    failure, log = examine(SPEC, states(short_tmp, 8000), ready=False)
    assert (failure.level, failure.what) == ("problem", "chat-0 failed 2m ago")
    assert failure.detail == "no room (x.room, https://example.org/1)"
    assert failure.fix == "less of it"
    assert log.detail == "no room at all"
    assert log.facts["lines"] == ["a line", "no room at all"]


def test_a_failure_of_other_settings_or_of_the_past_is_none(short_tmp: Path) -> None:
    state = server(short_tmp)
    fail(state, OTHER)
    assert worst(examine(SPEC, [state], ready=False)) == "note"
    fail(state, SPEC)
    assert worst(examine(SPEC, [state], ready=True)) == "note"


def test_of_a_server_on_any_port_the_latest_folder_counts(short_tmp: Path) -> None:
    fail(server(short_tmp), SPEC)
    assert [state.dir.name for state in states(short_tmp, 0)] == ["serve-8000"]
    assert worst(examine(SPEC, states(short_tmp, 0), ready=False)) == "problem"
    assert worst(examine(SPEC, states(short_tmp, 9), ready=False)) == "ok"


def test_what_the_next_start_begins_with(short_tmp: Path) -> None:
    state = server(short_tmp)
    keep(state, SPEC)
    assert remembered(SPEC, [state]) == (LESS,)
    kept, _ = examine(SPEC, [state], ready=False)
    assert (kept.id, kept.what) == ("remedy.kept", "the next start begins with it")
    assert kept.detail == "options.max_model_len 4096 instead of 8192: it does not fit"
    assert remembered(OTHER, [state]) == ()
    kept, _ = examine(OTHER, [state], ready=False)
    assert kept.detail.endswith("; forgotten at the next start")
