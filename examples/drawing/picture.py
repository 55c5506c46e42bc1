"""A canvas with relative coordinates, and the colours."""

import math

from PIL import Image, ImageDraw, ImageFont

# Pictures are drawn this many times larger than they are kept, which smooths their edges.
SCALE = 2

RED, GREEN, BLUE = (214, 40, 40), (46, 139, 87), (38, 84, 186)
YELLOW, ORANGE, PURPLE = (247, 201, 72), (238, 124, 43), (118, 68, 168)
WHITE, BLACK, GREY, BROWN = (255, 255, 255), (24, 24, 28), (140, 146, 154), (122, 82, 48)
SKY, WATER, SAND, GRASS, NIGHT = (160, 206, 240), (34, 102, 160), (236, 212, 160), (104, 168, 78), (18, 24, 62)


class Picture:
    """A drawing whose coordinates run from 0 to 1 on both axes."""

    def __init__(self, width, height, background=WHITE):
        self.width, self.height = width * SCALE, height * SCALE
        self.image = Image.new("RGB", (self.width, self.height), background)
        self.draw = ImageDraw.Draw(self.image)

    def points(self, *pairs):
        return [(x * self.width, y * self.height) for x, y in pairs]

    def unit(self, size):
        """A length relative to the shorter side."""
        return size * min(self.width, self.height)

    def circle(self, x, y, radius, fill=None, outline=None, line=0.0):
        cx, cy, r = x * self.width, y * self.height, self.unit(radius)
        self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill, outline, round(self.unit(line)))

    def box(self, x0, y0, x1, y1, fill=None, outline=None, line=0.0):
        self.draw.rectangle(self.points((x0, y0), (x1, y1)), fill, outline, round(self.unit(line)))

    def polygon(self, *pairs, fill):
        self.draw.polygon(self.points(*pairs), fill)

    def line(self, *pairs, fill=BLACK, line=0.02):
        self.draw.line(self.points(*pairs), fill, max(1, round(self.unit(line))), joint="curve")

    def text(self, x, y, text, size=0.08, fill=BLACK, anchor="lm"):
        font = ImageFont.load_default(self.unit(size))
        self.draw.text((x * self.width, y * self.height), text, fill, font, anchor)

    def gradient(self, top, bottom, y0=0.0, y1=1.0):
        first, last = round(y0 * self.height), round(y1 * self.height)
        for y in range(first, last):
            share = (y - first) / max(1, last - first)
            colour = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom))
            self.draw.line((0, y, self.width, y), colour)

    def finished(self):
        return self.image.resize((self.width // SCALE, self.height // SCALE), Image.Resampling.LANCZOS)


def regular(x, y, radius, corners, aspect, turn=-90.0):
    """The corners of a regular polygon; `aspect` is width over height of the picture."""
    wide, high = (1.0, aspect) if aspect < 1 else (1 / aspect, 1.0)
    angles = (math.radians(turn + 360 * i / corners) for i in range(corners))
    return [(x + radius * wide * math.cos(a), y + radius * high * math.sin(a)) for a in angles]
