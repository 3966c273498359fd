"""What the table knows of replicas, as metrics: their states, and their engines' load in one vocabulary."""

from moorage.telemetry.exposition import head, line
from moorage.wire.table import Snapshot

REPLICA_GAUGES = {
    "moorage_replica_state": "1 for the state a replica is in.",
    "moorage_replica_ready": "1 for a replica that answers.",
    "moorage_replica_restarts": "Starts of a replica's engine after its first.",
    "moorage_replica_capacity": "Calls a replica works on at once.",
}
ENGINE_GAUGES = {
    "moorage_engine_running": "Calls an engine works on.",
    "moorage_engine_queued": "Calls that wait inside an engine.",
    "moorage_engine_kv_used_ratio": "Share of an engine's KV cache in use.",
    "moorage_engine_progress": "Monotonic while an engine works; its unit is the engine's.",
}


def exposition(table: Snapshot) -> str:
    """Prometheus text. What an engine does not tell is left out: unknown is not 0."""
    samples: dict[str, list[str]] = {name: [] for name in (*REPLICA_GAUGES, *ENGINE_GAUGES)}
    for target in table.targets.values():
        labels = {"model": target.model, "replica": target.id, "engine": target.engine}
        samples["moorage_replica_state"].append(line("moorage_replica_state", labels | {"state": target.state}, 1))
        for name, value in (
            ("moorage_replica_ready", float(target.state == "ready")),
            ("moorage_replica_restarts", target.restarts),
            ("moorage_replica_capacity", target.capacity),
        ):
            samples[name].append(line(name, labels, value))
        load = table.loads.get(target.id)
        for name, value in (
            ("moorage_engine_running", load and load.running),
            ("moorage_engine_queued", load and load.queued),
            ("moorage_engine_kv_used_ratio", load and load.kv_used),
            ("moorage_engine_progress", load and load.progress),
        ):
            if value is not None:
                samples[name].append(line(name, labels, value))
    documented = REPLICA_GAUGES | ENGINE_GAUGES
    return "".join(head(name, "gauge", documented[name]) + "".join(rows) for name, rows in samples.items() if rows)
