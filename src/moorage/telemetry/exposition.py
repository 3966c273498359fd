"""One exposition out of several processes': counters and histograms summed, gauges told apart by process."""

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
    """A scrape as metric name → value, labels summed. What an engine adapter's `observe` takes."""
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
    return values


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
