"""Makes model/tests/animations: small WebP animations, and the frames that they must decode to.

    refvenv/bin/python model/reference/make_animation_fixtures.py      (the environment of make_fixtures.py)

animations/NAME.webp       an animation; each frame is seen for 100 ms
animations/NAME.webp.png   its frames, one below the other: Pillow's seek and convert("RGBA"), without the alpha

Pillow's encoder chooses the frames' rectangles, and how they are blended and disposed of, but never blends what is half
transparent. Some animations are put together here from still images, therefore.
"""

import io
import itertools
import shutil
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ANIMATIONS = Path(__file__).resolve().parent.parent / "tests" / "animations"
WIDTH, HEIGHT = 44, 30
BLENDS, REPLACES, DISPOSED = 0, 2, 1


def backdrop(background):
    return Image.new("RGBA", (WIDTH, HEIGHT), background)


def ball(background, number):
    """A ball that moves over a background."""
    image = backdrop(background)
    draw = ImageDraw.Draw(image)
    left, top = 3 + number * 4, 4 + number * number % 13
    draw.ellipse((left, top, left + 11, top + 11), fill=(40 + number * 20, 90, 220 - number * 15, 255))
    draw.line((0, HEIGHT - 1, WIDTH, number * 3), fill=(250, 240, 20, 255))
    return image


def patch(width, height, number):
    """A gradient of colours and of alpha, from fully transparent to opaque."""
    x, y = np.arange(width), np.arange(height)[:, None]
    planes = [x * 9 + y + number * 31, 255 - x * 5 - y * 3, 60 + y * 9 + x * 0 + number * 17, (x + y * 2 + number) * 12 - 40]
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def encoded(images, **options):
    """An animation of Pillow's, or a still image."""
    file = io.BytesIO()
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:], "duration": 100}
    images[0].save(file, "WEBP", **options)
    return file.getvalue()


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def chunks(data):
    while data:
        name, length = struct.unpack("<4sI", data[:8])
        yield name, data[8 : 8 + length]
        data = data[8 + length + length % 2 :]


def number24(value):
    return struct.pack("<I", value)[:3]


def assembled(frames, **options):
    """An animation of still images: for each its place, its image, and its flags."""
    data = chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + number24(WIDTH - 1) + number24(HEIGHT - 1))
    # The colour of the background, which is not used, and how often it is played.
    data += chunk(b"ANIM", bytes([200, 100, 50, 255, 0, 0]))
    for (left, top), image, flags in frames:
        parts = [part for part in chunks(encoded([image], **options)[12:]) if part[0] in (b"ALPH", b"VP8 ", b"VP8L")]
        sides = [left // 2, top // 2, image.width - 1, image.height - 1, 100]
        header = b"".join(map(number24, sides)) + bytes([flags])
        data += chunk(b"ANMF", header + b"".join(chunk(*part) for part in parts))
    return b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data


def frames_of_all_kinds():
    """Patches here and there, with each pair of flags after each other one, some over the whole canvas."""
    flags = [BLENDS, REPLACES, BLENDS | DISPOSED, REPLACES | DISPOSED]
    pairs = [flag for pair in itertools.product(flags, flags) for flag in pair]
    yield (0, 0), patch(WIDTH, HEIGHT, 1), BLENDS
    for number, flag in enumerate(pairs):
        if number % 7 == 6:
            yield (0, 0), patch(WIDTH, HEIGHT, number), flag
        else:
            place = (number * 6 % 22, number * 10 % 14)
            yield place, patch(13 + number % 10, 9 + number % 7, number), flag


def files():
    lossless = {"lossless": True, "exact": True}
    clear, opaque = (90, 30, 60, 0), (20, 60, 40, 255)
    # No key frames: all of it is rectangles.
    small = {"minimize_size": True, "kmin": 0, "kmax": 0}
    yield "opaque", encoded([ball(opaque, number).convert("RGB") for number in range(6)], **lossless, **small)
    yield "transparent", encoded([ball(clear, number) for number in range(6)], **lossless, **small)
    yield "key_frames", encoded([ball(clear, number) for number in range(8)], **lossless, kmin=1, kmax=3)
    mixed = [ball(opaque if number % 3 else clear, number) for number in range(8)]
    yield "mixed", encoded(mixed, **lossless, **small)
    yield "all_kinds", assembled(list(frames_of_all_kinds()), **lossless)
    moving = [((number * 6, number * 2), patch(14, 12, number), DISPOSED | (number % 2 * 2)) for number in range(6)]
    yield "trail", assembled(moving, **lossless)
    yield "lossy", assembled(moving, quality=95, exact=True)


def expected(data):
    image = Image.open(io.BytesIO(data))
    frames = []
    for number in range(image.n_frames):
        image.seek(number)
        image.load()
        assert image.info["duration"] == 100
        frames.append(np.asarray(image.convert("RGBA"))[..., :3])
    return Image.fromarray(np.concatenate(frames))


def main():
    shutil.rmtree(ANIMATIONS, ignore_errors=True)
    ANIMATIONS.mkdir(parents=True)
    kinds = set()
    for name, data in files():
        (ANIMATIONS / f"{name}.webp").write_bytes(data)
        expected(data).save(ANIMATIONS / f"{name}.webp.png", optimize=True)
        frames = [part for kind, part in chunks(data[12:]) if kind == b"ANMF"]
        kinds |= {(frame[15], frame[:6] != bytes(6)) for frame in frames}
    # Each way to blend and to dispose, at the corner and elsewhere.
    assert len(kinds) == 8, kinds
    total = sum(path.stat().st_size for path in ANIMATIONS.iterdir())
    print(f"{len(list(ANIMATIONS.iterdir()))} files, {total / 1000:.0f} KB")
    assert total < 60_000


if __name__ == "__main__":
    main()
