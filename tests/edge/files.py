"""Files of every type that Langfuse's UI opens, as a user with the key of a project could upload them."""

import io
import struct
import wave
import zlib

READ_THE_SESSION = (
    "new Image().src='/api/ran';"
    "fetch('/api/auth/session',{credentials:'include'}).then(r=>r.text())"
    ".then(t=>fetch('/api/stolen',{method:'POST',body:t}));"
)
"""The script of an attacker: it reports that it runs, reads the session, and sends it to the API as the user."""

_XHTML = "http://www.w3.org/1999/xhtml"
_SVG = "http://www.w3.org/2000/svg"
_SCRIPT = f"<script><![CDATA[{READ_THE_SESSION}]]></script>"
_RECTANGLE = "<rect width='60' height='40' fill='#0f0'/>"

ACTIVE: dict[str, tuple[str, bytes]] = {
    "html": ("text/html", f"<!doctype html><p>Shown</p><script>{READ_THE_SESSION}</script>".encode()),
    "html-handlers": (
        "text/html",
        f'<!doctype html><p>Shown</p><img src="data:," onerror="{READ_THE_SESSION}">'
        f'<iframe srcdoc="<script>{READ_THE_SESSION}</script>"></iframe>'.encode(),
    ),
    "svg": (
        "image/svg+xml",
        f"<svg xmlns='{_SVG}' width='60' height='40'>{_RECTANGLE}{_SCRIPT}</svg>".encode(),
    ),
    "xml": ("application/xml", f"<html xmlns='{_XHTML}'><body><p>Shown</p>{_SCRIPT}</body></html>".encode()),
    "xhtml": ("application/xhtml+xml", f"<html xmlns='{_XHTML}'><body><p>Shown</p>{_SCRIPT}</body></html>".encode()),
}
"""Files that run a script when they are opened: content type and content by name."""


def _png() -> bytes:
    """A green image of 60 by 40 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\0\xff\0" * 60) * 40
    head = struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _wav() -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000)
    return file.getvalue()


def _pdf() -> bytes:
    """A green page."""
    drawing = b"0 1 0 rg 0 0 300 300 re f"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing),
    ]
    file = b"%PDF-1.4\n"
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Root 1 0 R/Size 5>>\nstartxref\n%d\n%%%%EOF" % len(file)
    return file + b"xref\n0 5\n0000000000 65535 f \n" + table + end


PNG, WAV, PDF = _png(), _wav(), _pdf()

TEXTS: dict[str, tuple[str, bytes]] = {
    "txt": ("text/plain", b"<script>Shown</script>"),
    "json": ("application/json", b'{"Shown": "<script></script>"}'),
    "md": ("text/markdown", b"# Shown"),
    "js": ("application/javascript", f"/* Shown */ {READ_THE_SESSION}".encode()),
}
"""Files that are shown as text."""
