"""What an option's declaration may say of it besides its type."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Restart:
    """Marks an option that is read once, at start: a reload that changes it is refused."""


@dataclass(frozen=True)
class SecondSpelling:
    """Marks an option that is another name for one of the same section's parent."""

    of: str
