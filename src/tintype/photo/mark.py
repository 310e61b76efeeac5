"""The mark of a result: XMP that says its colours are made, and what made them."""

from __future__ import annotations

import re
from pathlib import Path

_SOURCE = b"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_EMPTY = (
    b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'></rdf:RDF>"
    b"</x:xmpmeta><?xpacket end='w'?>"
)
_OWN_SOURCE = re.compile(
    rb"(Iptc4xmpExt:DigitalSourceType(?:\s*=|\s+rdf:resource\s*=)\s*[\"']"
    rb"|<Iptc4xmpExt:DigitalSourceType\s*>)[^\"'<]*"
)
_AGENT = b"stEvt:softwareAgent='"
_OWN_HISTORY = re.compile(rb"(<xmpMM:History\b[^>]*?)(?:/>|>(.*?)</xmpMM:History\s*>)", re.DOTALL)


def marked(xmp: bytes | None, maker: str) -> bytes:
    """Return an XMP packet with the mark added.

    It gets the IPTC's word for a picture that a model added something to, and a line of history
    that names the maker. There is no date in it: the same result has the same bytes.

    Args:
        xmp: the packet; None makes one. What is no packet stays as it is.
        maker: program, version and model.
    """
    packet = xmp or _EMPTY
    end = packet.rfind(b"</rdf:RDF")
    if end < 0:
        return packet
    about = re.search(rb"rdf:about\s*=\s*(\"[^\"]*\"|'[^']*')", packet)
    line = (
        b"<rdf:li xmlns:stEvt='http://ns.adobe.com/xap/1.0/sType/ResourceEvent#'"
        b" stEvt:action='edited' stEvt:changed='/' stEvt:parameters='colorized'"
        b" %b%b'/>" % (_AGENT, maker.encode())
    )
    added = b""
    # From the first on only, so that the time grows with the packet, whatever is in it.
    if history := _OWN_HISTORY.match(packet, max(0, packet.find(b"<xmpMM:History"))):
        packet = packet[: history.start()] + _continued(history, line) + packet[history.end() :]
    else:
        added += b"<xmpMM:History><rdf:Seq>%b</rdf:Seq></xmpMM:History>" % line
    if _OWN_SOURCE.search(packet):
        packet = _OWN_SOURCE.sub(lambda match: match[1] + _SOURCE, packet)
    else:
        name = b"Iptc4xmpExt:DigitalSourceType"
        added += b"<%b>%b</%b>" % (name, _SOURCE, name)
    if added:
        end = packet.rfind(b"</rdf:RDF")
        description = (
            b"<rdf:Description rdf:about=%b xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'"
            b" xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>%b</rdf:Description>"
            % (about[1] if about else b"''", added)
        )
        packet = packet[:end] + description + packet[end:]
    return packet


def _continued(history: re.Match[bytes], line: bytes) -> bytes:
    """Return a history with a line behind its last."""
    inside = history[2] or b""
    end = inside.rfind(b"</rdf:")
    if end < 0:  # <rdf:Seq/>, or nothing
        inside = b"<rdf:Seq></rdf:Seq>"
        end = inside.index(b"</")
    return b"%b>%b%b%b</xmpMM:History>" % (history[1], inside[:end], line, inside[end:])


def is_marked(path: Path) -> bool:
    """Return whether a file has the mark of any version: XMP is plain in every format."""
    return _AGENT + b"tintype " in path.read_bytes()
