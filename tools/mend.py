"""Make pip forget packages of this environment whose files are not all there, so that it installs them again.

An install that was interrupted may leave a package that pip takes for complete.
"""

import csv
import shutil
import sysconfig
from pathlib import Path


def is_whole(folder: Path, name: str, size: str) -> bool:
    """Whether a recorded file is there in its recorded size; outside of site-packages users may edit."""
    if name.endswith(".pyc") or name.startswith(".."):
        return True
    path = folder / name
    return path.is_file() and size in ("", str(path.stat().st_size))


def main() -> None:
    for folder in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}:
        for info in folder.glob("*.dist-info"):
            record = info / "RECORD"  # importlib.metadata leaves out what is missing, from Python 3.12 on
            rows = list(csv.reader(record.open(encoding="utf-8", newline=""))) if record.is_file() else []
            if not rows or not all(is_whole(folder, name, size) for name, _, size in rows):
                print(f"{info.name.removesuffix('.dist-info')} is incomplete and will be installed again.")
                shutil.rmtree(info)


if __name__ == "__main__":
    main()
