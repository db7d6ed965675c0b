"""Make pip forget packages of this environment whose files are not all there, so that it installs them again.

An install that was interrupted may leave a package that pip takes for complete.
"""

import shutil
import sysconfig
from importlib.metadata import PackagePath, PathDistribution
from pathlib import Path


def is_whole(file: PackagePath) -> bool:
    """Whether a recorded file is there in its recorded size; outside of site-packages users may edit."""
    if file.suffix == ".pyc" or file.parts[0] == "..":
        return True
    path = Path(file.locate())
    return path.is_file() and file.size in (None, path.stat().st_size)


def main() -> None:
    site_packages = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    for folder in site_packages:
        for info in folder.glob("*.dist-info"):
            files = PathDistribution(info).files
            if not files or not all(map(is_whole, files)):
                print(f"{info.name.removesuffix('.dist-info')} is incomplete and will be installed again.")
                shutil.rmtree(info)


if __name__ == "__main__":
    main()
