"""Where a policy may read: below the folder that a site gives with `--data`, and nowhere else.

The policy's author chooses a path, the site owns the disk. So the text of a path is checked when
the policy is read, the same on every system, and the file that it leads to when it is opened.

Source of the reserved names: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from fednode.data.errors import DataMissing, PathRefused

SITE: Final = "{site}"
HERE: Final = "."
MOST_PATH: Final = 4096
MOST_NAME: Final = 255
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def path_fault(text: str) -> str | None:
    """Say why a policy's path could lead out of a site's folder; None if it cannot."""
    if not 0 < len(text) <= MOST_PATH:
        return f"must have 1 to {MOST_PATH} characters"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in text):
        return "must not contain control characters"
    if "\\" in text or ":" in text:
        return "must not contain '\\' or ':'; write folders with '/'"
    if text.startswith("/"):
        return "must be relative: it starts in the folder that each site gives with --data"
    if text == HERE:
        return None
    return next((fault for part in text.split("/") if (fault := _part_fault(part))), None)


def _part_fault(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "must not contain empty parts, '.' or '..': it stays inside --data"
    if part.startswith("~"):
        return "must not start a part with '~': no home folder is looked up"
    if part != part.strip() or part.endswith("."):
        return "must not start or end a part with a blank, or end it with a dot"
    if _DEVICE.fullmatch(part.split(".")[0].rstrip()):
        return "must not name a device, such as nul or com1"
    if len(part.encode()) > MOST_NAME:
        return f"must not have a part of more than {MOST_NAME} bytes"
    return None


def resolve(base: Path, text: str, site: str = "") -> Path:
    """Give the file or folder that a policy's path leads to for a site, below `base`.

    A `base` that is a file is the site's own choice, and stands for whatever the policy names.
    Raise PathRefused if the path leaves `base`, also by a symbolic link.
    """
    if base.is_file():
        return base
    named = text.replace(SITE, site)
    fault = path_fault(named)
    if fault is not None:
        raise PathRefused(named, fault)
    try:
        root = base.resolve()
        found = (root / named).resolve()
    except (OSError, RuntimeError) as error:
        raise DataMissing(base / named, f"data file ({type(error).__name__})") from None
    if not found.is_relative_to(root):
        raise PathRefused(
            named,
            f"a link leads out of --data {base}: copy or mount what it points to into the folder, "
            "or give the file itself as --data",
        )
    if found.exists() and not (found.is_file() or found.is_dir()):
        raise PathRefused(named, "is neither a file nor a folder")
    return found


def inside(folder: Path, name: str) -> Path:
    """Give a file of a folder that `resolve` gave; a link must not lead out of it either."""
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise PathRefused(name, f"a link leads out of {folder}: copy the file into the folder")
    return found
