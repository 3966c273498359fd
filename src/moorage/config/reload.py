"""What a new configuration changes of the one in use, and whether it may take its place while the server runs.

A new configuration is taken whole or not at all: when it touches one option that is read only at start, nothing of it
is used, and the answer names those options. Everything else takes effect for the calls that begin afterwards.
"""

from dataclasses import dataclass
from typing import Any

from moorage.config.model import ModelSpec
from moorage.config.options import options
from moorage.config.tree import Config, access_problem, listeners


@dataclass(frozen=True)
class Reload:
    """The difference between two configurations."""

    added: tuple[ModelSpec, ...] = ()
    removed: tuple[ModelSpec, ...] = ()
    changed: tuple[ModelSpec, ...] = ()
    """Models of an old name, as they should now be."""
    settings: tuple[str, ...] = ()
    """Options outside models that change and can while the server runs."""
    needs_restart: tuple[str, ...] = ()
    """Options that change and are read only at start."""
    access: str | None = None
    """Why the new configuration would open the server to strangers."""

    @property
    def empty(self) -> bool:
        return self == Reload()

    @property
    def refusal(self) -> str | None:
        """Why nothing of the new configuration is used, and what to do about it; None when it may be."""
        if self.needs_restart:
            names = ", ".join(self.needs_restart)
            return f"{names} cannot change while the server runs: leave it as it was, or restart the server"
        return self.access


def compare(old: Config, new: Config) -> Reload:
    """What makes `new` of `old`. The order of models is no difference."""
    before = {model.name: model for model in old.models.local}
    after = {model.name: model for model in new.models.local}
    settings: list[str] = []
    needs_restart: list[str] = []
    for option in options(Config):
        single = option.section is None or option.path == ("auth", "keys")
        if not single or "*" in option.path or option.path[0] == "models":
            continue
        if _value(old, option.path) != _value(new, option.path):
            (needs_restart if option.restart else settings).append(option.name)
    needs_restart += _moved_ports(old, new)
    return Reload(
        added=tuple(model for name, model in after.items() if name not in before),
        removed=tuple(model for name, model in before.items() if name not in after),
        changed=tuple(model for name, model in after.items() if name in before and before[name] != model),
        settings=tuple(settings),
        needs_restart=tuple(needs_restart),
        access=access_problem(new),
    )


def _moved_ports(old: Config, new: Config) -> list[str]:
    """The ports of single models that come, go or move: sockets are bound once, at start."""
    before, after = ({one.model: one for one in listeners(config) if one.model} for config in (old, new))
    places = {name: (one.host, one.port) for name, one in after.items()}
    moved = [name for name, one in before.items() if places.get(name) != (one.host, one.port)]
    moved += [name for name in after if name not in before]
    return [f"the port of model {name!r}" for name in moved]


def _value(config: Config, path: tuple[str, ...]) -> Any:
    value: Any = config
    for part in path:
        value = getattr(value, part)
    return value
