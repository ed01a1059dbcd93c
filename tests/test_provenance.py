"""The IPTC mark: written where each format keeps XMP, read back, nothing else lost."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pillow_heif import register_heif_opener

from remint.images import provenance

OLD = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">'
    "<dc:rights><rdf:Alt><rdf:li>Zoë &amp; Ян</rdf:li></rdf:Alt></dc:rights></rdf:Description>"
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>' + " " * 300
).encode()


def saved(file_format: str, packet: bytes) -> Image.Image:
    register_heif_opener()
    buffer = io.BytesIO()
    image = Image.fromarray(np.full((8, 9, 3), 77, np.uint8))
    image.save(buffer, file_format, **provenance.save_options(file_format, packet))
    buffer.seek(0)
    return Image.open(buffer)


@pytest.mark.parametrize("file_format", provenance.FORMATS)
@pytest.mark.parametrize("term", [provenance.RESTORED, provenance.FILLED, provenance.MINTED])
def test_the_mark_survives_each_format_as_the_full_uri(file_format: str, term: str) -> None:
    with saved(file_format, provenance.mark(None, term)) as image:
        found = provenance.source_type(provenance.packet_of(image))
    assert found == f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"


def test_the_mark_is_read_from_a_file_and_absent_in_an_unmarked_one(tmp_path: Path) -> None:
    saved("PNG", provenance.mark(None, "trainedAlgorithmicMedia")).save(tmp_path / "plain.png")
    options = provenance.save_options("PNG", provenance.mark(None, "trainedAlgorithmicMedia"))
    Image.new("L", (4, 4)).save(tmp_path / "marked.png", **options)
    assert provenance.read(tmp_path / "plain.png") is None  # an unsigned mark goes when re-saved
    assert provenance.read(tmp_path / "marked.png") == provenance.uri("trainedAlgorithmicMedia")


def test_what_stood_in_the_packet_stays_and_its_old_source_type_goes() -> None:
    marked = provenance.mark(OLD, "algorithmicallyEnhanced").decode()
    assert "Zoë &amp; Ян" in marked
    assert marked.count("uuid:7") == 2  # all descriptions speak of one thing
    assert "digitalCapture" not in marked
    assert provenance.source_type(marked.encode()) == provenance.uri("algorithmicallyEnhanced")


def test_marking_twice_changes_nothing() -> None:
    once = provenance.mark(OLD, "algorithmicallyEnhanced")
    assert provenance.mark(once, "algorithmicallyEnhanced") == once


@pytest.mark.parametrize("term", [provenance.FILLED, provenance.MINTED])
def test_a_made_image_is_never_called_only_restored(term: provenance.Term) -> None:
    packet = provenance.mark(provenance.mark(OLD, term), "algorithmicallyEnhanced")
    assert provenance.source_type(packet) == provenance.uri(term)


def test_the_value_is_read_from_an_rdf_resource_too() -> None:
    resource = OLD.replace(b'e:DigitalSourceType="', b'e:Other="').replace(
        b"<dc:rights>", b'<e:DigitalSourceType rdf:resource="urn:x"/><dc:rights>'
    )
    assert provenance.source_type(resource) == "urn:x"


@pytest.mark.parametrize(
    "packet",
    [
        b"not xml",
        b"<x/>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><x/>",
        b"\xff\xfe<",
        OLD[:300],
    ],
)
def test_a_broken_packet_is_named_not_guessed_at(packet: bytes) -> None:
    with pytest.raises(provenance.XmpError, match="XMP packet"):
        provenance.mark(packet, "algorithmicallyEnhanced")


@given(st.binary(max_size=60))
def test_any_bytes_are_either_marked_or_refused_with_a_sentence(packet: bytes) -> None:
    try:
        marked = provenance.mark(packet, "trainedAlgorithmicMedia")
    except provenance.XmpError:
        return
    assert provenance.source_type(marked) == provenance.uri("trainedAlgorithmicMedia")


def test_a_packet_too_long_for_a_jpeg_and_a_format_without_xmp_are_refused() -> None:
    with pytest.raises(provenance.XmpError, match="JPEG holds"):
        provenance.save_options("JPEG", b"x" * 70_000)
    with pytest.raises(ValueError, match="BMP has no place"):
        provenance.save_options("BMP", b"x")
