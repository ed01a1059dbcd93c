"""PNG and TIFF files of 16 bits a channel in colour or with alpha, which Pillow can't write."""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.TiffTags import TAGS_V2_GROUPS

STRIP_BYTES = 2**22
PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to PNG 1.2, table 11.1
UP, DEFLATE, UNASSOCIATED, INCH = 2, 8, 2, 2


def write_png(planes: np.ndarray, file: BinaryIO, options: Mapping[str, Any]) -> None:
    """Write uint16 HWC, C = 1 to 4 (the second or fourth is alpha), with what `options` describe.

    options: keywords of Pillow's PNG writer, whose chunks are taken as it writes them.
    """
    height, width, channels = planes.shape
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOUR[channels], 0, 0, 0)
    described = io.BytesIO()
    Image.new("RGB", (1, 1)).save(described, "PNG", **options)
    file.write(PngImagePlugin._MAGIC)
    for name, data in _chunks(described.getvalue()):
        if name == b"IDAT":
            data = _packed_rows(planes)
        PngImagePlugin.putchunk(file, name, header if name == b"IHDR" else data)


def write_tiff(planes: np.ndarray, file: BinaryIO, options: Mapping[str, Any]) -> None:
    """Write uint16 HWC, C = 1 to 4 (the second or fourth is alpha), in deflated strips.

    options: keywords of Pillow's TIFF writer: tiffinfo (an Exif), icc_profile, dpi.
    """
    height, width, channels = planes.shape
    rows = max(1, STRIP_BYTES // (2 * width * channels))
    strips = [
        zlib.compress(planes[top : top + rows].astype("<u2").tobytes())
        for top in range(0, height, rows)
    ]
    tags = _described(options)
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = width, height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (16,) * channels
    tags[TiffImagePlugin.COMPRESSION] = DEFLATE
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2 if channels > 2 else 1
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    tags[TiffImagePlugin.ROWSPERSTRIP] = rows
    if channels % 2 == 0:
        tags[TiffImagePlugin.EXTRASAMPLES] = UNASSOCIATED
    sizes = [len(strip) for strip in strips]
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(sizes)
    tags[TiffImagePlugin.STRIPOFFSETS] = tuple(int(sum(sizes[:n])) for n in range(len(sizes)))
    tags.save(file)  # counts the offsets from its own end
    for strip in strips:
        file.write(strip)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = len(PngImagePlugin._MAGIC)
    while offset < len(png):
        size, name = struct.unpack_from(">I4s", png, offset)
        yield name, png[offset + 8 : offset + 8 + size]
        offset += size + 12


def _packed_rows(planes: np.ndarray) -> bytes:
    """Return the rows deflated, each as its difference from the one above (PNG 1.2, filter Up)."""
    packer, above = zlib.compressobj(6), np.zeros(2 * planes[0].size, np.uint8)
    parts = []
    for pixels in planes:
        row = pixels.astype(">u2").reshape(-1).view(np.uint8)
        parts.append(packer.compress(bytes([UP]) + (row - above).tobytes()))
        above = row
    return b"".join([*parts, packer.flush()])


def _described(options: Mapping[str, Any]) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    given: Image.Exif = options["tiffinfo"]
    for tag in given:
        tags[tag] = given.get_ifd(tag) if tag in TAGS_V2_GROUPS else given[tag]
    if "icc_profile" in options:
        tags.tagtype[TiffImagePlugin.ICCPROFILE] = 7  # undefined bytes
        tags[TiffImagePlugin.ICCPROFILE] = options["icc_profile"]
    if "dpi" in options:
        tags[TiffImagePlugin.RESOLUTION_UNIT] = INCH
        tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = options["dpi"]
    return tags
