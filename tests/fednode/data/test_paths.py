"""A policy's path never leads out of the folder that a site gives, however it is written."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data.errors import DataMissing, PathRefused
from fednode.data.paths import path_fault, resolve
from fednode.data.schema import ImageSchema, TableSchema
from fednode.data.sources import DataSpec, open_source

TABLE = TableSchema.model_validate(
    {
        "columns": [{"name": "a", "type": "numeric", "range": [0, 10]}],
        "label": {"column": "y", "codes": {"0": 0, "1": 1}},
    }
)
ROWS = "a,y\n1,0\n2,1\n"
OUTSIDE = [
    "../secret.csv",
    "..",
    "x/../../secret.csv",
    "/etc/passwd",
    "//host/share.csv",
    "~/secret.csv",
    "~root/secret.csv",
    "x/~/secret.csv",
    "C:/secret.csv",
    "c:secret.csv",
    "C:\\secret.csv",
    "..\\secret.csv",
    "\\\\host\\share.csv",
    "secret.csv:stream",
    "file:///etc/passwd",
    "nul",
    "NUL.csv",
    "x/com1.csv",
    "aux .csv",
    "COM¹",
    "CONIN$",
    "a\0.csv",
    "a\n.csv",
    "a\x85.csv",
    "\ud800.csv",
    "x//y.csv",
    "x/",
    "./x.csv",
    " ..",
    ".. /x.csv",
    ".../x.csv",
    "x./y.csv",
    "x" * 256,
    "x/" * 3000 + "y",
    "",
]
INSIDE = ["a.csv", "x/y/a.csv", ".", "{site}/a.csv", "ä/ö.csv", "..a", "a..b.csv", "console.csv"]


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_leads_out_is_no_path(text: str, tmp_path: Path) -> None:
    assert path_fault(text)
    with pytest.raises(ValueError, match="path"):
        DataSpec(source="csv", path=text, sites=("s",))
    with pytest.raises(PathRefused):
        resolve(tmp_path, text)


@pytest.mark.parametrize("text", INSIDE)
def test_what_stays_inside_is_one(text: str, tmp_path: Path) -> None:
    assert DataSpec(source="csv", path=text, sites=("s",)).path == text
    assert resolve(tmp_path, text, "s").is_relative_to(tmp_path)


@given(st.text(st.sampled_from("ab./~\\: \0-{}é"), max_size=12))
def test_an_accepted_path_stays_inside(text: str) -> None:
    base = Path("/nowhere/data")
    try:
        found = resolve(base, text, "s")
    except PathRefused:
        return
    assert found.is_relative_to(base)


def _link(folder: Path, target: Path) -> str:
    (folder / "link.csv").symlink_to(target)
    return "link.csv"


def _linked_folder(folder: Path, target: Path) -> str:
    (folder / "sub").symlink_to(target.parent, target_is_directory=True)
    return f"sub/{target.name}"


def _chain(folder: Path, target: Path) -> str:
    (folder / "one.csv").symlink_to("two.csv")
    (folder / "two.csv").symlink_to(os.path.relpath(target, folder))
    return "one.csv"


@pytest.mark.parametrize("make", [_link, _linked_folder, _chain])
def test_a_link_does_not_lead_out(make: Callable[[Path, Path], str], tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    (other / "secret.csv").write_text(ROWS)
    spec = DataSpec(source="csv", path=make(data, other / "secret.csv"), sites=("s",))
    with pytest.raises(PathRefused, match="leads out of --data"):
        open_source(spec, TABLE, data).load("s")
    # The site itself may choose any file, and a folder that is a link.
    assert len(open_source(spec, TABLE, other / "secret.csv").load("s")) == 2
    (tmp_path / "way").symlink_to(other, target_is_directory=True)
    inside = DataSpec(source="csv", path="secret.csv", sites=("s",))
    assert len(open_source(inside, TABLE, tmp_path / "way").load("s")) == 2


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text(ROWS)
    (tmp_path / "s.csv").symlink_to("real.csv")
    spec = DataSpec(source="csv", path="{site}.csv", sites=("s",))
    assert len(open_source(spec, TABLE, tmp_path).load("s")) == 2


def test_a_link_to_itself_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "s.csv").symlink_to("s.csv")
    spec = DataSpec(source="csv", path="{site}.csv", sites=("s",))
    with pytest.raises((DataMissing, PathRefused)):
        open_source(spec, TABLE, tmp_path).load("s")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.csv")
    spec = DataSpec(source="csv", path="{site}.csv", sites=("s",))
    with pytest.raises(PathRefused, match="neither a file nor a folder"):
        open_source(spec, TABLE, tmp_path).load("s")


@pytest.mark.parametrize("source", ["npz", "images", "mnist"])
def test_other_sources_stay_inside_too(source: str, tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    np.savez(other / "file", x=np.zeros((4, 2, 2), np.uint8), y=np.array([0, 1, 0, 1]))
    (other / "train-images-idx3-ubyte").write_bytes(b"")
    (data / "file.npz").symlink_to(other / "file.npz")
    (data / "train-images-idx3-ubyte").symlink_to(other / "train-images-idx3-ubyte")
    spec = DataSpec.model_validate(
        {
            "source": source,
            "path": "." if source == "mnist" else "file.npz",
            "sites": 2,
            "partition": {"kind": "iid"},
        }
    )
    images = ImageSchema(kind="image", shape=(1, 2, 2), labels=("0", "1"))
    with pytest.raises(PathRefused, match="leads out of"):
        open_source(spec, images, data).load("site-0")


def test_a_site_that_is_a_device_names_no_file() -> None:
    with pytest.raises(ValueError, match=r"path: of site 'nul'"):
        DataSpec(source="csv", path="{site}.csv", sites=("nul",))
