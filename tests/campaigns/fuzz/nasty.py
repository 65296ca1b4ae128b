"""Nasty input that is kept: what fuzzing found, and what was thought of. `test_nasty.py` replays it all."""

from __future__ import annotations

from typing import NamedTuple

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "cut short": b'{"history": ["item-1"',
    "null": b"null",
    "a number": b"7",
    "an empty array": b"[]",
    "an enormous array": b"[" + b"0," * 100_000 + b"0]",
    "an enormous history": b'{"history": [' + b'"x",' * 30_000 + b'"x"]}',
    "an enormous batch": b'{"requests": [' + b"{}," * 30_000 + b"{}]}",
    "many names": b"{" + b",".join(b'"n%d": 0' % n for n in range(10_000)) + b"}",
    "deep arrays": b'{"history": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "deep objects": b'{"attributes": ' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"}",
    "deep in a batch": b'{"items": [' + b"[" * 900 + b"]" * 900 + b"]}",
    "a name twice": b'{"history": [], "history": ["item-1"]}',
    "a name twice, written in two ways": b'{"k": 1, "\\u006b": 2, "history": []}',
    "NaN": b'{"history": [], "diversity": NaN}',
    "Infinity": b'{"history": [], "diversity": -Infinity}',
    "1e400": b'{"history": [], "diversity": 1e400}',
    "1e-400": b'{"history": [], "diversity": 1e-400}',
    "a huge integer": b'{"history": [], "k": 1' + b"0" * 399 + b"}",
    "too huge an integer": b'{"history": [], "k": ' + b"9" * 100_000 + b"}",
    "an integer beyond 64 bits": b'{"item_id": "nasty", "title": "x", "attributes": {"n": 18446744073709551616}}',
    "a huge price": b'{"item_id": "nasty", "title": "x", "price": 1.7976931348623157e308}',
    "a negative zero": b'{"history": [], "diversity": -0.0, "cold_share": -0.0}',
    "a whole k with a point": b'{"history": [], "k": 1.0}',
    "a lone surrogate": b'{"history": ["\\ud800"], "item_id": "\\udfff", "title": "\\ud800"}',
    "surrogates the wrong way round": b'{"item_id": "nasty", "title": "\\udc00\\ud800"}',
    "a surrogate as a name": b'{"history": [], "filter": {"\\ud800": ["\\ud800"]}}',
    "a surrogate in UTF-8": b'{"history": ["\xed\xa0\x80"]}',
    "overlong UTF-8": b'{"history": ["\xc0\xaf"]}',
    "half a character": b'{"history": ["\xe2\x82"]}',
    "beyond Unicode": b'{"history": ["\xf5\x80\x80\x80"]}',
    "a byte order mark": b'\xef\xbb\xbf{"history": []}',
    "UTF-16": '{"history": []}'.encode("utf-16"),
    "a null byte": b'{"history": ["\\u0000"], "item_id": "\\u0000", "title": "\\u0000"}',
    "a raw null byte": b'{"history": ["\x00"]}',
    "a null byte in a value": b'{"item_id": "nasty", "title": "x", "attributes": {"b\\u0000": ["\\u0000"]}}',
    "no characters": b'{"item_id": "nasty", "title": "\\ufffe\\uffff\\ufdd0"}',
    "right to left": '{"item_id": "nasty", "title": "\u202e\u2066 x \u200b\u200d"}'.encode(),
    "many combining marks": ('{"item_id": "nasty", "title": "a' + "\u0301" * 5000 + '"}').encode(),
    "a comment": b'{"history": [] /* none */}',
    "a comma too many": b'{"history": [],}',
    "two values": b'{"history": []}{"history": []}',
    "a template": b'{"item_id": "nasty", "title": "${jndi:ldap://x} {{7*7}} %s%n \' OR 1=1 --"}',
    "prototypes": b'{"__proto__": {"k": 1}, "constructor": {}, "history": []}',
}

