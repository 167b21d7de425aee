"""Each kind of picture becomes exact pixels, or is refused by its name with what to do."""

import io
import json
import logging
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fednode.cli import main
from fednode.data.errors import MalformedData
from fednode.data.files import ImageZip

pytest.importorskip("PIL", reason="needs pillow (extra `data`)")

from PIL import Image

POLICY = """
release = "best"
[federation]
name = "Pictures"
open = true
start_participants = 1
max_participants = 1
quorum = 1
[task]
model = "logistic"
[schema]
kind = "image"
shape = {shape}
labels = ["a", "b"]
[data]
source = "images"
path = "pictures.zip"
public = true
sites = ["north"]
[data.partition]
kind = "iid"
least_rows = 1
[training]
rounds = 1
[evaluation]
mode = "public"
metric = "accuracy"
[valuation]
kind = "leave-one-out"
[reward]
pool = "1 ether"
target = 1
[windows]
commit = 600
reveal = 60
propose = 60
attest = 60
challenge = 90
idle = 3600
"""


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


def made(mode: str, *values: Any) -> Image.Image:  # noqa: ANN401
    """Make a picture of one row."""
    picture = Image.new(mode, (len(values), 1))
    picture.putdata(values)
    return picture


def deep_png(kind: int, samples: list[int]) -> bytes:
    """Write a PNG of one pixel with 16 bits a sample; Pillow writes only grey ones."""

    def chunk(name: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + end

    head = struct.pack(">IIBBBBB", 1, 1, 16, kind, 0, 0, 0)
    row = b"\0" + b"".join(struct.pack(">H", sample) for sample in samples)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(row)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def palette(*colours: int, **options: Any) -> bytes:  # noqa: ANN401
    picture = made("P", *range(len(colours) // 3))
    picture.putpalette(colours)
    return saved(picture, **options)


def archive(folder: Path, shape: tuple[int, int, int], **members: bytes) -> ImageZip:
    path = folder / "pictures.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"train/a/{name.replace('_', '.')}", data)
    return ImageZip(path, shape)


def pixels(folder: Path, data: bytes, *shape: int, name: str = "x_png") -> list[Any]:
    height, width, channels = shape
    found = archive(folder, (channels, height, width), **{name: data}).pixels(np.array([0]))
    return [found[0, :, y, x].tolist() for y in range(height) for x in range(width)]


GREY, RGB = made("L", 7, 200), made("RGB", (1, 2, 3), (9, 0, 255))


@pytest.mark.parametrize(
    ("data", "channels", "expected"),
    [
        (saved(made("1", 0, 255)), 1, [[0], [255]]),
        (saved(made("1", 0, 255)), 3, [[0] * 3, [255] * 3]),
        (saved(GREY), 1, [[7], [200]]),
        (saved(GREY), 3, [[7] * 3, [200] * 3]),
        (saved(GREY), 4, [[7, 7, 7, 255], [200, 200, 200, 255]]),
        (saved(RGB), 3, [[1, 2, 3], [9, 0, 255]]),
        (saved(RGB), 4, [[1, 2, 3, 255], [9, 0, 255, 255]]),
        (saved(made("RGB", (5, 5, 5), (6, 6, 6))), 1, [[5], [6]]),
        (palette(1, 2, 3, 4, 5, 6), 3, [[1, 2, 3], [4, 5, 6]]),
        (palette(4, 4, 4, 5, 5, 5), 1, [[4], [5]]),
        (palette(1, 2, 3, 4, 5, 6, transparency=0), 4, [[1, 2, 3, 0], [4, 5, 6, 255]]),
        (saved(made("LA", (7, 255), (8, 255))), 1, [[7], [8]]),
        (saved(made("LA", (7, 9), (8, 255))), 4, [[7, 7, 7, 9], [8, 8, 8, 255]]),
        (saved(made("RGBA", (1, 2, 3, 255), (4, 5, 6, 255))), 3, [[1, 2, 3], [4, 5, 6]]),
        (saved(made("RGBA", (1, 2, 3, 0), (4, 5, 6, 9))), 4, [[1, 2, 3, 0], [4, 5, 6, 9]]),
        (saved(RGB, transparency=(1, 2, 3)), 4, [[1, 2, 3, 0], [9, 0, 255, 255]]),
        (saved(RGB, icc_profile=b"any profile"), 3, [[1, 2, 3], [9, 0, 255]]),
    ],
)
def test_pixels_are_exact(
    data: bytes, channels: int, expected: list[list[int]], tmp_path: Path
) -> None:
    assert pixels(tmp_path, data, 1, 2, channels) == expected


@pytest.mark.parametrize(
    ("data", "channels", "reason"),
    [
        (saved(Image.fromarray(np.array([[300, 70]], np.uint16))), 1, "more than 8 bits"),
        (saved(Image.fromarray(np.array([[3, 7]], np.uint16))), 3, "more than 8 bits"),
        (deep_png(2, [1, 2, 3]), 3, "more than 8 bits"),
        (deep_png(4, [1, 65535]), 4, "more than 8 bits"),
        (deep_png(6, [1, 2, 3, 65535]), 4, "more than 8 bits"),
        (saved(made("CMYK", (0, 0, 0, 9), (1, 2, 3, 4)), "JPEG"), 3, "has CMYK pixels"),
        (saved(made("RGBA", (1, 2, 3, 254), (4, 5, 6, 255))), 3, "transparent pixels"),
        (saved(made("LA", (1, 0), (4, 255))), 1, "transparent pixels"),
        (palette(1, 2, 3, 4, 5, 6, transparency=0), 3, "transparent pixels"),
        (saved(RGB, transparency=(1, 2, 3)), 3, "transparent pixels"),
        (saved(made("1", 0, 255), transparency=1), 4, "a transparent grey"),
        (saved(GREY, save_all=True, append_images=[made("L", 1, 2)]), 1, "several frames"),
        (saved(RGB, "MPO", save_all=True, append_images=[RGB]), 3, "several frames"),
    ],
)
def test_what_would_lose_something_is_refused(
    data: bytes, channels: int, reason: str, tmp_path: Path
) -> None:
    shape = (1, 1) if b"IHDR\0\0\0\1\0\0\0\1" in data else (1, 2)
    with pytest.raises(MalformedData, match=reason) as refused:
        pixels(tmp_path, data, *shape, channels)
    assert "pictures.zip: train/a/x.png" in str(refused.value)


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_turned_picture_is_turned_back(turned: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    # Blocks of one colour survive JPEG.
    dark, light = Image.new("L", (16, 8), 0), Image.new("L", (8, 8), 255)
    dark.paste(light, (0, 0))
    data = saved(dark, kind, exif=exif)
    shown = {1: "LD", 2: "DL", 3: "DL", 4: "LD", 5: "LD", 6: "LD", 7: "DL", 8: "DL"}[turned]
    height, width = (8, 16) if turned < 5 else (16, 8)
    found = archive(tmp_path, (1, height, width), x_png=data).pixels(np.array([0]))[0, 0]
    halves = (found[:, :8], found[:, 8:]) if turned < 5 else (found[:8], found[8:])
    assert "".join("L" if half.mean() > 128 else "D" for half in halves) == shown


def test_colours_become_grey_only_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="fednode"):
        assert pixels(tmp_path, saved(made("RGB", (7, 7, 7))), 1, 1, 1) == [[7]]
        assert caplog.text == ""
        assert pixels(tmp_path, saved(made("RGB", (255, 0, 0))), 1, 1, 1) == [[76]]
    assert "1 images have colours and are read as grey" in caplog.text
    assert "train/a/x.png" in caplog.text


def test_a_picture_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(MalformedData, match="is 8000x8000, the schema says 2x1"):
        pixels(tmp_path, saved(Image.new("1", (8000, 8000))), 1, 2, 1)
    with pytest.raises(MalformedData, match="could be decompression bomb"):
        pixels(tmp_path, saved(Image.new("1", (20000, 20000))), 1, 2, 1)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP"])
def test_other_formats_are_refused_whatever_the_name_says(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedData) as refused:
        pixels(tmp_path, saved(GREY, kind), 1, 2, 1)
    assert str(refused.value).endswith("x.png is not an image: save it as PNG or JPEG")


def check(folder: Path, members: dict[str, bytes], shape: str = "[1, 1, 2]") -> Result:
    (folder / "policy.toml").write_text(POLICY.format(shape=shape), encoding="utf-8")
    with zipfile.ZipFile(folder / "pictures.zip", "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    policy, place = str(folder / "policy.toml"), str(folder)
    line = ["data", "check", "--policy", policy, "--data", place, "--site", "north", "--json"]
    return CliRunner().invoke(main, line)


GOOD = {"train/a/1.png": saved(GREY), "train/b/1.png": saved(GREY)}


def test_data_check_names_the_picture(tmp_path: Path) -> None:
    deep = saved(Image.fromarray(np.array([[300, 70]], np.uint16)))
    result = check(tmp_path, {**GOOD, "train/b/deep.png": deep})
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "train/b/deep.png has more than 8 bits per channel: scale it" in result.stderr


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"train/b/2.png": saved(made("L", 0, 201))}, "a pixel in train/b/2.png outside the range"),
        ({"train/c/2.png": saved(GREY)}, "train/c/2.png: its folder is no class of schema.labels"),
    ],
)
def test_the_file_of_another_fault_is_named_too(
    more: dict[str, bytes], reason: str, tmp_path: Path
) -> None:
    result = check(tmp_path, {**GOOD, **more}, "[1, 1, 2]\nrange = [0, 200]")
    assert result.exit_code == 1
    assert reason in result.output


def test_litter_of_file_managers_is_passed_over(tmp_path: Path) -> None:
    litter = (
        "__MACOSX/train/a/._1.png",
        "__MACOSX/._train",
        "train/a/._1.png",
        ".DS_Store",
        "train/.DS_Store",
        "train/a/Thumbs.db",
        "train/b/desktop.ini",
    )
    result = check(tmp_path, {**GOOD, "__MACOSX/": b"", **dict.fromkeys(litter, b"litter")})
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["rows"] == "<10"


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        {
            "train/": b"",
            "train/b/": b"",
            "train/b/.DS_Store": b"x",
            **{name: data for name, data in GOOD.items() if "/a/" in name},
        },
    )
    assert result.exit_code == 1
    assert "folder 'train/b/' has no images" in result.stderr
