"""Readers of users' files, with tables of (bad bytes, reason)."""

import gzip
import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednode.data import files
from fednode.data.errors import DataMissing, MalformedData
from fednode.data.files import ImageZip, parse_idx, parse_npy, read_bounded, read_csv, read_npz


def idx(*shape: int, data: bytes | None = None, kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", axis) for axis in shape)
    return head + (bytes(range(int(np.prod(shape)))) if data is None else data)


def test_parse_idx_reads_shape_and_bytes() -> None:
    array = parse_idx(idx(2, 3), "x")
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an IDX file"),
        (b"\x1f\x8b\x08\x00", "not an IDX file"),
        (idx(2, 3, kind=13), "element type 0x0d"),
        (b"\0\0\x08\x00", "0 dimensions"),
        (b"\0\0\x08\xff", "255 dimensions"),
        (b"\0\0\x08\x03\0\0\0\1", "cut short"),
        (idx(2, 3)[:-1], "promises 6 bytes, 5 follow"),
        (idx(2, 3) + b"x", "promises 6 bytes, 7 follow"),
        (idx(0xFFFFFFFF, 0xFFFFFFFF, data=b"abc"), "promises"),
    ],
)
def test_parse_idx_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedData, match=reason):
        parse_idx(data, "x")


@given(st.binary(max_size=200))
def test_parsers_only_raise_their_own_error(data: bytes) -> None:
    for parse in (parse_idx, parse_npy, read_csv):
        with suppress(MalformedData):
            parse(data, "x")


@given(st.binary(max_size=120), st.sampled_from([b"(", b"{'descr': ", b"{", b"[" * 90, b""]))
def test_parse_npy_only_raises_its_own_error(data: bytes, start: bytes) -> None:
    header = start + data
    with suppress(MalformedData):
        parse_npy(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header, "x")


def test_an_error_is_one_line() -> None:
    assert str(MalformedData("a\nb", "c\n\td")) == "cannot read a b: c d"


def test_read_bounded_unpacks_gzip_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x" * 100))
    assert read_bounded(path, limit=100) == b"x" * 100
    with pytest.raises(MalformedData, match="more than 99 bytes"):
        read_bounded(path, limit=99)
    path.write_bytes(gzip.compress(b"x" * 100)[:-12])
    with pytest.raises(MalformedData, match="damaged gzip"):
        read_bounded(path)
    path.write_bytes(b"plain")
    with pytest.raises(MalformedData, match="damaged gzip"):
        read_bounded(path)
    with pytest.raises(DataMissing, match="not found"):
        read_bounded(tmp_path / "none")
    with pytest.raises(MalformedData, match="directory"):
        read_bounded(tmp_path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b"a,\xff", "not UTF-8 text at byte 2"),
        (b'a,"b\n', "not CSV near row 1"),
        (b'a,"b"c\n', "not CSV near row 1"),
        (b"," * 6000, "over 5000 cells"),
        (b"a" * 200_000, "not CSV"),
    ],
)
def test_read_csv_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedData, match=reason):
        read_csv(data, "x")


def test_read_csv_splits_rows() -> None:
    assert read_csv(b'\xef\xbb\xbfa,"b,c"\r\n1,2\r\n\r\n', "x") == [("a", "b,c"), ("1", "2")]
    assert read_csv(b"a;b", "x", delimiter=";") == [("a", "b")]


def npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def test_parse_npy_refuses_objects_and_false_promises() -> None:
    array = np.arange(6).reshape(2, 3)
    assert (parse_npy(npy(array), "x") == array).all()
    with pytest.raises(MalformedData, match="arrays of object"):
        parse_npy(npy(np.array([{}], dtype=object)), "x")
    with pytest.raises(MalformedData, match="does not match its bytes"):
        parse_npy(npy(array)[:-1], "x")
    big = npy(array).replace(b"(2, 3)", b"(2**9,")
    with pytest.raises(MalformedData):
        parse_npy(big, "x")
    huge = npy(np.zeros(1000000, np.uint8))[:200]
    with pytest.raises(MalformedData, match="does not match its bytes"):
        parse_npy(huge, "x")


def test_read_npz_refuses_bombs_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(1000), y=np.arange(3))
    assert sorted(read_npz(path)) == ["x", "y"]
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(MalformedData, match="more than 1000 bytes"):
        read_npz(path)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(MalformedData, match="damaged NPZ"):
        read_npz(path)
    with pytest.raises(DataMissing):
        read_npz(tmp_path / "none.npz")


def png(width: int, height: int, value: int = 9) -> bytes:
    image = pytest.importorskip("PIL.Image", reason="needs pillow (extra `data`)")
    stream = io.BytesIO()
    image.new("RGB", (width, height), (value, 0, 255)).save(stream, format="PNG")
    return stream.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_image_zip_reads_classes_parts_and_pixels(tmp_path: Path) -> None:
    members = {
        "train/": b"",
        "train/cat/1.png": png(3, 2, 7),
        "test/dog/1.png": png(3, 2, 8),
    }
    archive = ImageZip(zipped(tmp_path / "a.zip", members), (3, 2, 3))
    assert archive.members == [
        ("test/dog/1.png", "dog", True),
        ("train/cat/1.png", "cat", False),
    ]
    pixels = archive.pixels(np.array([1, 0]))
    assert pixels.shape == (2, 3, 2, 3)
    assert pixels[:, :, 0, 0].tolist() == [[7, 0, 255], [8, 0, 255]]
    assert ImageZip(archive.path, (1, 2, 3)).pixels(np.array([0])).shape == (1, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("../evil.png", b"x", "is not train|test"),
        ("train/a/b/c.png", b"x", "is not train|test"),
        ("train/a/x.gif", b"x", "is not train|test"),
        ("train/a/x.png", b"no image", "is not an image"),
        ("train/a/x.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "is not an image"),
    ],
)
def test_image_zip_refuses_members(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    pytest.importorskip("PIL", reason="needs pillow (extra `data`)")
    archive = ImageZip(zipped(tmp_path / "a.zip", {name: data}), (3, 2, 2))
    with pytest.raises(MalformedData, match=reason.replace("|", r"\|")):
        archive.pixels(np.arange(len(archive.members)))


def test_image_zip_refuses_sizes_and_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.zip", {"train/a/x.png": png(4, 4)})
    with pytest.raises(MalformedData, match="is 4x4, the schema says 2x2"):
        ImageZip(path, (3, 2, 2)).pixels(np.array([0]))
    with pytest.raises(MalformedData, match="no image has 2 channels"):
        ImageZip(path, (2, 4, 4)).pixels(np.array([0]))
    monkeypatch.setattr(files, "MOST_IMAGE_BYTES", 10)
    with pytest.raises(MalformedData, match="larger than"):
        _ = ImageZip(path, (3, 4, 4)).members
    monkeypatch.undo()
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(MalformedData, match="is not an image"):
        ImageZip(path, (3, 4, 4)).pixels(np.array([0]))
    path.write_bytes(bytes(data[:40]))
    with pytest.raises(MalformedData, match="damaged zip"):
        _ = ImageZip(path, (3, 4, 4)).members
    with pytest.raises(DataMissing):
        _ = ImageZip(tmp_path / "none.zip", (3, 4, 4)).members
    empty = zipped(tmp_path / "b.zip", {})
    with pytest.raises(MalformedData, match="no images"):
        _ = ImageZip(empty, (3, 4, 4)).members