IDS = (
    ".", "..", "/", "//", "a/..", "../../etc/passwd", "a/./b", "%", "%2F", "%25", "%00", "%zz", "a?b",
    "a#b", "a;b", "a&b=c",
    "a\\b", "similar", "a/similar", "export", "batch", "a b", "\u00fc/\u20ac", "\U0001f9fc", "e\u0301", "\u00e9",
    "\u200b", "\ufeff",
    "x" * 256, "\u00fc" * 256, "null", "0", "-1", "1e400", "'; DROP TABLE items; --", "$ref",
    "__class__", "constructor",
    "kindred_x_" + "0" * 64, "\uffff", "\u202egnp.exe",
)  # fmt: skip
"""Ids that can be registered: each has to live and to die like any other."""

REFUSED_IDS = (
    "",
    " ",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "x" * 257,
    "\x1b[31m",
    "\r\nX-Injected: 1",
)

NO_UTF_8 = ("caf%E9", "caf%E8", "%ff", "%C3", "%ed%a0%80", "%c0%af", "%f5%80%80%80", "a/%e9/b")
"""Ids in paths that would all be the same few, were they repaired: as they stand in the path."""

_HEAD = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_BODY = b'{"history": ["item-1"], "k": 1}'
_GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
_SMUGGLED = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


class Raw(NamedTuple):
    """Bytes of one connection, and the statuses of the answers, in order."""

    sent: bytes
    statuses: tuple[int, ...]


def _sized(body: bytes, *lengths: bytes) -> bytes:
    return _HEAD + b"".join(b"Content-Length: %s\r\n" % length for length in lengths) + b"\r\n" + body


def _chunked(chunks: bytes, coding: bytes = b"chunked") -> bytes:
    return _HEAD + b"Transfer-Encoding: %s\r\n\r\n" % coding + chunks


_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_BODY), _BODY)
_LENGTH = b"%d" % len(_BODY)

