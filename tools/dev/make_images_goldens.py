#!/usr/bin/env python3
"""Makes tests/golden/images: odd image files and the pixel values that transformers gives for them
(and seeds for tests/fuzz).

    make_images_goldens.py                                   write the goldens
    make_images_goldens.py --random N --program PATH         compare N random images with PATH
    make_images_goldens.py --damage N --program PATH         compare N damaged ones: error or pixels
                                                             [--seed S]

The reference is transformers' load_image (EXIF, RGB) + SiglipImageProcessorPil, whose do_convert_rgb
is true by default; images with a transparent colour are made with null, false and true. Made with
Python 3.11, Pillow 13.0.0, transformers 5.23.0, numpy 2.4.6; all images are drawn here from seeds. PATH is
tests/images/print_pixels, which reads `HEIGHT WIDTH RESAMPLE PATH` lines and answers each with the
SHA-256 of the float32 pixel values, or `error: ...`.
"""
import argparse
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

import numpy as np
import PIL
import transformers
from PIL import Image, ImageFile
from transformers.image_utils import load_image
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from image_files import (bmp, chunk, gif, gradient, itxt, jpeg_with, noise, palette_image, picture,
                         png, png_kind, raw_tiff, rle4, rle8, saved, saved_as, tiff, tiff_block,
                         without_app, xmp_packet, CHANNELS)

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
GOLDEN = TESTS / "golden" / "images"
SEED = 20261121
BICUBIC = 3
warnings.simplefilter("ignore")
ImageFile.MAXBLOCK = 1 << 24  # room for the JPEG encoder's optimize and progressive

# ---------------------------------------------------------------------------------------------
# The committed images


def png_files(rng):
    yield "bit1.png", png_kind(rng, 19, 37, 0, 1)
    yield "grey2.png", png_kind(rng, 23, 31, 0, 2)
    yield "grey4.png", png_kind(rng, 23, 31, 0, 4, trns=True)
    yield "grey8.png", png_kind(rng, 40, 33, 0, 8)
    yield "grey16.png", png_kind(rng, 30, 41, 0, 16)
    yield "pal1.png", png_kind(rng, 21, 29, 3, 1)
    yield "pal2_trns.png", png_kind(rng, 21, 29, 3, 2, trns=True)
    yield "pal4.png", png_kind(rng, 21, 29, 3, 4, colors=11)
    yield "pal8.png", png_kind(rng, 35, 30, 3, 8)
    yield "pal8_trns.png", png_kind(rng, 35, 30, 3, 8, trns=True, colors=100)
    samples = rng.integers(0, 256, (20, 20, 1))
    short = chunk(b"PLTE", rng.integers(0, 256, 30, dtype=np.uint8).tobytes())
    yield "pal8_short.png", png(rng, samples, 3, 8, before=short)
    for name, color, depth, trns in (("grey8_key", 0, 8, b"\0\7"), ("grey4_key", 0, 4, b"\0\x11"),
                                     ("bit1_key", 0, 1, b"\0\0"),
                                     ("grey16_key", 0, 16, b"\1\0"),
                                     ("rgb8_key", 2, 8, b"\0\1\0\2\0\0"),
                                     ("rgb16_key", 2, 16, b"\0\1\0\2\0\0")):
        samples = rng.integers(0, min(1 << depth, 12), (20, 25, CHANNELS[color]))
        samples *= {0: 1, 2: 1 + 255 * (depth == 16)}[color]
        yield f"{name}.png", png(rng, samples, color, depth, before=chunk(b"tRNS", trns))
    for name, trns in (("first", b"\0"), ("third", b"\xff\xff\0\xff"),
                       ("newline", b"\xff\0\xff\n"), ("two", b"\0\0"),
                       ("beyond", b"\xff" * 12 + b"\0")):
        palette = chunk(b"PLTE", rng.integers(0, 256, 30, dtype=np.uint8).tobytes())
        yield f"pal8_key_{name}.png", png(rng, rng.integers(0, 14, (16, 16, 1)), 3, 8,
                                          before=palette + chunk(b"tRNS", trns))
    yield "la8.png", png_kind(rng, 30, 30, 4, 8)
    yield "la16.png", png_kind(rng, 20, 30, 4, 16)
    yield "rgb8.png", png_kind(rng, 45, 60, 2, 8, split=100)
    yield "rgb8_trns.png", png_kind(rng, 20, 25, 2, 8, trns=True)
    yield "rgb16.png", png_kind(rng, 20, 25, 2, 16)
    yield "rgba8.png", png_kind(rng, 33, 47, 6, 8)
    yield "rgba16.png", png_kind(rng, 20, 25, 6, 16)
    yield "interlaced_bit1.png", png_kind(rng, 19, 37, 0, 1, interlaced=True)
    yield "interlaced_pal4.png", png_kind(rng, 3, 5, 3, 4, interlaced=True)
    yield "interlaced_rgb8.png", png_kind(rng, 33, 29, 2, 8, interlaced=True)
    yield "interlaced_rgba16.png", png_kind(rng, 9, 2, 6, 16, interlaced=True)
    yield "interlaced_1x1.png", png_kind(rng, 1, 1, 0, 16, interlaced=True)
    frames = [Image.fromarray(picture(rng, 24, 24, 3)) for _ in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    yield "animated.png", out.getvalue()
    yield "exif6.png", png_kind(rng, 20, 31, 2, 8, before=chunk(b"eXIf", tiff_block(6)))
    yield "exif8_late.png", png_kind(rng, 20, 31, 2, 8, after=chunk(b"eXIf", tiff_block(8, True)))
    yield "xmp5.png", png_kind(rng, 20, 31, 2, 8,
                               before=itxt(b"XML:com.adobe.xmp", xmp_packet(5)))
    yield "xmp7_packed.png", png_kind(rng, 20, 31, 2, 8, after=itxt(b"XML:com.adobe.xmp",
                                                                    xmp_packet(7), True))
    raw = b"\nexif\n      26\n" + (b"Exif\0\0" + tiff_block(3)).hex().encode() + b"\n"
    yield "rawprofile3.png", png_kind(rng, 20, 31, 2, 8, before=chunk(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)))


