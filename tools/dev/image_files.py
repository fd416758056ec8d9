"""Writers of odd image files for make_images_goldens.py: pictures, and PNG, GIF, BMP and TIFF of kinds
that Pillow does not write."""
import io
import struct
import zlib

import numpy as np
from PIL import Image

# ---------------------------------------------------------------------------------------------
# Pictures


def noise(rng, h, w, channels):
    return rng.integers(0, 256, (h, w, channels), dtype=np.uint8)


def gradient(rng, h, w, channels):
    """Slopes, a disc and a little grain: smooth areas and edges."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    out = np.empty((h, w, channels))
    for c in range(channels):
        out[..., c] = 255 * (rng.random() * x / max(w, 2) + rng.random() * y / max(h, 2))
        disc = (x - w * rng.random()) ** 2 + (y - h * rng.random()) ** 2 < (min(h, w) / 4) ** 2
        out[..., c][disc] = 255 * rng.random()
    return np.clip(out + rng.normal(0, 4, out.shape), 0, 255).astype(np.uint8)


def picture(rng, h, w, channels):
    return (noise if rng.random() < 0.3 else gradient)(rng, h, w, channels)


# ---------------------------------------------------------------------------------------------
# PNG of every kind (Pillow writes only some)

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_rows(samples, depth, filters):
    """samples [h, w, channels] as filtered rows; `filters` gives the filter type of each row."""
    h, w, channels = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").reshape(h, -1).view(np.uint8)
    elif depth == 8:
        rows = samples.astype(np.uint8).reshape(h, -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8).reshape(h, -1, 1), axis=2)[:, :, 8 - depth:]
        rows = np.packbits(bits.reshape(h, -1), axis=1)
    bpp = max(1, channels * depth // 8)
    out, above = [], np.zeros(rows.shape[1], int)
    for row in rows.astype(int):
        left = np.concatenate([np.zeros(bpp, int), row[:-bpp]])[:len(row)]
        corner = np.concatenate([np.zeros(bpp, int), above[:-bpp]])[:len(row)]
        p = left + above - corner
        pa, pb, pc = abs(p - left), abs(p - above), abs(p - corner)
        paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, above, corner))
        kind = next(filters)
        predicted = [0 * row, left, above, (left + above) // 2, paeth][kind]
        out.append(bytes([kind]) + ((row - predicted) & 255).astype(np.uint8).tobytes())
        above = row
    return b"".join(out)


def png(rng, samples, color, depth, interlaced=False, before=b"", after=b"", split=None):
    h, w, _ = samples.shape
    filters = iter(lambda: int(rng.integers(0, 5)), None)
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(pack_rows(p, depth, filters) for p in passes if p.size)
    else:
        data = pack_rows(samples, depth, filters)
    data = zlib.compress(data)
    split = split or len(data)
    idat = b"".join(chunk(b"IDAT", data[i:i + split]) for i in range(0, len(data), split))
    head = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + idat + after +
            chunk(b"IEND", b""))


def png_kind(rng, h, w, color, depth, trns=False, interlaced=False, colors=None, **more):
    top = 1 << depth
    if color == 3:
        colors = colors or top
        samples = rng.integers(0, colors, (h, w, 1))
        before = chunk(b"PLTE", rng.integers(0, 256, colors * 3, dtype=np.uint8).tobytes())
        if trns:
            before += chunk(b"tRNS", rng.integers(0, 256, colors, dtype=np.uint8).tobytes())
    else:
        samples = picture(rng, h, w, CHANNELS[color]).astype(int)
        if depth == 16:
            samples = samples * 257 ^ rng.integers(0, 256, samples.shape)
            samples[:, ::3] >>= int(rng.integers(0, 9))
        else:
            samples = samples * (top - 1) // 255
        key = [int(n) for n in samples[rng.integers(h), rng.integers(w)]]
        before = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if trns else b""
    return png(rng, samples, color, depth, interlaced, before + more.pop("before", b""), **more)


# ---------------------------------------------------------------------------------------------
# Orientation blocks


def tiff_block(orientation, big=False, kind=3, before=0):
    e = ">" if big else "<"
    entries = [struct.pack(e + "HHII", 0x010F, 2, 4, 0x41424344)] * before
    value = struct.pack(e + ("HH" if kind == 3 else "I"), *((orientation, 0) if kind == 3 else
                                                            (orientation,)))
    entries.append(struct.pack(e + "HHI", 0x0112, kind, 1) + value)
    return ((b"MM\0*" if big else b"II*\0") + struct.pack(e + "I", 8) +
            struct.pack(e + "H", len(entries)) + b"".join(entries) + bytes(4))


def xmp_packet(orientation):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def itxt(key, text, packed=False):
    body = zlib.compress(text) if packed else text
    return chunk(b"iTXt", key + b"\0" + bytes([packed, 0]) + b"\0\0" + body)


def saved(array, fmt, **options):
    out = io.BytesIO()
    mode = {1: "L", 3: "RGB", 4: options.pop("mode", "RGBA")}[array.shape[2]]
    image = Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())
    image.save(out, fmt, **options)
    return out.getvalue()


def jpeg_with(data, marker, payload):
    """data with one more segment behind SOI."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def without_app(data, marker):
    """data without its first segment `marker`."""
    at = data.index(bytes([0xFF, marker]))
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def palette_image(rng, h, w, colors, palette=None):
    """A P image of `colors` indices."""
    image = Image.fromarray(rng.integers(0, colors, (h, w), dtype=np.uint8), "P")
    palette = rng.integers(0, 256, 3 * colors, dtype=np.uint8) if palette is None else palette
    image.putpalette(palette.tobytes())
    return image


