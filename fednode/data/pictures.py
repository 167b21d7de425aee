"""Pixels of a PNG or JPEG file: exactly what the file says, in the schema's channels, or an error.

Pillow's `convert` clips, rounds and drops without a word. So a table says what each kind of picture
becomes. A picture that fits no line of it is refused by its file's name, with what to do.

| the file has | 1 channel | 3 channels | 4 channels |
| --- | --- | --- | --- |
| black and white, 1 bit | 0 or 255 | repeated | repeated, alpha 255 |
| grey, up to 8 bits | as it is | repeated | repeated, alpha 255 |
| colours or a palette, 8 bits | luma, with a warning | as it is | alpha 255 |
| alpha or a transparent colour | only if nothing shows through | the same | as it is |
| more than 8 bits, CMYK, several frames | refused | refused | refused |

Luma is Pillow's (ITU-R 601, in integers); of grey pixels it is the grey itself. A turned picture
(EXIF) is turned back. Colour profiles and gamma are not applied.
"""

from __future__ import annotations

import io
import zlib
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fednode.data.errors import ExtraMissing

if TYPE_CHECKING:
    from PIL.Image import Image

MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name of what a schema's channels hold."""
_EXACT: Final = {"1": "L", "L": "L", "LA": "RGBA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
"""What each mode becomes without loss."""
_ORIENTATION: Final = 0x0112
_SIDEWAYS: Final = range(5, 9)
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_ERRORS: Final = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    zlib.error,
)


class PictureRefused(ValueError):
    """A picture that does not become pixels of the schema; says why, and what to do."""


def pillow(source: str) -> ModuleType:
    """Import Pillow's Image module, or say how to install it."""
    try:
        from PIL import Image
    except ImportError:
        raise ExtraMissing("Pillow", source) from None
    return Image


def pixels_of(
    data: bytes, shape: tuple[int, int, int], image: ModuleType
) -> tuple[NDArray[np.uint8], bool]:
    """Return a picture's pixels (channels, height, width), and whether colours became luma.

    Raise PictureRefused.
    """
    channels, height, width = shape
    try:
        with image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            if (height, width) not in (picture.size, picture.size[::-1]):
                raise _wrong_size(picture.size, width, height)  # before anything is decoded
            turned = picture.getexif().get(_ORIENTATION)
            size = picture.size[::-1] if turned in _SIDEWAYS else picture.size
            if size != (width, height):
                raise _wrong_size(size, width, height)
            _require_readable(picture, data)
            exact, luma = _converted(_upright(picture, image, turned), channels)
            pixels = np.asarray(exact, dtype=np.uint8).reshape(height, width, channels)
    except PictureRefused:
        raise
    except image.UnidentifiedImageError:
        raise PictureRefused("is not an image: save it as PNG or JPEG") from None
    except (*_ERRORS, image.DecompressionBombError) as error:
        raise PictureRefused(f"is not an image ({error}): save it as PNG or JPEG") from None
    return pixels.transpose(2, 0, 1), luma


def _wrong_size(size: tuple[int, int], width: int, height: int) -> PictureRefused:
    return PictureRefused(
        f"is {size[0]}x{size[1]}, the schema says {width}x{height}: scale it, or mend schema.shape"
    )


def _require_readable(picture: Image, data: bytes) -> None:
    """Refuse what Pillow would read by cutting something off."""
    if getattr(picture, "n_frames", 1) > 1:
        raise PictureRefused("has several frames: save each as a picture of its own")
    # Pillow cuts 16 bits of colours down to 8 when it opens a file.
    bits = data[24] if data.startswith(_PNG) else 8
    if bits > 8 or picture.mode.startswith(("I", "F")):
        raise PictureRefused(
            "has more than 8 bits per channel: scale it to 0..255 yourself, the same at each site, "
            "and save it with 8 bits, or use source 'npz'"
        )
    # Pillow scales such greys to 0..255, and not the one that is transparent.
    if bits < 8 and picture.mode != "P" and "transparency" in picture.info:
        raise PictureRefused("has a transparent grey of less than 8 bits: flatten it")
    if picture.mode not in _EXACT:
        raise PictureRefused(f"has {picture.mode} pixels: save it as grey, RGB or RGBA")


def _upright(picture: Image, image: ModuleType, turned: int | None) -> Image:
    """Turn a picture as its EXIF data say: pixels change places alone."""
    ways = {
        2: image.Transpose.FLIP_LEFT_RIGHT,
        3: image.Transpose.ROTATE_180,
        4: image.Transpose.FLIP_TOP_BOTTOM,
        5: image.Transpose.TRANSPOSE,
        6: image.Transpose.ROTATE_270,
        7: image.Transpose.TRANSVERSE,
        8: image.Transpose.ROTATE_90,
    }
    picture.load()
    # A transparent colour is lost when pixels move, so it becomes alpha before.
    exact = picture.convert("RGBA" if "transparency" in picture.info else _EXACT[picture.mode])
    return exact.transpose(ways[turned]) if turned in ways else exact


def _converted(picture: Image, channels: int) -> tuple[Image, bool]:
    if picture.mode == "RGBA" and channels < 4:
        if np.asarray(picture.getchannel("A")).min() < 255:
            raise PictureRefused(
                f"has transparent pixels, and schema.shape has {channels} channels: flatten it, or "
                "set 4 channels"
            )
        picture = picture.convert("RGB")
    return picture.convert(MODES[channels]), channels == 1 and not _is_grey(picture)


def _is_grey(picture: Image) -> bool:
    if picture.mode == "L":
        return True
    red, green, blue = np.moveaxis(np.asarray(picture), 2, 0)[:3]
    return bool((red == green).all() and (green == blue).all())
