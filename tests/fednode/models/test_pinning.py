"""What counts as a model's code, and that other code is refused before any of it runs."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fednode.models import pinning
from fednode.models.errors import (
    ModelDescriptionError,
    ModelNotAllowed,
    OwnModelError,
    SourceDiffers,
)
from fednode.models.pinning import require_pinned, source_digest

HARM = "raise SystemExit('this code ran')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def by_hand(**files: bytes) -> bytes:
    """Compute the digest as the module's docstring defines it."""
    whole = b"fednode source 1\n"
    for name in sorted(files, key=str.encode):
        whole += name.encode() + b"\0" + hashlib.sha256(files[name]).digest()
    return hashlib.sha256(whole).digest()


def package(folder: Path, name: str) -> Path:
    """Write a package that must not be run."""
    root = folder / name
    (root / "inner").mkdir(parents=True)
    (root / "__init__.py").write_text(HARM)
    (root / "inner" / "make.py").write_text(HARM + "x = 1\n")
    (root / "weights.bin").write_bytes(b"\r\n\0")
    return root


def test_a_file_is_its_own_digest_and_does_not_run(folder: Path) -> None:
    (folder / "pinned_file.py").write_text(HARM)
    found = source_digest("pinned_file:make")
    assert found == by_hand(**{"pinned_file.py": HARM.encode()})
    assert "pinned_file" not in sys.modules


@pytest.mark.parametrize("model", ["pinned_package:make", "pinned_package.inner.make:make"])
def test_a_package_is_all_its_files(folder: Path, model: str) -> None:
    package(folder, "pinned_package")
    assert source_digest(model) == by_hand(
        **{
            "pinned_package/__init__.py": HARM.encode(),
            "pinned_package/inner/make.py": HARM.encode() + b"x = 1\n",
            "pinned_package/weights.bin": b"\r\n\0",
        }
    )


def write(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"1")


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "compiled files": (lambda root: (root / "a.pyc").write_bytes(b"1"), False),
    "a folder of them": (
        lambda root: write(root / "__pycache__" / "a.py"),
        False,
    ),
    "an editor's file": (lambda root: (root / ".a.py.swp").write_bytes(b"1"), False),
    "a folder of git's": (
        lambda root: write(root / ".git" / "HEAD"),
        False,
    ),
    "CRLF in code": (
        lambda root: (root / "inner" / "make.py").write_bytes(
            HARM[:-1].encode() + b"\r\nx = 1\r\n"
        ),
        False,
    ),
    "an empty folder": (lambda root: (root / "empty").mkdir(), False),
    "LF in other files": (lambda root: (root / "weights.bin").write_bytes(b"\n\0"), True),
    "one byte": (lambda root: (root / "inner" / "make.py").write_text(HARM + "x = 2\n"), True),
    "another file": (lambda root: (root / "more.txt").write_text(""), True),
    "a file fewer": (lambda root: (root / "weights.bin").unlink(), True),
    "a file renamed": (lambda root: (root / "weights.bin").rename(root / "weight.bin"), True),
    "a linked file": (
        lambda root: (root / "link.py").symlink_to(root / "__init__.py"),
        True,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_the_digest(folder: Path, name: str) -> None:
    root = package(folder, "changing_package")
    before = source_digest("changing_package:make")
    change, matters = CHANGES[name]
    change(root)
    assert (source_digest("changing_package:make") != before) == matters


def test_a_folder_without_init_is_a_package_too(folder: Path) -> None:
    (folder / "bare_folder").mkdir()
    (folder / "bare_folder" / "make.py").write_text(HARM)
    expected = by_hand(**{"bare_folder/make.py": HARM.encode()})
    assert source_digest("bare_folder.make:make") == expected


def test_what_no_digest_names_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OwnModelError, match="PYTHONPATH"):
        source_digest("no_such_module:make")
    with pytest.raises(OwnModelError, match="PYTHONPATH"):
        source_digest(":make")
    with pytest.raises(OwnModelError, match="neither one file nor one folder"):
        source_digest("sys:make")
    for place in ("one", "two"):
        (folder / place / "spread").mkdir(parents=True)
        (folder / place / "spread" / f"{place}.py").write_text("")
        monkeypatch.syspath_prepend(folder / place)
    with pytest.raises(OwnModelError, match="neither one file nor one folder"):
        source_digest("spread.one:make")


def test_a_package_of_any_size_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(folder, "large_package")
    monkeypatch.setattr(pinning, "MOST_FILES", 2)
    with pytest.raises(OwnModelError, match="a package of its own"):
        source_digest("large_package:make")


def test_what_is_pinned_is_compared_before_it_runs(folder: Path) -> None:
    package(folder, "compared_package")
    model = "compared_package:make"
    good = source_digest(model)
    require_pinned(model, good, [model])
    require_pinned("logistic", None, [])
    with pytest.raises(ModelNotAllowed):
        require_pinned(model, good, [])
    for none in (None, "00" * 32, b"short"):
        with pytest.raises(ModelDescriptionError, match="pin no digest") as lacking:
            require_pinned(model, none, [model])
        assert not isinstance(lacking.value, OwnModelError)
    with pytest.raises(SourceDiffers, match="differs from the policy's") as differs:
        require_pinned(model, bytes(32), [model])
    assert str(folder / "compared_package") in str(differs.value)
    assert "compared_package" not in sys.modules
