"""Which version of an engine a model would run on."""

from importlib import metadata

from moorage.engines.choose import installed
from moorage.engines.libraries import LIBRARIES
from moorage.wire.control import Machine


def version_of(engine: str, machine: Machine) -> str:
    """Of the installed program, else of the embedded library; empty where it is neither. Blocks."""
    if (program := installed(machine, engine)) is not None:
        return program.version
    library = LIBRARIES.get(engine)
    if library is None:
        return ""
    try:
        return metadata.version(library.package)
    except metadata.PackageNotFoundError:
        return ""
