"""One exposition out of several processes': counters and histograms summed, gauges told apart by process."""

import math
from collections.abc import Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

TEXT = "text/plain; version=0.0.4; charset=utf-8"

_SUMMED = ("counter", "histogram", "summary")


def merge(texts: Mapping[str, str]) -> str:
    """Join expositions, keyed by the process they came from."""
    families: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for process, text in texts.items():
        for family in text_string_to_metric_families(text):
            if family.name.endswith("_created"):
                continue
            families.setdefault(family.name, family)
            samples = sums.setdefault(family.name, {})
            for sample in family.samples:
                labels = dict(sample.labels)
                if family.type not in _SUMMED:
                    labels["process"] = process
                key = (sample.name, tuple(labels.items()))
                samples[key] = samples.get(key, 0.0) + sample.value
    return "".join(_family(family, sums[name]) for name, family in families.items())


def read(text: str) -> dict[str, float]:
    """An engine's exposition as metric name → value, labels summed: what its adapter's `observe` takes.

    Histogram buckets, and lines that are no sample of a finite number, are left out: engines write what they like.
    """
    sums: dict[str, float] = {}
    for row in text.splitlines():
        if not row or row[0] == "#":
            continue
        labelled, brace, rest = row.rpartition("}")
        name = labelled.partition("{")[0] if brace else row.partition(" ")[0]
        words = rest.split() if brace else row.split()[1:]
        if not words or name.endswith("_bucket"):
            continue
        try:
            value = float(words[0])
        except ValueError:
            continue
        if math.isfinite(value):
            sums[name.strip()] = sums.get(name.strip(), 0.0) + value
    return sums


def line(name: str, labels: Mapping[str, str], value: float) -> str:
    """One sample."""
    return _sample(name, tuple(labels.items()), value)


def head(name: str, kind: str, documentation: str) -> str:
    return f"# HELP {name} {documentation}\n# TYPE {name} {kind}\n"


def _family(family: Metric, samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    lines = [_sample(sample, labels, value) for (sample, labels), value in samples.items()]
    return head(name, family.type, family.documentation) + "".join(lines)


def _sample(name: str, labels: tuple[tuple[str, str], ...], value: float) -> str:
    inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value!r}\n" if inside else f"{name} {value!r}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
