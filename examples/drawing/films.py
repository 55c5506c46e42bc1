"""Moving pictures, as lists of frames; ffmpeg makes files of them."""

import subprocess

from PIL import Image, ImageOps

from drawing import objects, scenes
from drawing.picture import BLUE, RED, WHITE, YELLOW, Picture

WIDE, HIGH = 320, 180


def encoded(frames, rate, codec, path):
    """Writes a film; the same ffmpeg gives the same bytes."""
    size = f"{frames[0].width}x{frames[0].height}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(rate)]
    command += ["-i", "-", "-c:v", *codec, "-pix_fmt", "yuv420p", "-threads", "1", "-fflags", "+bitexact"]
    command += ["-flags:v", "+bitexact", str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)


def panned(picture, seconds, rate, backwards=False):
    """A camera that moves slowly over a picture."""
    margin = 40
    whole = ImageOps.fit(picture.finished(), (WIDE + margin, HIGH + margin // 4), Image.Resampling.LANCZOS)
    count = seconds * rate
    for index in range(count):
        moved = margin * (count - 1 - index if backwards else index) // count
        yield whole.crop((moved, moved // 4, moved + WIDE, moved // 4 + HIGH))


# Half a minute each, as long as the windows of a long video are.
PLACES = [
    scenes.sun_over_water, scenes.night_city, scenes.desert, scenes.snow, scenes.road, scenes.flowers,
    objects.bicycle_by_water,
]


def seven_places(rate):
    return [frame for place in PLACES for frame in panned(place(), 30, rate)]


def other_snow(rate):
    """Four seconds of the place that `seven_places` shows from 1:30 to 2:00: other flakes, another way to look."""
    return list(panned(scenes.snow(8), 4, rate, backwards=True))


def ball(rate):
    """A red ball jumps from left to right."""
    count, frames = 4 * rate, []
    for index in range(count):
        share = index / count
        height = abs(1 - 4 * (share * 3 % 1 - 0.5) ** 2)
        picture = Picture(240, 160, (214, 232, 250))
        picture.box(0, 0.82, 1, 1, (104, 168, 78))
        picture.circle(0.1 + 0.8 * share, 0.72 - 0.5 * height, 0.1, RED, WHITE, 0.02)
        picture.box(0.8, 0.05, 0.95, 0.2, YELLOW if index % 8 < 4 else BLUE)
        frames.append(picture.finished())
    return frames
