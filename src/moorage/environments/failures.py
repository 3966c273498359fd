"""Why pip failed, in words that say what to do."""

import re
from collections.abc import Callable
from dataclasses import dataclass

LATEST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What pip was asked for."""

    requirements: tuple[str, ...]
    python: str
    """`3.11`."""
    machine: str
    """`x86_64`."""
    wheels: str = ""
    """The folder that was all there was; empty for the machine's indexes."""
    elsewhere: str = ""
    """Where builds are that few indexes carry."""
    place: str = ""
    """Where the environment lies."""


_Found = Callable[[re.Match[str], Attempt], str]


def explain(said: str, attempt: Attempt) -> str:
    """A sentence with the cause and the way out, from the last lines pip printed."""
    for pattern, words in _CAUSES:
        if found := pattern.search(said):
            return words(found, attempt)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip failed: {errors[0] if errors else lines[-1] if lines else 'it says nothing'}"


def _disk_full(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"disk full: no room is left at {attempt.place}; free some space or point MOORAGE_CACHE_DIR at a larger disk. "
        "pip's own downloads may be in the way, too: `python -m pip cache purge`"
    )


def _hash(found: re.Match[str], attempt: Attempt) -> str:
    name = found[1]
    return (
        f"{name} is another file than its index says (the checksum differs): it was damaged on its way or replaced. "
        "Try again after `python -m pip cache purge`; if it stays so, the index or a proxy hands out a wrong file"
    )


def _unreachable(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"the package index cannot be reached: {found[1]}. Check the network and HTTPS_PROXY; an index of your own "
        f"goes into --index-url or pip's settings. Without a network: {_folder(attempt)}"
    )


def _missing(found: re.Match[str], attempt: Attempt) -> str:
    wanted, source, versions = found[1], found[2] or "", found[3]
    by = f" (needed by {source})" if source else ""
    there = [] if versions.strip() in ("", "none") else [version.strip() for version in versions.split(",")]
    fits = f"Python {attempt.python} on {attempt.machine}"
    if attempt.wheels:
        here = f"it has {', '.join(there[-LATEST_SHOWN:])}" if there else "it has none of that name"
        return f"the folder {attempt.wheels} has no wheel of {wanted}{by} for {fits}: {here}. {_fill(attempt)}"
    if "+" in wanted and attempt.elsewhere:
        return f"no index asked has {wanted}{by} for {fits}. {attempt.elsewhere}"
    if not there:
        return f"no index has {wanted}{by} for {fits}; --extra-index-url names a further one, --python another Python"
    latest = ", ".join(reversed(there[-LATEST_SHOWN:]))
    return f"there is no {wanted}{by} for {fits}; the latest there are: {latest}"


def _conflict(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"its packages contradict each other ({found[1].strip().rstrip('.')}); take another version, or wheels that "
        "fit together by --from"
    )


def _python(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"it does not run with Python {attempt.python} ({found[1]}); name another by --python, such as "
        "--python /usr/bin/python3.12"
    )


def _compiler(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"{found[1]} has no wheel for Python {attempt.python} on {attempt.machine}, and building it from source "
        "failed; name another Python by --python, or another version"
    )


def _damaged(found: re.Match[str], attempt: Attempt) -> str:
    return f"{found[1]} is damaged: it is no whole wheel. Fetch it again"


def _login(found: re.Match[str], attempt: Attempt) -> str:
    return (
        f"the package index does not let this machine in ({found[1]}); put the login into ~/.netrc or the index's URL"
    )


def _certificate(found: re.Match[str], attempt: Attempt) -> str:
    return (
        "the package index shows a certificate this machine does not trust; name your authority's file in PIP_CERT "
        "(or `pip config set global.cert FILE`)"
    )


def _folder(attempt: Attempt) -> str:
    return f"fetch the wheels elsewhere, {_command(attempt)}, and install with --from FOLDER"


def _fill(attempt: Attempt) -> str:
    return f"To fill it, on a machine with a network: {_command(attempt).replace('FOLDER', attempt.wheels)}"


def _command(attempt: Attempt) -> str:
    return f"`python{attempt.python} -m pip download --dest FOLDER {' '.join(attempt.requirements)}`"


_VERSIONS = (
    r"Could not find a version that satisfies the requirement (\S+)(?: \(from ((?!versions:)[^)]*)\))? "
    r"\(from versions: ({})\)"
)
_CAUSES: tuple[tuple[re.Pattern[str], _Found], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\[Errno 28\]|No space left on device|\[Errno 122\]|Disk quota exceeded", _disk_full),
        (r"PACKAGES DO NOT MATCH THE HASHES[\s\S]*?\n\s*(\S+)(?: from|:)", _hash),
        (r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError", _certificate),
        (_VERSIONS.format(r"(?!none\))[^)]*"), _missing),
        (r"connection broken by ['\"](.*?)['\"]: /", _unreachable),
        (r"(40[137] (?:Client Error|Unauthorized|Forbidden)[^\n]*?)(?: for url|\n|$)", _login),
        (r"(?:requires a different Python: |Requires-Python )([^\n;]+)", _python),
        (_VERSIONS.format("[^)]*"), _missing),
        (r"Cannot install ([^\n]*?) because these package versions have conflicting", _conflict),
        (r"Wheel '\S+' located at (.+?) is invalid", _damaged),
        (r"(?:Failed building wheel for|Failed to build) '?([\w.-]+)", _compiler),
    )
)
