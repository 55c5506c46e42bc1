"""Makes model/tests/formats: small images of every kind that is read, and the RGB pixels that they must decode to.

    refvenv/bin/python model/reference/make_media_fixtures.py      (the environment of make_fixtures.py)

formats/NAME.EXT       an image
formats/NAME.EXT.png   what it must decode to: Pillow's open, exif_transpose and convert("RGB"). For 16-bit grey, which
                       Pillow clips to white, the high byte of each sample instead
formats/resize.json    Pillow's bicubic resizes of noise (see `noise`), or of blocks of it (see `blocks`): from and to (width,
                       height), the width and height of a block, SHA-256 of the samples
formats/patches.json   transformers' patches of such images: size, grid, SHA-256 of the f32 values (little-endian)
formats/sizes.json     smart resize: height, width, least and most pixels, and the resulting height and width
"""

import hashlib
import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

import qwen2vl_kit as kit

FORMATS = Path(__file__).resolve().parent.parent / "tests" / "formats"


def picture(width=45, height=29):
    """A gradient with a few shapes: what photographs and drawings both have."""
    x, y = np.arange(width), np.arange(height)[:, None]
    planes = [x * 5 + y, 255 - x * 3 - y * 2, 60 + y * 6 + x * 0]
    image = Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 3, 20, 18), fill=(200, 30, 60))
    draw.rectangle((25, 12, 40, 25), fill=(10, 90, 220))
    draw.line((0, 28, 44, 2), fill=(250, 240, 20), width=2)
    return image


def alpha(width=45, height=29):
    """Opaque, half and fully transparent areas."""
    x = np.arange(width) + np.zeros((height, 1))
    return Image.fromarray(np.clip((x - 8) * 12, 0, 255).astype(np.uint8))


def samples16(channels):
    """16-bit samples whose low bytes matter to a decoder that rounds."""
    rgb = np.asarray(picture()).astype(np.uint32)
    low = (np.arange(rgb.size).reshape(rgb.shape) * 97) % 256
    wide = (rgb * 256 + low).astype(np.uint16)
    a = (np.asarray(alpha()).astype(np.uint16) * 257)[..., None]
    return {1: wide[..., 1:2], 2: np.concatenate([wide[..., 1:2], a], -1), 3: wide, 4: np.concatenate([wide, a], -1)}[channels]


def png16(samples):
    """A 16-bit PNG; Pillow writes only the grey ones."""
    height, width, channels = samples.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def bmp16(masks):
    """A BMP of 16 bits a pixel, 565 or 555."""
    rgb = np.asarray(picture()).astype(np.uint16)
    bits = [bin(mask).count("1") for mask in masks]
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    pixels = sum((rgb[..., c] >> (8 - bits[c])) << shifts[c] for c in range(3)).astype("<u2")
    height, width = pixels.shape
    stride = (width * 2 + 3) // 4 * 4
    rows = b"".join(row.tobytes().ljust(stride, b"\0") for row in pixels[::-1])
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(rows), 0, 0, 0, 0) + struct.pack("<III", *masks)
    return struct.pack("<2sIHHI", b"BM", 14 + len(info) + len(rows), 0, 0, 14 + len(info)) + info + rows


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def ycck(cmyk_jpeg):
    """The same data, said to be YCCK: Adobe's transform byte goes from 0 to 2."""
    at = cmyk_jpeg.index(b"Adobe") + 11
    assert cmyk_jpeg[at] == 0
    return cmyk_jpeg[:at] + b"\2" + cmyk_jpeg[at + 1 :]


