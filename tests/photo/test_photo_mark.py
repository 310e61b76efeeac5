"""A result says that its colours are made."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import chroma_model

from tintype.cli import main
from tintype.photo import Photo
from tintype.photo.mark import marked
from tintype.runtime.colorizer import Colorizer

KIND = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
SOURCE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
EVENT = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"

OLD = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="uuid:1"
 xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="box 7"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/negativeFilm">
 <xmpMM:History><rdf:Seq><rdf:li stEvt:softwareAgent="scanner"/></rdf:Seq></xmpMM:History>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def said(xmp):
    """The kinds, and the makers of the history."""
    tree = ET.fromstring(xmp)
    kinds = [node.text for node in tree.iter(SOURCE)]
    kinds += [value for node in tree.iter() for name, value in node.items() if name == SOURCE]
    return kinds, [node.get(f"{EVENT}softwareAgent") for node in tree.iter(f"{RDF}li")]


def test_a_packet_is_made_or_extended_and_keeps_what_it_says():
    assert said(marked(None, "us")) == ([KIND], ["us"])
    assert said(marked(OLD, "us")) == ([KIND], ["scanner", "us"])
    assert b'dc:source="box 7"' in marked(OLD, "us")
    assert said(marked(marked(None, "us"), "you")) == ([KIND], ["us", "you"])
    bare = OLD[: OLD.index(b" xmlns:Iptc4xmpExt")] + b"/></rdf:RDF></x:xmpmeta>"
    assert said(marked(bare, "us")) == ([KIND], ["us"])
    abouts = {node.get(f"{RDF}about") for node in ET.fromstring(marked(bare, "us"))[0]}
    assert abouts == {"uuid:1"}
    assert marked(b"no packet", "us") == b"no packet"


@pytest.mark.parametrize(
    "history",
    [
        b"<xmpMM:History><rdf:Seq/></xmpMM:History>",
        b"<xmpMM:History>\n <rdf:Seq></rdf:Seq>\n</xmpMM:History>",
        b"<xmpMM:History></xmpMM:History>",
        b"<xmpMM:History />",
    ],
)
def test_the_mark_goes_into_an_empty_history_and_names_no_creator(history):
    start, end = OLD.index(b"<xmpMM:History>"), OLD.index(b"</rdf:Description>")
    creator = b"<dc:creator><rdf:Seq><rdf:li>Dorothea Lange</rdf:li></rdf:Seq></dc:creator>"
    xmp = marked(OLD[:start] + history + creator + OLD[end:], "us")
    assert creator in xmp
    assert xmp.count(b"<xmpMM:History") == 1
    assert said(xmp) == ([KIND], ["us", None])


def test_a_kind_that_is_a_resource_is_replaced():
    node = b'<Iptc4xmpExt:DigitalSourceType rdf:resource="http://old"/>'
    kind = OLD.index(b" Iptc4xmpExt:Digital"), OLD.index(b">\n <xmpMM:History")
    xmp = marked(OLD[: kind[0]] + b">" + node + OLD[kind[1] + 1 :], "us")
    assert xmp.count(b"DigitalSourceType") == 1
    assert KIND.encode() in xmp


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "webp", "avif"])
@pytest.mark.parametrize("xmp", [None, OLD])
def test_every_format_carries_the_mark(tmp_path, extension, xmp):
    image = Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8))
    image.save(tmp_path / "a.jpg", **({"xmp": xmp} if xmp else {}))
    card = chroma_model(tmp_path)
    colorizer = Colorizer(card.path)
    target = tmp_path / f"out.{extension}"
    Colorizer(card.path).colorize(tmp_path / "a.jpg").save(target)
    found = Photo.open(target).metadata.xmp
    kinds, makers = said(found)
    assert kinds == [KIND]
    assert makers[-1].startswith("tintype ")
    assert makers[-1].endswith("plain.small")
    plain = colorizer.colorize(tmp_path / "a.jpg", mark=False)
    plain.save(tmp_path / f"plain.{extension}")
    found = Photo.open(tmp_path / f"plain.{extension}").metadata.xmp
    assert (found is None) == (xmp is None)
    assert not found or KIND.encode() not in found


def test_the_command_marks_unless_told_not_to(tmp_path, capsys):
    card = chroma_model(tmp_path)
    photo = Path(tmp_path, "a.png")
    Image.linear_gradient("L").save(photo)
    for name, words in (("marked.png", []), ("plain.png", ["--no-mark"])):
        target = tmp_path / name
        assert main(["colorize", str(photo), "-m", str(card.path), "-o", str(target), *words]) == 0
        assert (KIND.encode() in target.read_bytes()) == (name == "marked.png")
    assert capsys.readouterr().err == ""