def jpeg_files(rng):
    yield "grey.jpg", saved(picture(rng, 50, 41, 1), "JPEG")
    for name, sub in (("444", 0), ("422", 1), ("420", 2), ("411", "4:1:1")):
        yield f"rgb{name}.jpg", saved(gradient(rng, 61, 83, 3), "JPEG", subsampling=sub, quality=85)
    yield "progressive.jpg", saved(gradient(rng, 70, 59, 3), "JPEG", progressive=True)
    yield "restart.jpg", saved(gradient(rng, 40, 59, 3), "JPEG", restart_marker_blocks=2)
    yield "rgb_adobe.jpg", saved(gradient(rng, 40, 40, 3), "JPEG", keep_rgb=True)
    cmyk = saved(gradient(rng, 44, 39, 4), "JPEG", mode="CMYK", quality=90)
    yield "cmyk.jpg", cmyk
    at = cmyk.index(b"Adobe")
    yield "ycck.jpg", cmyk[:at + 11] + b"\2" + cmyk[at + 12:]
    yield "cmyk_no_adobe.jpg", without_app(cmyk, 0xEE)
    base = gradient(rng, 24, 37, 3)
    for o in range(1, 9):
        block = b"Exif\0\0" + tiff_block(o, o % 2 == 0, 4 if o in (3, 6) else 3, o % 3)
        yield f"exif{o}.jpg", saved(base, "JPEG", exif=block)
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(6)
    yield "xmp6.jpg", jpeg_with(saved(base, "JPEG"), 0xE1, xmp)
    yield "big.jpg", saved(gradient(rng, 480, 640, 3), "JPEG", quality=60)


