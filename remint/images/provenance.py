"""Marks that say how pixels came to be: IPTC DigitalSourceType in an image's XMP packet.

Sources: IPTC Photo Metadata Standard 2023.1, "Digital Source Type" (property
Iptc4xmpExt:DigitalSourceType, value a full URI of the NewsCodes vocabulary); XMP Specification
part 1 (ISO 16684-1, packet and RDF serialisation) and part 3 (where each file format keeps it).
"""

from pathlib import Path
from typing import Any, Literal
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from defusedxml import DefusedXmlException
from defusedxml.minidom import parseString
from PIL import Image, PngImagePlugin

Term = Literal[
    "algorithmicallyEnhanced", "compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"
]

RESTORED: Term = "algorithmicallyEnhanced"
FILLED: Term = "compositeWithTrainedAlgorithmicMedia"
MINTED: Term = "trainedAlgorithmicMedia"

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMPMETA = "adobe:ns:meta/"
XMLNS = "http://www.w3.org/2000/xmlns/"
PROPERTY = "DigitalSourceType"
PNG_KEYWORD = "XML:com.adobe.xmp"
TIFF_TAG = 700
JPEG_LIMIT = 65_533 - 29  # one APP1 marker less its XMP signature (XMP part 3, 1.1.3)
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "AVIF", "HEIF")

# From weakest to strongest: a mark is never replaced by one that admits to less.
STRENGTH = (
    RESTORED,
    "compositeSynthetic",
    FILLED,
    "algorithmicMedia",
    MINTED,
)

EMPTY = f'<x:xmpmeta xmlns:x="{XMPMETA}"><rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta>'
HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
TAIL = '<?xpacket end="w"?>'


class XmpError(ValueError):
    """A packet cannot be read as XMP, or is too long for the file that should hold it."""


def uri(term: str) -> str:
    """Return the full URI of a term of IPTC's digital source type vocabulary."""
    return VOCABULARY + term


def mark(packet: bytes | None, term: Term) -> bytes:
    """Return `packet` (None for a new one) with its DigitalSourceType set to `term`.

    Everything else in the packet is kept. A stronger mark stays: an image that a model made is
    not called a restored photograph afterwards. Raises XmpError when `packet` is no XMP.
    """
    document = _parse(packet) if packet else parseString(EMPTY)
    present = _values(document)
    if not any(_strength(value) > _strength(uri(term)) for value in present):
        _remove(document)
        _insert(document, uri(term))
    root = document.documentElement
    assert root is not None, "a parsed document has a root"
    return f"{HEAD}{root.toxml()}{TAIL}".encode()


def source_type(packet: bytes | None) -> str | None:
    """Return the DigitalSourceType URI in a packet, None where there is none.

    Raises XmpError when `packet` is no XMP.
    """
    values = _values(_parse(packet)) if packet else []
    return max(values, key=_strength) if values else None


def read(path: str | Path) -> str | None:
    """Return the DigitalSourceType URI of an image file, None where there is none.

    Raises XmpError for a broken packet and OSError for a file that is no image.
    """
    with Image.open(path, formats=[name for name in FORMATS if name != "MPO"]) as image:
        return source_type(packet_of(image))


def packet_of(image: Image.Image) -> bytes | None:
    """Return the XMP packet of an opened image, None where there is none."""
    packet = image.info.get("xmp")
    return packet.encode() if isinstance(packet, str) else packet


def save_options(file_format: str, packet: bytes) -> dict[str, Any]:
    """Return the keywords that make Pillow's `Image.save` write `packet` into the format.

    PNG gives `pnginfo` and TIFF `tiffinfo`, to which further chunks and tags may be added.
    Raises ValueError for a format without a place for XMP, XmpError for a packet too long.
    """
    if file_format not in FORMATS:
        raise ValueError(f"{file_format} has no place for XMP; use one of {', '.join(FORMATS)}")
    if file_format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(PNG_KEYWORD, packet.decode())
        return {"pnginfo": chunks}
    if file_format == "TIFF":
        tags = Image.Exif()
        tags[TIFF_TAG] = packet
        return {"tiffinfo": tags}
    if file_format in ("JPEG", "MPO") and len(packet) > JPEG_LIMIT:
        raise XmpError(f"XMP packet of {len(packet)} bytes; JPEG holds {JPEG_LIMIT}: shorten it")
    return {"xmp": packet}


def _parse(packet: bytes) -> minidom.Document:
    data = packet.strip(b"\x00 \t\r\n")
    try:
        document = parseString(data, forbid_dtd=True)  # type: ignore[arg-type]
    except DefusedXmlException:
        raise XmpError("XMP packet declares a document type, which XMP does not have") from None
    except (ExpatError, ValueError, LookupError) as error:
        raise XmpError(f"XMP packet is not well-formed XML ({error})") from None
    if not document.getElementsByTagNameNS(RDF, "RDF"):
        raise XmpError("XMP packet holds no rdf:RDF element")
    return document


def _descriptions(document: minidom.Document) -> list[minidom.Element]:
    """Return the top-level rdf:Description elements; nested ones describe something else."""
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    return [
        node
        for node in rdf.childNodes
        if isinstance(node, minidom.Element) and node.namespaceURI == RDF
    ]


def _properties(description: minidom.Element) -> list[minidom.Element]:
    return [
        node
        for node in description.childNodes
        if isinstance(node, minidom.Element)
        and (node.namespaceURI, node.localName) == (IPTC_EXTENSION, PROPERTY)
    ]


def _values(document: minidom.Document) -> list[str]:
    """Return the values of the property in all three forms that RDF allows for it."""
    values = []
    for description in _descriptions(document):
        values.append(description.getAttributeNS(IPTC_EXTENSION, PROPERTY))
        for element in _properties(description):
            text = "".join(getattr(node, "data", "") for node in element.childNodes)
            values += [element.getAttributeNS(RDF, "resource"), text]
    return [value.strip() for value in values if value.strip()]


def _remove(document: minidom.Document) -> None:
    for description in _descriptions(document):
        if description.hasAttributeNS(IPTC_EXTENSION, PROPERTY):
            description.removeAttributeNS(IPTC_EXTENSION, PROPERTY)
        stale = _properties(description)
        for element in stale:
            description.removeChild(element)
        if stale and not description.childNodes and description.parentNode:
            description.parentNode.removeChild(description)


def _insert(document: minidom.Document, value: str) -> None:
    """Add the property in an rdf:Description of its own, which binds its own prefixes."""
    rdf = document.getElementsByTagNameNS(RDF, "RDF")[0]
    about = next((node.getAttributeNS(RDF, "about") for node in _descriptions(document)), "")
    prefix = rdf.prefix or "rdf"
    description = document.createElementNS(RDF, f"{prefix}:Description")
    description.setAttributeNS(XMLNS, f"xmlns:{prefix}", RDF)
    description.setAttributeNS(XMLNS, "xmlns:Iptc4xmpExt", IPTC_EXTENSION)
    description.setAttributeNS(RDF, f"{prefix}:about", about)
    element = document.createElementNS(IPTC_EXTENSION, f"Iptc4xmpExt:{PROPERTY}")
    element.appendChild(document.createTextNode(value))
    description.appendChild(element)
    rdf.appendChild(description)


def _strength(value: str) -> int:
    term = value.removeprefix(VOCABULARY)
    return STRENGTH.index(term) if term in STRENGTH else -1
