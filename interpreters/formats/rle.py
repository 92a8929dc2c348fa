"""Run-length codes: COCO's two and the one that Label Studio's brush writes."""

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Bool
from labelfactory.interpreters.checked_json import checked, field

MAX_PIXELS = 1 << 28  # a 16k x 16k picture; more is a broken file


def decode_coco(data: object, where: str) -> Bool[np.ndarray, "height width"]:
    """A mask from COCO's ``{"size": [height, width], "counts": ...}``.

    ``counts`` are run lengths down the columns, first of the outside; a list, or the compressed text of the COCO API
    (each number in groups of 5 bits, least first, offset 48; from the fourth on the difference to the one two before).
    """
    size = [checked(v, int, f"{where}: size") for v in field(data, "size", list, where)]
    if len(size) != 2 or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{where}: size {size} is not [height, width]")
    assert isinstance(data, dict)
    counts = data.get("counts")
    if isinstance(counts, str):
        runs = _decompress(counts, where)
    elif isinstance(counts, list):
        runs = [checked(v, int, f"{where}: counts") for v in counts]
    else:
        raise InputError(f"{where}: counts is neither a list nor a text")
    height, width = size
    if any(r < 0 for r in runs) or sum(runs) != height * width:
        raise InputError(f"{where}: runs add up to {sum(runs)} pixels; expected {height} x {width} = {height * width}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _decompress(text: str, where: str) -> list[int]:
    runs: list[int] = []
    position = 0
    while position < len(text):
        value = shift = 0
        more = True
        while more:
            if position >= len(text):
                raise InputError(f"{where}: compressed counts end in the middle of a number")
            group = ord(text[position]) - 48
            if not 0 <= group < 64 or shift > 60:
                raise InputError(f"{where}: compressed counts have {text[position]!r} at place {position}")
            value |= (group & 31) << shift
            more = bool(group & 32)
            position, shift = position + 1, shift + 5
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def decode_brush(data: object, height: int, width: int, where: str) -> Bool[np.ndarray, "height width"]:
    """A mask from Label Studio's brush: the alpha channel of an RGBA picture, packed by bits.

    Bytes, most significant bit first: 32 bits count of values, 5 bits word size - 1, four times 4 bits (a size - 1);
    then blocks of 1 bit kind, 2 bits which size, that many bits length - 1, and one word (kind 1: repeated) or as many
    words as the length says.
    (The format of @thi.ng/rle-pack, which Label Studio's browser part uses.)
    """
    if not isinstance(data, list) or not all(isinstance(v, int) and 0 <= v < 256 for v in data):
        raise InputError(f"{where}: rle is not a list of bytes")
    bits = np.unpackbits(np.array(data, dtype=np.uint8))
    end = len(bits)
    position = 0

    def read(size: int) -> int:
        nonlocal position
        if position + size > end:
            raise InputError(f"{where}: rle ends too early")
        value = 0
        for bit in bits[position : position + size].tolist():
            value = value << 1 | bit
        position += size
        return value

    count = read(32)
    if count != height * width * 4:
        raise InputError(
            f"{where}: rle holds {count} values; expected {height} x {width} x 4 (RGBA) = {height * width * 4}"
        )
    word = read(5) + 1
    if word != 8:
        raise InputError(f"{where}: rle has {word} bits a value; expected 8")
    sizes = [read(4) + 1 for _ in range(4)]
    values = np.zeros(count, dtype=np.uint8)
    done = 0
    while done < count:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        if done + length > count:
            raise InputError(f"{where}: rle runs over its own end")
        if repeated:
            values[done : done + length] = read(8)
        else:
            stop = position + 8 * length
            if stop > end:
                raise InputError(f"{where}: rle ends too early")
            values[done : done + length] = np.packbits(bits[position:stop])
            position = stop
        done += length
    return values.reshape(height, width, 4)[..., 3] > 127


BRUSH_SIZES = (3, 4, 8, 16)


def encode_brush(mask: Bool[np.ndarray, "height width"]) -> list[int]:
    """The bytes that ``decode_brush`` and Label Studio read: 255 in all four channels where the mask is set."""
    flat = np.repeat(mask.ravel(), 4)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    parts = [f"{flat.size:032b}", f"{8 - 1:05b}", *(f"{s - 1:04b}" for s in BRUSH_SIZES)]
    for start, total in zip(starts.tolist(), lengths.tolist(), strict=True):
        while total:
            length = min(total, 1 << BRUSH_SIZES[-1])
            which = next(i for i, s in enumerate(BRUSH_SIZES) if length <= 1 << s)
            parts.append(f"1{which:02b}{length - 1:0{BRUSH_SIZES[which]}b}{255 if flat[start] else 0:08b}")
            total -= length
    text = "".join(parts)
    text += "0" * (-len(text) % 8)
    return list(np.packbits(np.frombuffer(text.encode(), dtype=np.uint8) - ord("0")).tolist())