def saved_as(image, fmt, **options):
    out = io.BytesIO()
    image.save(out, fmt, **options)
    return out.getvalue()


# ---------------------------------------------------------------------------------------------
# GIF


def gif(rng, canvas, frame, bits=4, local=None, interlace=False, key=None, colors=None,
        table=None):
    """A GIF with one frame (left, top, width, height); its codes are not compressed: a clear code
    comes before the code size grows."""
    left, top, width, height = frame
    colors = colors or 1 << bits
    pixels = rng.integers(0, colors, (height, width))
    rows = range(height)
    if interlace:
        rows = [y for first, step in ((0, 8), (4, 8), (2, 4), (1, 2))
                for y in range(first, height, step)]
    size = max(bits, 2)
    codes, count = [1 << size], 0
    for value in np.concatenate([pixels[y] for y in rows]):
        codes.append(int(value))
        count += 1
        if count == (1 << size) - 2:
            codes.append(1 << size)
            count = 0
    codes.append((1 << size) + 1)
    packed = sum(c << i * (size + 1) for i, c in enumerate(codes))
    packed = packed.to_bytes((len(codes) * (size + 1) + 7) // 8, "little")
    blocks = b"".join(bytes([len(packed[i:i + 255])]) + packed[i:i + 255]
                      for i in range(0, len(packed), 255))
    colours = lambda: rng.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes()
    table = table if table is not None else b"" if local else colours()
    out = b"GIF89a" + struct.pack("<HHBBB", *canvas, (128 | bits - 1) if table else 0, 0, 0) + table
    if key is not None:
        out += b"!\xf9\4" + struct.pack("<BHB", 1, 0, key) + b"\0"
    flags = (128 | bits - 1 if local else 0) | 64 * interlace
    out += b"," + struct.pack("<HHHHB", left, top, width, height, flags)
    out += colours() if local is True else local or b""
    return out + bytes([size]) + blocks + b"\0;"


# ---------------------------------------------------------------------------------------------
# BMP


def bmp(rng, w, h, bits, header=40, top_down=False, masks=None, palette=None, colors=0, data=None,
        compression=None, at=None):
    """A bitmap with noise for pixels."""
    stride = (w * bits + 31) // 32 * 4
    data = rng.integers(0, 256, stride * h, dtype=np.uint8).tobytes() if data is None else data
    if compression is None:
        compression = 3 if masks else 0
    if header == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, -h if top_down else h, 1, bits, compression,
                           len(data), 2835, 2835, colors, 0)
        inside = struct.pack("<4I", *(masks or (0, 0, 0, 0)))
        head += inside[:max(0, header - 40)] if header >= 52 else b""
        head = head.ljust(header, b"\0")
        if masks and header == 40:
            head += inside[:12]
    if bits <= 8:
        entries = colors or 1 << bits
        palette = rng.integers(0, 256, (3 if header == 12 else 4) * entries,
                               dtype=np.uint8).tobytes() if palette is None else palette
        head += palette
    offset = 14 + len(head) if at is None else at
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, offset) + head + data


def rle8(rng, w, h):
    """Runs, literals, jumps and ends of rows, which cover the whole image."""
    out = b""
    for y in range(h):
        x = 0
        while x < w:
            n = int(min(w - x, rng.integers(1, 9)))
            kind = rng.integers(3)
            if kind == 0 and n >= 3:
                out += bytes([0, n]) + noise(rng, n, 1, 1).tobytes() + bytes(n % 2)
            elif kind == 1 and x + n < w:
                out += bytes([0, 2, n, 0])
            else:
                out += bytes([n, int(rng.integers(256))])
            x += n
        out += bytes([0, 0])
    return out + bytes([0, 1])


def rle4(rng, w, h):
    out = b""
    for y in range(h):
        x = 0
        while x < w:
            n = int(min(w - x, rng.integers(1, 12)))
            if n >= 4 and rng.random() < 0.5:
                size = (n + 1) // 2
                out += bytes([0, n]) + noise(rng, size, 1, 1).tobytes() + bytes(size % 2)
            else:
                out += bytes([n, int(rng.integers(256))])
            x += n
        out += bytes([0, 0])
    return out + bytes([0, 1])


# ---------------------------------------------------------------------------------------------
# TIFF


def tiff(image, **options):
    return saved_as(image, "TIFF", **options)


def raw_tiff(e, w, h, tags, data, strips=1):
    """A TIFF of equal uncompressed strips. tags: {tag: [values]}."""
    size = len(data) // strips
    tags = {256: [w], 257: [h], 259: [1], 273: [8 + i * size for i in range(strips)],
            278: [h if strips == 3 else -(-h // strips)], 279: [size] * strips, **tags}
    at = 8 + len(data) + len(data) % 2
    entries, more = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        values = tags[tag]
        kind = "B" if tag == 700 else "I" if tag in (273, 279) else "H"
        body = struct.pack(f"{e}{len(values)}{kind}", *values)
        number = {"B": 1, "H": 3, "I": 4}[kind]
        entries += struct.pack(e + "HHI", tag, number, len(values))
        if len(body) <= 4:
            entries += body.ljust(4, b"\0")
        else:
            entries += struct.pack(e + "I", start + len(more))
            more += body + bytes(len(body) % 2)
    head = (b"II*\0" if e == "<" else b"MM\0*") + struct.pack(e + "I", at)
    return (head + data + bytes(len(data) % 2) + struct.pack(e + "H", len(tags)) + entries +
            bytes(4) + more)
