"""CloudWatch in Smithy RPC v2 CBOR, translated to the JSON protocol that moto speaks.

The codec knows what that protocol uses: integers, floats, strings, bytes, lists, maps, booleans, null and
timestamps (tag 1), definite and indefinite lengths.
"""

import calendar
import functools
import struct
from datetime import datetime


class Stamp(float):
    """Seconds since 1970; encoded with tag 1."""


def _head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError("integer too large")


def encode(value):
    """Python data as CBOR."""
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, Stamp):
        return b"\xc1\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return _head(3, len(data)) + data
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    raise TypeError(f"cannot encode {type(value).__name__}")


def decode(data):
    """CBOR as Python data."""
    value, end = _item(data, 0)
    if end != len(data):
        raise ValueError("trailing bytes")
    return value


_BREAK = object()


def _item(data, at):
    first = data[at]
    major, info = first >> 5, first & 31
    at += 1
    if major == 7:
        if info in (20, 21, 22, 23):
            return {20: False, 21: True}.get(info), at
        if info == 31:
            return _BREAK, at
        form = {25: ">e", 26: ">f", 27: ">d"}[info]
        size = struct.calcsize(form)
        return struct.unpack(form, data[at:at + size])[0], at + size
    n = info
    if info in (24, 25, 26, 27):
        size = 1 << (info - 24)
        n, at = int.from_bytes(data[at:at + size], "big"), at + size
    endless = info == 31
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        if endless:
            parts = []
            while True:
                part, at = _item(data, at)
                if part is _BREAK:
                    break
                parts.append(part)
            return (b"" if major == 2 else "").join(parts), at
        raw = data[at:at + n]
        return (raw if major == 2 else raw.decode()), at + n
    if major == 6:
        value, at = _item(data, at)
        return (Stamp(value) if n == 1 else value), at
    items, count = [], 0
    while endless or count < n * (2 if major == 5 else 1):
        value, at = _item(data, at)
        if value is _BREAK:
            break
        items.append(value)
        count += 1
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at


@functools.cache
def model():
    """The service model of CloudWatch."""
    from moto.core.utils import get_service_model

    return get_service_model("cloudwatch")


def shape_out(value, shape):
    """An answer of the JSON protocol with the timestamps marked, by the service model's shape."""
    if value is None or shape is None:
        return value
    kind = shape.type_name
    if kind == "structure":
        return {k: shape_out(v, shape.members[k]) for k, v in value.items() if k in shape.members and v is not None}
    if kind == "list":
        return [shape_out(v, shape.member) for v in value]
    if kind == "map":
        return {k: shape_out(v, shape.value) for k, v in value.items()}
    if kind == "timestamp":
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            value = calendar.timegm(moment.utctimetuple()) + moment.microsecond / 1e6
        return Stamp(value)
    if kind in ("double", "float"):
        return float(value)
    return value


def answer(action, status, parsed):
    """The CBOR body for an answer of the JSON protocol."""
    if status >= 400:
        code = str(parsed.get("__type", "InternalFailure")).split("#")[-1]
        message = parsed.get("message") or parsed.get("Message") or ""
        return encode({"__type": "com.amazonaws.cloudwatch#" + code, "message": message, "Message": message})
    return encode(shape_out(parsed, model().operation_model(action).output_shape))