def shifted_gif(gif):
    """The frame of a GIF on a larger canvas, away from the corner."""
    width, height = struct.unpack("<HH", gif[6:10])
    data = bytearray(gif)
    data[6:10] = struct.pack("<HH", width + 9, height + 7)
    at = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", width, height))
    data[at + 1 : at + 5] = struct.pack("<HH", 5, 3)
    return bytes(data)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def files():
    rgb = picture()
    grey = rgb.convert("L")
    rgba = rgb.copy()
    rgba.putalpha(alpha())
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha())
    palette = rgb.quantize(60)
    small_palette = rgb.quantize(11)
    cmyk = Image.merge("CMYK", [*ImageOps.invert(rgb).split(), grey.point(lambda v: v // 3)])
    frames = [palette, ImageOps.mirror(rgb).quantize(60)]

    yield "rgb.png", encoded(rgb, "PNG")
    yield "rgba.png", encoded(rgba, "PNG")
    yield "grey.png", encoded(grey, "PNG")
    yield "grey_alpha.png", encoded(grey_alpha, "PNG")
    yield "palette.png", encoded(palette, "PNG")
    yield "palette_4bit_transparent.png", encoded(small_palette, "PNG", bits=4, transparency=3)
    yield "bilevel.png", encoded(rgb.convert("1"), "PNG")
    yield "rgb_transparent_colour.png", encoded(rgb, "PNG", transparency=(10, 90, 220))
    for channels, name in [(1, "grey_16bit"), (2, "grey_alpha_16bit"), (3, "rgb_16bit"), (4, "rgba_16bit")]:
        yield f"{name}.png", png16(samples16(channels))
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.png", encoded(rgb, "PNG", exif=oriented(orientation))

    yield "444.jpg", encoded(rgb, "JPEG", quality=92, subsampling=0)
    yield "422.jpg", encoded(rgb, "JPEG", quality=92, subsampling=1)
    yield "420.jpg", encoded(rgb, "JPEG", quality=92, subsampling=2)
    yield "grey.jpg", encoded(grey, "JPEG", quality=92)
    yield "progressive.jpg", encoded(rgb, "JPEG", quality=92, progressive=True)
    yield "restarts.jpg", encoded(rgb, "JPEG", quality=92, restart_marker_blocks=2)
    yield "rgb_channels.jpg", encoded(rgb, "JPEG", quality=92, keep_rgb=True)
    yield "cmyk.jpg", encoded(cmyk, "JPEG", quality=92)
    yield "ycck.jpg", ycck(encoded(cmyk, "JPEG", quality=92))
    yield "orientation_6.jpg", encoded(rgb, "JPEG", quality=92, exif=oriented(6))

    yield "lossless.webp", encoded(rgb, "WEBP", lossless=True)
    yield "lossless_alpha.webp", encoded(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", encoded(rgb, "WEBP", quality=90)
    yield "lossy_alpha.webp", encoded(rgba, "WEBP", quality=90, exact=True)
    yield "animated.webp", encoded(frames[0].convert("RGB"), "WEBP", lossless=True, save_all=True,
                                   append_images=[frames[1].convert("RGB")])
    yield "orientation_8.webp", encoded(rgb, "WEBP", lossless=True, exif=oriented(8))

    yield "interlaced.gif", encoded(palette, "GIF")
    yield "transparent.gif", encoded(small_palette, "GIF", transparency=3, interlace=0)
    yield "shifted_frame.gif", shifted_gif(encoded(palette, "GIF", interlace=0))
    yield "shifted_transparent.gif", shifted_gif(encoded(small_palette, "GIF", transparency=3, interlace=0))
    yield "animated.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "grey.gif", encoded(grey, "GIF")

    yield "rgb.bmp", encoded(rgb, "BMP")
    yield "rgba.bmp", encoded(rgba, "BMP")
    yield "palette.bmp", encoded(palette, "BMP")
    yield "bilevel.bmp", encoded(rgb.convert("1"), "BMP")
    yield "grey.bmp", encoded(grey, "BMP")
    yield "565.bmp", bmp16((0xF800, 0x07E0, 0x001F))
    yield "555.bmp", bmp16((0x7C00, 0x03E0, 0x001F))

    yield "lzw.tiff", encoded(rgb, "TIFF", compression="tiff_lzw")
    yield "deflate.tiff", encoded(rgb, "TIFF", compression="tiff_adobe_deflate")
    yield "uncompressed_rgba.tiff", encoded(rgba, "TIFF")
    yield "grey.tiff", encoded(grey, "TIFF", compression="packbits")
    yield "grey_alpha.tiff", encoded(grey_alpha, "TIFF")
    yield "bilevel_fax.tiff", encoded(rgb.convert("1"), "TIFF", compression="group4")
    yield "bilevel.tiff", encoded(rgb.convert("1"), "TIFF")
    yield "palette.tiff", encoded(palette, "TIFF", compression="tiff_lzw")
    yield "palette_big_endian.tiff", encoded(palette, "TIFF", big_endian=True)
    yield "grey_16bit.tiff", encoded(Image.fromarray(samples16(1)[..., 0]), "TIFF")
    yield "cmyk.tiff", encoded(cmyk, "TIFF")
    yield "jpeg.tiff", encoded(rgb, "TIFF", compression="jpeg", quality=92)
    yield "orientation_3.tiff", encoded(rgb, "TIFF", exif=oriented(3))
    yield "two_pages.tiff", encoded(rgb, "TIFF", save_all=True, append_images=[ImageOps.invert(rgb)])


def expected(name, data):
    if name.startswith("grey_16bit"):
        return Image.fromarray((samples16(1)[..., 0] >> 8).astype(np.uint8)).convert("RGB")
    image = Image.open(io.BytesIO(data))
    # The conversion of grey with 16 bits and alpha: Pillow reads the high bytes.
    return ImageOps.exif_transpose(image).convert("RGB")


def noise(width, height):
    """RGB noise that a few lines of any language make again."""
    y, x, channel = np.meshgrid(*(np.arange(n, dtype=np.uint32) for n in (height, width, 3)), indexing="ij")
    value = x * np.uint32(73856093) ^ y * np.uint32(19349663) ^ channel * np.uint32(83492791)
    value ^= value >> np.uint32(13)
    value *= np.uint32(0x5BD1E995)
    value ^= value >> np.uint32(15)
    return Image.fromarray((value & np.uint32(255)).astype(np.uint8))


def blocks(width, height, across, down):
    """Noise of which each pixel is a block, and every second row of blocks is white: much of it repeats, as on a page."""
    pixels = np.asarray(noise(-(-width // across), -(-height // down))).copy()
    pixels[::2] = 255
    return Image.fromarray(pixels.repeat(down, 0).repeat(across, 1)[:height, :width].copy())


def write_json(name, rows):
    (FORMATS / name).write_text("[\n" + ",\n".join(" " + json.dumps(row) for row in rows) + "\n]\n")


def main():
    shutil.rmtree(FORMATS, ignore_errors=True)
    FORMATS.mkdir(parents=True)
    for name, data in files():
        (FORMATS / name).write_bytes(data)
        expected(name, data).save(FORMATS / f"{name}.png", optimize=True)

    steps = [
        ((100, 100), (56, 56)), ((40, 330), (28, 336)), ((500, 45), (504, 56)), ((3, 2), (56, 56)), ((1, 1), (28, 28)),
        ((1, 90), (112, 84)), ((640, 480), (644, 476)), ((640, 480), (28, 28)), ((1000, 30), (980, 980)),
        ((97, 131), (97, 56)), ((97, 131), (84, 131)), ((333, 222), (1, 1)), ((60, 50), (601, 503)),
    ]
    digest = lambda image, target: hashlib.sha256(image.resize(target, Image.Resampling.BICUBIC).tobytes()).hexdigest()
    write_json("resize.json", [
        *({"from": source, "to": target, "sha256": digest(noise(*source), target)} for source, target in steps),
        *(
            {"from": source, "to": target, "blocks": sides, "sha256": digest(blocks(*source, *sides), target)}
            for source, target, sides in [
                ((640, 480), (252, 196), (31, 23)), ((300, 500), (84, 504), (1, 40)), ((500, 300), (504, 84), (40, 1)),
                ((2480, 350), (868, 112), (150, 7)), ((60, 50), (601, 503), (7, 9)), ((97, 131), (28, 56), (200, 200)),
                ((333, 222), (1, 1), (5, 3)), ((45, 333), (28, 56), (9, 10)),
            ]
        ),
    ])

    limits = 4 * 784, 64 * 784
    processor = kit.ReferenceProcessor(*limits)
    patches = []
    for size in [(56, 56), (84, 112), (300, 200), (42, 70), (20, 30), (500, 40), (27, 600)]:
        file = io.BytesIO(encoded(noise(*size), "PNG"))
        _, rows, grid = processor(file)
        digest = hashlib.sha256(rows.numpy().astype("<f4").tobytes()).hexdigest()
        patches.append({"size": size, "limits": limits, "grid": grid.tolist(), "sha256": digest})
    write_json("patches.json", patches)

    rng = np.random.default_rng(7)
    sides = [1, 27, 28, 29, 41, 42, 43, 56, 70, 98, 126, 150, 199, 1400, 5600, 5601, 12000]
    pairs = [(h, w) for h in sides for w in sides] + rng.integers(1, 6000, (150, 2)).tolist()
    sizes = []
    for height, width in pairs:
        for low, high in [(4 * 784, 1280 * 784), (784, 16 * 784)]:
            rows, columns = kit.vlm2vec_smart_resize(height, width, 28, low, high)
            sizes.append([height, width, low, high, rows, columns])
    write_json("sizes.json", sizes)
    total = sum(path.stat().st_size for path in FORMATS.iterdir())
    print(f"{len(list(FORMATS.iterdir()))} files, {total / 1000:.0f} KB")
    assert total < 300_000


if __name__ == "__main__":
    main()