def webp_files(rng):
    yield "lossy.webp", saved(gradient(rng, 65, 87, 3), "WEBP", quality=70)
    yield "lossless.webp", saved(picture(rng, 40, 51, 3), "WEBP", lossless=True)
    yield "lossy_alpha.webp", saved(gradient(rng, 45, 37, 4), "WEBP", quality=60)
    yield "lossless_alpha.webp", saved(gradient(rng, 30, 37, 4), "WEBP", lossless=True)
    exif = b"Exif\0\0" + tiff_block(6)
    yield "exif6.webp", saved(gradient(rng, 30, 37, 3), "WEBP", exif=exif)
    yield "xmp3.webp", saved(gradient(rng, 30, 37, 3), "WEBP", xmp=xmp_packet(3))
    frames = [Image.fromarray(picture(rng, 32, 32, 4), "RGBA") for _ in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    yield "animated.webp", out.getvalue()


def gif_files(rng):
    plain = palette_image(rng, 33, 45, 200)
    yield "pal8.gif", saved_as(plain, "GIF")
    yield "pal8_key.gif", saved_as(plain, "GIF", transparency=7)
    yield "picture.gif", saved_as(Image.fromarray(gradient(rng, 60, 80, 3)).quantize(64), "GIF")
    yield "interlaced.gif", saved_as(palette_image(rng, 37, 21, 9), "GIF", interlace=1)
    yield "interlaced_3rows.gif", gif(rng, (5, 3), (0, 0, 5, 3), interlace=True)
    yield "grey.gif", saved_as(Image.fromarray(noise(rng, 30, 41, 1)[..., 0]), "GIF")
    yield "grey_key.gif", saved_as(Image.fromarray(noise(rng, 30, 41, 1)[..., 0]), "GIF",
                                   transparency=9)
    frames = [palette_image(rng, 24, 31, 50) for _ in range(3)]
    yield "animated.gif", saved_as(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "bit1.gif", gif(rng, (9, 7), (0, 0, 9, 7), bits=1)
    yield "local.gif", gif(rng, (20, 22), (0, 0, 20, 22), local=True)
    yield "inside.gif", gif(rng, (20, 22), (3, 4, 10, 11))
    yield "inside_key.gif", gif(rng, (20, 22), (3, 4, 10, 11), key=5)
    yield "over_edge.gif", gif(rng, (8, 9), (3, 4, 10, 11), key=2)
    yield "no_palette.gif", gif(rng, (20, 22), (0, 0, 20, 22), bits=8, table=b"")
    yield "key_beyond.gif", gif(rng, (20, 22), (1, 1, 18, 20), key=100)
    yield "comment.gif", gif(rng, (20, 22), (0, 0, 20, 22))[:-1].replace(
        b",\0\0\0\0\x14", b"!\xfe\3abc\2de\0,\0\0\0\0\x14", 1) + b";"


def bmp_files(rng):
    yield "rgb24.bmp", saved(gradient(rng, 31, 45, 3), "BMP")
    yield "rgba32.bmp", saved(gradient(rng, 20, 27, 4), "BMP")
    yield "grey.bmp", saved(picture(rng, 20, 27, 1), "BMP")
    yield "bit1.bmp", saved_as(Image.fromarray(noise(rng, 20, 27, 1)[..., 0]).convert("1"), "BMP")
    for bits in (1, 4, 8, 16, 24, 32):
        yield f"bits{bits}.bmp", bmp(rng, 19, 13, bits)
    yield "os2_8.bmp", bmp(rng, 19, 13, 8, header=12)
    yield "os2_24.bmp", bmp(rng, 19, 13, 24, header=12)
    yield "top_down.bmp", bmp(rng, 19, 13, 24, top_down=True)
    yield "pal8_short.bmp", bmp(rng, 19, 13, 8, colors=100)
    yield "pal4_at_palette.bmp", bmp(rng, 19, 13, 4, at=54)
    yield "rgb565.bmp", bmp(rng, 19, 13, 16, masks=(0xF800, 0x7E0, 0x1F, 0))
    yield "rgb555.bmp", bmp(rng, 19, 13, 16, masks=(0x7C00, 0x3E0, 0x1F, 0))
    yield "v5_bgra.bmp", bmp(rng, 19, 13, 32, header=124, masks=(0xFF0000, 0xFF00, 0xFF,
                                                                0xFF000000))
    yield "v4_rgba.bmp", bmp(rng, 19, 13, 32, header=108, masks=(0xFF, 0xFF00, 0xFF0000,
                                                                0xFF000000))
    yield "v3_xbgr.bmp", bmp(rng, 19, 13, 32, header=56, masks=(0xFF000000, 0xFF0000, 0xFF00, 0))
    yield "v2_bgxr.bmp", bmp(rng, 19, 13, 32, header=52, masks=(0xFF000000, 0xFF00, 0xFF, 0))
    yield "rle8.bmp", bmp(rng, 23, 14, 8, data=rle8(rng, 23, 14), compression=1)
    yield "rle4.bmp", bmp(rng, 23, 14, 4, data=rle4(rng, 23, 14), compression=2)


def tiff_files(rng):
    rgb = Image.fromarray(gradient(rng, 40, 53, 3))
    grey = Image.fromarray(picture(rng, 33, 29, 1)[..., 0])
    yield "rgb.tiff", tiff(rgb)
    for name, compression in (("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"),
                              ("packbits", "packbits")):
        yield f"rgb_{name}.tiff", tiff(rgb, compression=compression)
        yield f"grey_{name}.tiff", tiff(grey, compression=compression)
    yield "rgb_predictor.tiff", tiff(rgb, compression="tiff_lzw", tiffinfo={317: 2})
    yield "rgb_strips.tiff", tiff(rgb, compression="tiff_lzw", strip_size=500)
    yield "jpeg.tiff", tiff(rgb, compression="jpeg", quality=85)
    yield "grey_jpeg.tiff", tiff(grey, compression="jpeg", quality=85)
    yield "jpeg_ycbcr.tiff", tiff(rgb.convert("YCbCr"), compression="jpeg", quality=85)
    yield "group4.tiff", tiff(grey.convert("1"), compression="group4")
    yield "group3.tiff", tiff(grey.convert("1"), compression="group3")
    yield "bit1.tiff", tiff(grey.convert("1"))
    yield "pal8.tiff", tiff(palette_image(rng, 21, 30, 256))
    yield "pal8_lzw.tiff", tiff(palette_image(rng, 21, 30, 256), compression="tiff_lzw")
    yield "rgba.tiff", tiff(Image.fromarray(gradient(rng, 21, 30, 4), "RGBA"),
                            compression="tiff_lzw")
    yield "la.tiff", tiff(Image.fromarray(noise(rng, 21, 30, 2), "LA"), compression="tiff_lzw")
    yield "cmyk.tiff", tiff(Image.fromarray(gradient(rng, 21, 30, 4), "CMYK"))
    yield "cmyk_lzw.tiff", tiff(Image.fromarray(gradient(rng, 21, 30, 4), "CMYK"),
                                compression="tiff_lzw")
    deep = rng.integers(0, 600, (21, 30), dtype=np.uint16)
    yield "grey16.tiff", tiff(Image.fromarray(deep), compression="tiff_lzw")
    pages = [Image.fromarray(gradient(rng, 20, 23, 3)) for _ in range(2)]
    yield "pages.tiff", tiff(pages[0], save_all=True, append_images=pages[1:])
    for o in (3, 6):
        yield f"turned{o}.tiff", tiff(rgb, compression="tiff_lzw", tiffinfo={274: o})
    for e in "<>":
        name = "ii" if e == "<" else "mm"
        def make(kind, photo, bits, data, strips=1, **tags):
            tags = {262: [photo], 258: bits, 277: [len(bits)],
                    **{int(k[1:]): v for k, v in tags.items()}}
            return f"{name}_{kind}.tiff", raw_tiff(e, 13, 9, tags, data.tobytes(), strips)
        bytes_of = lambda n: rng.integers(0, 256, n, dtype=np.uint8)
        for bits in (1, 2, 4, 8):
            size = (13 * bits + 7) // 8 * 9
            yield make(f"grey{bits}", 1, [bits], bytes_of(size))
            yield make(f"white{bits}", 0, [bits], bytes_of(size))
            yield make(f"pal{bits}", 3, [bits], bytes_of(size), t320=[
                int(v) for v in rng.integers(0, 65536, 3 << bits)])
        words = lambda n: rng.integers(0, 65536, n, dtype=np.uint16)
        yield make("grey16", 1, [16], rng.integers(0, 400, 117, dtype=np.uint16).astype(e + "u2"))
        yield make("rgb16", 2, [16] * 3, words(351).astype(e + "u2"))
        yield make("rgba16", 2, [16] * 4, words(468).astype(e + "u2"), t338=[2])
        yield make("rgba16_premultiplied", 2, [16] * 4, words(468).astype(e + "u2"), t338=[1])
        yield make("cmyk16", 5, [16] * 4, words(468).astype(e + "u2"))
        yield make("rgba8_premultiplied", 2, [8] * 4, bytes_of(468), t338=[1])
        yield make("rgbx8", 2, [8] * 4, bytes_of(468), t338=[0])
        yield make("rgba8_unsaid", 2, [8] * 4, bytes_of(468))
        yield make("rgb_planes", 2, [8] * 3, bytes_of(351), strips=3, t284=[2])
        yield make("rgb_rows", 2, [8] * 3, bytes_of(351), strips=9)
        yield make("signed8", 1, [8], bytes_of(117), t339=[2])
        yield make("turned8", 2, [8] * 3, bytes_of(351), t274=[8])
        yield make("xmp5", 2, [8] * 3, bytes_of(351), t700=list(xmp_packet(5)))


def size_files(rng):
    for w, h in ((1, 1), (2, 1), (1, 300), (3, 200), (200, 3), (30, 3100), (3100, 30), (28, 28),
                 (56, 224), (5, 90)):
        yield f"size_{w}x{h}.png", saved(gradient(rng, h, w, 3), "PNG", optimize=True)


def hostile_files(rng):
    """Files that Pillow refuses, and other formats that only we refuse."""
    head = struct.pack(">IIBBBBB", 100000, 100000, 1, 0, 0, 0, 0)
    yield "bomb.png", (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
                       chunk(b"IDAT", zlib.compress(bytes(12501 * 8))) + chunk(b"IEND", b""))
    data = saved(noise(rng, 8, 8, 3), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    yield "bomb.jpg", data[:at] + b"\xff\xdc\xff\xdc" + data[at + 4:]
    data = bytearray(saved(noise(rng, 8, 8, 4), "WEBP", lossless=True, xmp=xmp_packet(1)))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\x9f\x86\x01" * 2
    yield "bomb.webp", bytes(data)
    yield "no_end_marker.jpg", saved(gradient(rng, 20, 20, 3), "JPEG")[:-2]
    yield "empty.png", b""
    yield "text.png", b"this is not an image, whatever its name says\n"
    yield "magic_only.png", b"\x89PNG\r\n\x1a\n"
    yield "magic_only.jpg", b"\xff\xd8\xff"
    yield "magic_only.webp", b"RIFF\x10\0\0\0WEBPVP8 "
    data = png_kind(rng, 5, 5, 2, 8)
    yield "zero_width.png", data[:16] + bytes(4) + data[20:29] + struct.pack(
        ">I", zlib.crc32(data[12:16] + bytes(4) + data[20:29])) + data[33:]
    yield "bad_header_crc.png", data[:29] + bytes(4) + data[33:]
    yield "other.avif", saved(noise(rng, 8, 8, 3), "AVIF")
    yield "other.jp2", saved(noise(rng, 8, 8, 3), "JPEG2000")
    yield "other.ico", saved(noise(rng, 16, 16, 3), "ICO")
    yield "other.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    yield "other.html", b"<!DOCTYPE html>\n<html><body>404</body></html>\n"
    yield "other.pdf", saved(noise(rng, 8, 8, 3), "PDF")
    for name, head in (("heic", b"\0\0\0\x18ftypheic"), ("jxl", b"\xff\x0a"), ("psd", b"8BPS\0\1"),
                       ("tga", b"\0\0\2\0\0\0\0\0"), ("ppm", b"P6\n")):
        yield f"other.{name}", head + bytes(40)
    yield "bomb.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + (
        b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0;")
    data = bytearray(saved(noise(rng, 4, 4, 3), "BMP"))
    data[18:26] = struct.pack("<II", 100000, 100000)
    yield "bomb.bmp", bytes(data)
    yield "bomb.tiff", raw_tiff("<", 60000, 60000, {262: [1], 258: [8], 277: [1]}, bytes(40))
    yield "short_rle.bmp", bmp(rng, 9, 9, 8, data=rle8(rng, 9, 4), compression=1)
    yield "float.tiff", tiff(Image.fromarray(noise(rng, 8, 8, 1)[..., 0]).convert("F"))


# ---------------------------------------------------------------------------------------------
# The reference


def reference(path, height, width, resample=BICUBIC, **settings):
    """float32 [3, height, width], or None where transformers fails."""
    processor = SiglipImageProcessorPil(size={"height": height, "width": width}, resample=resample,
                                        **settings)
    assert processor.backend == "pil"
    try:
        image = load_image(str(path))
    except Exception:
        return None
    values = np.asarray(processor(images=image, return_tensors="np")["pixel_values"])
    assert values.dtype == np.float32 and values.shape == (1, 3, height, width)
    return values[0]


def sha(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def cuts_of(data, rng):
    """Lengths to cut a file to: every kind of place, the last 24 bytes all."""
    some = rng.integers(1, len(data), 12)
    return sorted({int(n) for n in some} | set(range(max(1, len(data) - 24), len(data))))


def write_goldens():
    rng = np.random.default_rng(SEED)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    sizes = [(28, 28, BICUBIC), (56, 56, BICUBIC), (224, 224, BICUBIC), (30, 44, BICUBIC)]
    cases, cuts, refused = [], [], []
    good = [f for make in (png_files, jpeg_files, webp_files, size_files, gif_files, bmp_files,
                           tiff_files) for f in make(rng)]
    for name, data in good:
        (GOLDEN / name).write_bytes(data)
        more = [(50, 33, r) for r in (0, 1, 2, 4, 5)] if name in (
            "rgb8.png", "rgb420.jpg", "size_3x200.png", "size_5x90.png", "lossless.webp") else []
        for h, w, resample in sizes + more:
            values = reference(GOLDEN / name, h, w, resample)
            assert values is not None, name
            cases.append({"image": name, "height": h, "width": w, "resample": resample,
                          "sha256": sha(values)})
        if "transparency" in load_image(str(GOLDEN / name)).info or name in (
                "rgba8.png", "la8.png", "pal8_trns.png", "lossy_alpha.webp", "rgba.tiff"):
            for convert in (None, False, True):
                values = reference(GOLDEN / name, 28, 28, do_convert_rgb=convert)
                cases.append({"image": name, "height": 28, "width": 28, "resample": BICUBIC,
                              "do_convert_rgb": convert, "sha256": sha(values)})
    for name in ("rgb8.png", "interlaced_rgb8.png", "grey16.png", "rgb420.jpg", "progressive.jpg",
                 "lossy.webp", "lossless_alpha.webp", "picture.gif", "rgb24.bmp", "rle8.bmp"):
        data = (GOLDEN / name).read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            for n in cuts_of(data, rng):
                path = pathlib.Path(folder) / name
                path.write_bytes(data[:n])
                values = reference(path, 28, 28)
                cuts.append({"image": name, "bytes": n,
                             "sha256": None if values is None else sha(values)})
    for name, data in hostile_files(rng):
        (GOLDEN / name).write_bytes(data)
        if not name.startswith("other.") and name != "float.tiff":
            assert reference(GOLDEN / name, 28, 28) is None, name
        refused.append(name)
    for name in ("rgb8.png", "exif6.jpg", "lossy.webp"):
        stem = name.replace(".", "_")
        np.savez(GOLDEN / f"{stem}.28x28.npz", pixel_values=reference(GOLDEN / name, 28, 28)[None])
    write_corpora()
    (GOLDEN / "expected.json").write_text(json.dumps({
        "made_by": "tools/dev/make_images_goldens.py",
        "versions": {"pillow": PIL.__version__, "transformers": transformers.__version__,
                     "numpy": np.__version__},
        "seed": SEED, "cases": cases, "cuts": cuts, "refused": refused}, indent=0) + "\n")
    print(f"{len(good)} images, {len(cases)} cases, {len(cuts)} cuts, {len(refused)} refused")


def write_corpora():
    """Seeds for tests/fuzz/fuzz_image.c and fuzz_npz.c."""
    for name in ("bit1.png", "pal4.png", "pal8_key_third.png", "rgba16.png", "xmp7_packed.png",
                 "rawprofile3.png", "interlaced_bit1.png", "interlaced_rgba16.png", "grey.jpg",
                 "exif6.jpg", "progressive.jpg", "restart.jpg", "ycck.jpg", "lossy.webp",
                 "lossy_alpha.webp", "exif6.webp", "animated.webp", "bomb.png", "bomb.webp",
                 "animated.gif", "inside_key.gif", "interlaced_3rows.gif", "rle4.bmp", "rle8.bmp",
                 "bits16.bmp", "os2_8.bmp", "v5_bgra.bmp", "rgb_lzw.tiff", "jpeg_ycbcr.tiff",
                 "group4.tiff", "mm_pal4.tiff", "ii_rgb_planes.tiff", "ii_xmp5.tiff",
                 "mm_rgba16_premultiplied.tiff"):
        (TESTS / "fuzz" / "corpus_image" / name).write_bytes((GOLDEN / name).read_bytes())
    values = np.arange(24, dtype=np.float32).reshape(1, 3, 2, 4)
    corpus = TESTS / "fuzz" / "corpus_npz"
    np.savez(corpus / "plain.npz", pixel_values=values)
    np.savez(corpus / "second.npz", other=values[0], pixel_values=values)
    np.savez(corpus / "fortran.npz", pixel_values=np.asfortranarray(values))
    np.savez(corpus / "double.npz", pixel_values=values.astype(np.float64))
    np.savez(corpus / "scalar.npz", pixel_values=np.float32(1))
    np.savez_compressed(corpus / "compressed.npz", pixel_values=values)


# ---------------------------------------------------------------------------------------------
# Random comparison


def random_size(rng):
    if rng.random() < 0.15:  # extreme shapes
        a, b = int(rng.integers(1, 40)), int(rng.integers(1, 4000))
        return (a, b) if rng.random() < 0.5 else (b, a)
    return tuple(int(n) for n in np.exp(rng.uniform(0, np.log(700), 2)).astype(int))


def random_exif(rng):
    block = tiff_block(int(rng.integers(0, 10)), bool(rng.integers(2)), int(rng.choice([3, 4])),
                       int(rng.integers(0, 3)))
    return b"Exif\0\0" + block if rng.random() < 0.4 else b""


def random_other(rng, kind, h, w):
    mode = rng.choice({"gif": ["P", "L"], "bmp": ["1", "L", "P", "RGB", "RGBA"],
                       "tiff": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]}[kind])
    if mode == "P":
        image = palette_image(rng, h, w, int(rng.integers(2, 257)))
    elif mode == "1":
        image = Image.fromarray(picture(rng, h, w, 1)[..., 0]).convert("1")
    else:
        channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
        image = Image.fromarray(picture(rng, h, w, channels).squeeze(2) if channels == 1 else
                                picture(rng, h, w, channels), mode)
    options = {}
    if kind == "gif":
        if rng.random() < 0.3:
            options["transparency"] = int(rng.integers(256))
        options["interlace"] = int(rng.integers(2))
    if kind == "tiff":
        packed = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]
        packed += ["group3", "group4"] if mode == "1" else ["jpeg"] if mode in ("L", "RGB") else []
        options["compression"] = str(rng.choice(packed))
        options["strip_size"] = int(rng.integers(1, 65536))
        # Pillow maps an uncompressed file with the sides of the turned image: scrambled pixels.
        if options["compression"] != "raw" and rng.random() < 0.3:
            options["tiffinfo"] = {274: int(rng.integers(1, 9))}
    return f"{kind}-{mode}", saved_as(image, kind.upper(), **options)


def random_image(rng):
    h, w = random_size(rng)
    kind = rng.choice(["png", "jpeg", "jpeg", "jpeg", "webp", "webp", "gif", "bmp", "tiff"])
    if kind in ("gif", "bmp", "tiff"):
        return random_other(rng, kind, h, w)
    exif = random_exif(rng)
    if kind == "png":
        color, depth = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2),
                        (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)][rng.integers(15)]
        before = chunk(b"eXIf", exif[6:]) if exif else b""
        return f"png-{color}-{depth}", png_kind(
            rng, h, w, color, depth, before=before,
            trns=color in (0, 2, 3) and rng.random() < 0.3, interlaced=rng.random() < 0.4,
            split=int(rng.integers(1, 10000)) if rng.random() < 0.3 else None)
    if kind == "jpeg":
        channels = int(rng.choice([1, 3, 3, 3, 4]))
        options = {"mode": "CMYK"} if channels == 4 else {}
        sub = rng.choice(["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
        if channels > 1:
            options["subsampling"] = sub
        if rng.random() < 0.2:
            options["restart_marker_blocks"] = int(rng.integers(1, 20))
        if channels == 3 and rng.random() < 0.1:
            options["keep_rgb"] = True
            options.pop("subsampling")
        data = saved(picture(rng, h, w, channels), "JPEG", quality=int(rng.integers(1, 101)),
                     progressive=bool(rng.random() < 0.4), optimize=bool(rng.random() < 0.3),
                     exif=exif, **options)
        if channels == 3 and rng.random() < 0.2 and "keep_rgb" not in options:
            at = data.index(b"\xff\xc2" if b"\xff\xc2" in data else b"\xff\xc0")
            if data[at + 11] == 0x21:  # 4:2:2 turned round gives 4:4:0, of a scrambled picture
                data = data[:at + 11] + b"\x12" + data[at + 12:]
                sub = "4:4:0"
        return f"jpeg-{channels}-{sub}", data
    channels = int(rng.choice([3, 4]))
    lossless = bool(rng.random() < 0.4)
    data = saved(picture(rng, h, w, channels), "WEBP", lossless=lossless, exif=exif,
                 quality=int(rng.integers(0, 101)), method=int(rng.integers(0, 5)),
                 exact=bool(rng.integers(2)))
    return f"webp-{channels}-{'lossless' if lossless else 'lossy'}", data


def damaged(rng, data):
    if rng.random() < 0.5:
        return "cut", data[:int(rng.integers(1, len(data)))]
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return "bits", bytes(data)


def compare(count, program, seed, with_damage):
    rng = np.random.default_rng(seed)
    results = {}
    failed = 0
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for i in range(count):
            kind, data = random_image(rng)
            if with_damage:
                how, data = damaged(rng, data)
                kind = f"{kind.split('-')[0]}-{how}"
            path = pathlib.Path(folder) / f"{i}.img"
            path.write_bytes(data)
            h, w = (int(n) for n in rng.choice([14, 28, 56, 84, 112, 224, 448], 2))
            resample = BICUBIC if rng.random() < 0.6 else int(rng.integers(0, 6))
            process.stdin.write(f"{h} {w} {resample} {path}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            values = reference(path, h, w, resample)
            want = "error" if values is None else sha(values)
            got = "error" if answer.startswith("error") else answer
            verdict = ("same" if got == want else "only we fail" if got == "error" else
                       "only transformers fails" if want == "error" else "pixels differ")
            results.setdefault(kind, {}).setdefault(verdict, 0)
            results[kind][verdict] += 1
            if verdict != "same":
                failed += 1
                keep = pathlib.Path(tempfile.gettempdir()) / f"dlm-image-{seed}-{i}"
                keep.write_bytes(data)
                print(f"{verdict}: {kind} {h}x{w} resample {resample}: {keep}: {answer}")
            path.unlink()
        process.stdin.close()
    for kind in sorted(results):
        print(kind, results[kind])
    print(f"{count - failed} of {count} agree")
    return failed and not with_damage


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int)
    parser.add_argument("--damage", type=int)
    parser.add_argument("--program")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.random or args.damage:
        if not args.program:
            parser.error("--program is missing")
        return compare(args.random or args.damage, args.program, args.seed, bool(args.damage))
    return write_goldens()


if __name__ == "__main__":
    sys.exit(main())
