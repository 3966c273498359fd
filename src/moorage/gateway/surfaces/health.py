"""Is it alive, is it ready, what is it: for probes, load balancers and people."""

from typing import Any

from moorage.gateway.table import Table


def health(table: Table, *, reasons: bool) -> dict[str, Any]:
    """`GET /health`: always 200 while the gateway lives; the body tells how its models fare.

    `reasons` may quote paths and an engine's log: they are for callers who may use the models.
    """
    models = {id: model_state(table, id) for id in sorted(table.snapshot.models)}
    if not reasons:
        for state in models.values():
            del state["reason"]
    healthy = all(state["state"] in ("ready", "stopped") for state in models.values())
    return {"status": "healthy" if healthy else "degraded", "models": models}


def ready(table: Table) -> tuple[int, dict[str, Any]]:
    """`GET /ready`: 200 once every model that should run has a ready replica. No models is ready too."""
    models = sorted(table.snapshot.models)
    waiting = [id for id in models if model_state(table, id)["state"] not in ("ready", "stopped")]
    known = table.snapshot.epoch != ""
    status = 200 if known and not waiting else 503
    body: dict[str, Any] = {"status": "ready" if status == 200 else "not ready", "models": models}
    if waiting:
        body["waiting_for"] = waiting
    return status, body


def model_state(table: Table, id: str) -> dict[str, Any]:
    """ready when any replica is, otherwise the state of the one furthest along, with its reason."""
    targets = table.targets.get(id, ())
    if not targets:
        return {"state": "stopped", "reason": "no replica is wanted", "ready": 0, "replicas": 0}
    order = ("ready", "draining", "starting", "downloading", "scheduled", "pending", "unreachable", "failed", "stopped")
    best = min(targets, key=lambda target: order.index(target.state))
    number_ready = sum(target.state == "ready" for target in targets)
    return {"state": best.state, "reason": best.reason, "ready": number_ready, "replicas": len(targets)}
