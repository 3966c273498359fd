"""What is changed of the packages once they are installed."""

import re
from pathlib import Path

from moorage.environments.asking import distributions, normal
from moorage.environments.manifest import Applied
from moorage.environments.pip import Pip
from moorage.environments.recipes import LeaveOut, Patch, Rename


async def apply(patch: Patch, pip: Pip, site_packages: Path) -> Applied | None:
    """What was done; None where there was nothing to do. Raises PipFailed or OSError."""
    there = distributions(site_packages)
    if isinstance(patch, LeaveOut):
        packages = [name for name in patch.packages if normal(name) in there]
        if packages:
            await pip.uninstall(packages)
        done = bool(packages)
    else:
        done = normal(patch.package) in there and normal(patch.under) not in there
        if done:
            rename(patch, site_packages)
    return Applied(what=patch.what, why=patch.why) if done else None


def rename(patch: Rename, site_packages: Path) -> None:
    """Metadata only: neither files nor entry points, which would be there twice."""
    original = next(
        folder
        for folder in site_packages.glob("*.dist-info")
        if normal(folder.name.partition("-")[0]) == normal(patch.package)
    )
    text = (original / "METADATA").read_text(encoding="utf-8")
    version = distributions(site_packages)[normal(patch.package)].partition("+")[0]
    local = f"{version}+{patch.local}"
    text = re.sub(r"^Name: .*$", f"Name: {patch.under}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^Version: .*$", f"Version: {local}", text, count=1, flags=re.MULTILINE)
    copy = site_packages / f"{re.sub(r'[-_.]+', '_', patch.under)}-{local}.dist-info"
    copy.mkdir()
    (copy / "METADATA").write_text(text, encoding="utf-8")
    (copy / "INSTALLER").write_text("moorage\n", encoding="utf-8")
