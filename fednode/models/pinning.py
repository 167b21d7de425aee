"""The digest of a user's own model: which program code a policy means.

A policy names a model of one's own as `module:factory`, and records the digest of that code. A node
or an audit whose copy has another digest does not run it. The digest is computed before anything is
imported, so that code which nobody has agreed to never runs.

What counts is what the first part of the module's name stands for: one file, or a package's folder
with everything in it but `__pycache__`, compiled files and names that begin with a dot. The digest
is sha-256 over the line `fednode source 1` and, for each file in the order of its path's UTF-8
bytes, the path with `/` between its parts, a zero byte, and the sha-256 of the file's bytes. In
files ending in `.py` CRLF counts as LF, as Python itself reads them. Other modules that the code
imports do not count.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

from fednode.models.errors import (
    ModelDescriptionError,
    ModelNotAllowed,
    OwnModelError,
    SourceDiffers,
)
from fednode.models.registry import is_own
from ledger.types import Digest

LINK = "source"
"""The key of the digest in the rest of a policy's records."""
MOST_FILES = 4096
MOST_BYTES = 1 << 28
_HEAD = b"fednode source 1\n"
_COMPILED = (".pyc", ".pyo")


def require_pinned(model: str, pinned: object, allowed: Collection[str]) -> None:
    """Refuse a user's own model that is not allowed here, or not what the policy's records pin.

    Raise ModelNotAllowed, ModelDescriptionError for records without a digest, OwnModelError where
    the code cannot be read, and SourceDiffers.
    """
    if not is_own(model):
        return
    if model not in allowed:
        raise ModelNotAllowed(model)
    if not isinstance(pinned, bytes) or len(pinned) != 32:
        raise ModelDescriptionError(LINK, f"the policy's records pin no digest of {model!r}")
    found = source_digest(model)
    if found != pinned:
        raise SourceDiffers(model, _root(model), expected=Digest(pinned), found=found)


def source_digest(model: str) -> Digest:
    """Compute the digest of the code behind `module:factory`, without running any of it."""
    root = _root(model)
    digest = hashlib.sha256(_HEAD)
    size = 0
    try:
        for count, (name, path) in enumerate(sorted(_files(root)), start=1):
            size += path.stat().st_size
            if count > MOST_FILES or size > MOST_BYTES:
                raise OwnModelError(
                    "task.model",
                    f"{root} has more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB: put the "
                    "model into a package of its own",
                )
            digest.update(name + b"\0" + hashlib.sha256(_content(path)).digest())
    except OSError as error:
        raise OwnModelError(
            "task.model", f"{error.filename or root} cannot be read: {error.strerror}"
        ) from error
    return Digest(digest.digest())


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return data.replace(b"\r\n", b"\n") if path.suffix == ".py" else data


def _files(root: Path) -> Iterator[tuple[bytes, Path]]:
    """Give the files that count, each with its path from the folder that the root is in."""
    if root.is_file():
        yield _name(root, root), root
    for at, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f != "__pycache__" and not f.startswith(".")]
        for name in names:
            path = Path(at, name)
            if not name.startswith(".") and path.suffix not in _COMPILED and path.is_file():
                yield _name(root, path), path


def _name(root: Path, path: Path) -> bytes:
    return path.relative_to(root.parent).as_posix().encode()


def _root(model: str) -> Path:
    """Find the file or folder that the first part of a module's name stands for."""
    name = model.partition(":")[0].partition(".")[0]
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise OwnModelError("task.model", f"cannot find {name!r}; put its folder on PYTHONPATH")
    places = list(spec.submodule_search_locations or ())
    root = Path(places[0]) if len(places) == 1 else Path(spec.origin or "")
    if len(places) > 1 or not root.exists() or (not places and not root.is_file()):
        raise OwnModelError(
            "task.model", f"{name!r} is neither one file nor one folder, so no digest names it"
        )
    return root
