"""All models of a configuration on one machine: whether they fit together, and the settings with which they do.

What is looked at are estimates: a model alone that does not fit is its engine's to refuse, with its own words.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from moorage.config.load import Loaded
from moorage.config.model import ModelSpec
from moorage.core.facts import ModelFacts
from moorage.environments.bounded import together
from moorage.errors import MoorageError
from moorage.models.files import facts as read_facts
from moorage.serve.equipment import equipped
from moorage.serve.fit.change import Change, Known, changed
from moorage.serve.fit.devices import of_devices
from moorage.serve.fit.processor import of_processor
from moorage.serve.sizing import size
from moorage.serve.whereabouts import NotHere, located, stored
from moorage.wire.control import Machine

PATIENCE_S = 3.0
"""For the headers of all files, and for engines to tell their flags: a drive that is away must not keep a server from
starting."""


def settled(loaded: Loaded, *, fit: bool = False) -> Loaded:
    """The configuration as it fits on this machine. With `fit`, settings nobody made are lowered until it does.

    Raises ConfigError for models that do not fit together, with what each takes and what would fit.
    """
    config = loaded.config
    assert config.cache_dir is not None
    specs = [spec for spec in config.models.local if spec.replicas and spec.url is None]
    if not specs:
        return loaded
    known = seen(specs, loaded)
    here = equipped(config.cache_dir, os.environ, limit_s=PATIENCE_S, remember=False)
    changes, warnings = fitted(known, here, fit=fit)
    if not changes and not warnings:
        return loaded
    local = tuple(changed(spec, changes.get(spec.name)) for spec in config.models.local)
    return replace(
        loaded,
        config=config.model_copy(update={"models": config.models.model_copy(update={"local": local})}),
        warnings=(*loaded.warnings, *warnings),
        notices=(*loaded.notices, *(f"--fit: {change}" for change in changes.values())),
    )


def seen(specs: Sequence[ModelSpec], loaded: Loaded) -> list[Known]:
    """What the files say of each, as far as they are here and answer."""
    assert loaded.config.cache_dir is not None
    entries = stored(loaded.config.cache_dir)

    def look(spec: ModelSpec) -> ModelFacts | None:
        try:
            path = located(spec.source, entries, os.environ)
            return None if isinstance(path, NotHere) else read_facts(path)
        except (MoorageError, OSError):
            return None  # which its start will tell

    found = together([partial(look, spec) for spec in specs], PATIENCE_S)
    return [Known(spec=spec, facts=facts) for spec, facts in zip(specs, found, strict=True)]


def fitted(known: Sequence[Known], machine: Machine, *, fit: bool) -> tuple[dict[str, Change], list[str]]:
    """Changes by model, and warnings. Raises ConfigError."""
    shares = of_devices(known, machine, fit=fit)
    specs = {one.spec.name: changed(one.spec, shares.get(one.spec.name)) for one in known}
    sized = [size(specs[one.spec.name], one.facts, machine) for one in known if one.facts is not None]
    lowered, warnings = of_processor([each for each in sized if not each.problem], machine, fit=fit)
    merged = dict(shares)
    for name, change in lowered.items():
        before = merged.get(name, Change(model=name, options=dict[str, object]()))
        merged[name] = Change(model=name, options={**before.options, **change.options})
    return merged, warnings