RAW: dict[str, Raw] = {
    "a good request": Raw(_sized(_BODY, _LENGTH), (200,)),
    "a good request in chunks": Raw(_chunked(_CHUNK), (200,)),
    "two requests at once": Raw(_sized(_BODY, _LENGTH) + _chunked(_CHUNK), (200, 200)),
    "no method": Raw(b" / HTTP/1.1\r\n\r\n", (400,)),
    "an unknown method": Raw(b"BREW /items HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "an unknown version": Raw(b"GET /livez HTTP/7.3\r\nHost: x\r\n\r\n", (400,)),
    "HTTP/2": Raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    "HTTP/0.9": Raw(b"GET /livez\r\n\r\n", (200,)),
    "HTTP/1.0": Raw(b"GET /livez HTTP/1.0\r\n\r\n", (200,)),
    "TLS": Raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, (400,)),
    "null bytes": Raw(b"\x00" * 100, (400,)),
    "every byte": Raw(bytes(range(256)) * 10, (400,)),
    "any resource": Raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", (404,)),
    "a tunnel": Raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "a whole URL": Raw(b"GET http://example.org/livez HTTP/1.1\r\nHost: x\r\n\r\n", (200,)),
    "a path without a slash": Raw(b"GET livez HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "a path in UTF-8": Raw(b"GET /items/\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "a null byte in a path": Raw(b"GET /items/\x00 HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "a cut escape": Raw(b"GET /items/%e2%82% HTTP/1.1\r\nHost: x\r\n\r\n", (422,)),
    "a blank in a path": Raw(b"GET /items/a b HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    "a header without a name": Raw(_GET + b": x\r\n\r\n", (400,)),
    "a header without a colon": Raw(_GET + b"nonsense\r\n\r\n", (400,)),
    "a blank before the colon": Raw(_GET + b"Content-Length : 0\r\n\r\n", (400,)),
    "a folded header": Raw(_GET + b"X-A: a\r\n b\r\n\r\n", (400,)),
    "a null byte in a header": Raw(_GET + b"X-A: a\x00b\r\n\r\n", (400,)),
    "a bare line feed": Raw(b"GET /livez HTTP/1.1\nHost: x\n\n", (400,)),
    "a bare carriage return": Raw(_GET + b"X-A: a\rb: c\r\n\r\n", (400,)),
    "a request id with colours": Raw(_GET + b"X-Request-ID: \xff\x1b[31m\r\n\r\n", (400,)),
    "a request id in Latin-1": Raw(_GET + b"X-Request-ID: \xe9\r\n\r\n", (200,)),
    "many headers": Raw(_GET + b"".join(b"X-%d: y\r\n" % n for n in range(4000)) + b"\r\n", (200,)),
    "too many headers": Raw(_GET + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n", (431,)),
    "too long a header": Raw(_GET + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n", (431,)),
    "too long a path": Raw(b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (431,)),
    "a header without an end": Raw(_GET + b"X-Long: " + b"x" * 200_000, (431,)),
    "no length": Raw(_HEAD + b"\r\n" + _BODY, (400,)),
    "a negative length": Raw(_sized(_BODY, b"-1"), (400,)),
    "a length with a sign": Raw(_sized(_BODY, b"+31"), (400,)),
    "a length in hexadecimal": Raw(_sized(_BODY, b"0x1f"), (400,)),
    "a length with a point": Raw(_sized(_BODY, b"31.0"), (400,)),
    "a length in words": Raw(_sized(_BODY, b"many"), (400,)),
    "a length beyond 64 bits": Raw(_sized(_BODY, b"9" * 30), (400,)),
    "an empty length": Raw(_sized(_BODY, b""), (400,)),
    "a length of several": Raw(_sized(_BODY, b"31, 31"), (400,)),
    "a length twice": Raw(_sized(_BODY, _LENGTH, _LENGTH), (400,)),
    "two lengths": Raw(_sized(_BODY, _LENGTH, b"5"), (400,)),
    "too short a length": Raw(_sized(_BODY, b"5"), (400,)),
    "too large a length": Raw(_sized(_BODY, b"100000000"), (413,)),
    "a length and chunks": Raw(_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNK, (400,)),
    "chunks and a length, another request inside": Raw(
        _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + _SMUGGLED, (400,)
    ),
    "chunks of chunks": Raw(_chunked(_CHUNK, b"chunked, chunked"), (400,)),
    "chunks in disguise": Raw(_chunked(_CHUNK, b"xchunked") + _SMUGGLED, (400,)),
    "an unknown coding": Raw(_chunked(_CHUNK, b"gzip"), (400,)),
    "chunks that are not last": Raw(_chunked(_CHUNK, b"chunked, identity"), (400,)),
    "a chunk size that is none": Raw(_chunked(b"zz\r\n" + _BODY), (400,)),
    "a negative chunk size": Raw(_chunked(b"-5\r\n" + _BODY), (400,)),
    "a chunk size beyond 64 bits": Raw(_chunked(b"f" * 17 + b"\r\n" + _BODY), (400,)),
    "a chunk longer than it says": Raw(_chunked(b"5\r\n" + _BODY + b"\r\n0\r\n\r\n"), (400,)),
    "an empty chunk size": Raw(_chunked(b"\r\n" + _BODY), (400,)),
    "an endless chunk extension": Raw(_chunked(b"5;" + b"x" * 600_000), (431,)),
    "a length as a trailer": Raw(_chunked(b"%x\r\n%s\r\n0\r\nContent-Length: 7\r\n\r\n" % (len(_BODY), _BODY)), (400,)),
    "an upgrade": Raw(_GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", (200,)),
    "an upgrade to HTTP/2": Raw(_GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", (200,)),
    "garbage after a request": Raw(_sized(_BODY, _LENGTH) + b"\x00\x01\x02", (400,)),
    "an expectation": Raw(_HEAD + b"Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n", (413,)),
    "a method in a header": Raw(b"GET /items HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: DELETE\r\n\r\n", (200,)),
}
