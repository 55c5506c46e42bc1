"""Plain shapes and patterns. Each function gives one `Picture`."""

import math

from drawing.picture import BLACK, BLUE, GREEN, NIGHT, ORANGE, PURPLE, RED, SKY, WHITE, YELLOW, Picture, regular


def circle(colour, background):
    picture = Picture(224, 224, background)
    picture.circle(0.5, 0.5, 0.32, colour)
    return picture


def square(colour, background):
    picture = Picture(224, 224, background)
    picture.box(0.24, 0.24, 0.76, 0.76, colour)
    return picture


def regular_shape(corners, colour, background, width=224, height=224):
    picture = Picture(width, height, background)
    picture.polygon(*regular(0.5, 0.52, 0.36, corners, width / height), fill=colour)
    return picture


def star():
    picture = Picture(256, 256, NIGHT)
    outer, inner = regular(0.5, 0.52, 0.4, 5, 1.0), regular(0.5, 0.52, 0.16, 5, 1.0, turn=-54.0)
    picture.polygon(*[corner for pair in zip(outer, inner) for corner in pair], fill=YELLOW)
    return picture


def heart():
    picture = Picture(240, 240, (255, 236, 238))
    turns = (math.radians(a) for a in range(0, 360, 4))
    outline = [
        (0.5 + 0.021 * 16 * math.sin(t) ** 3,
         0.47 - 0.021 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
        for t in turns
    ]
    picture.polygon(*outline, fill=RED)
    return picture


def two_circles():
    picture = Picture(352, 176, WHITE)
    picture.circle(0.28, 0.5, 0.36, GREEN)
    picture.circle(0.72, 0.5, 0.36, ORANGE)
    return picture


def rings():
    picture = Picture(256, 256, WHITE)
    for index, colour in enumerate((RED, WHITE, RED, WHITE, RED)):
        picture.circle(0.5, 0.5, 0.45 - 0.09 * index, colour)
    return picture


def stripes(colours, upright):
    picture = Picture(256, 192)
    count = 12
    for index in range(count):
        low, high = index / count, (index + 1) / count
        area = (low, 0, high, 1) if upright else (0, low, 1, high)
        picture.box(*area, colours[index % len(colours)])
    return picture


def checkerboard():
    picture = Picture(224, 224)
    for row in range(8):
        for column in range(8):
            if (row + column) % 2:
                picture.box(column / 8, row / 8, (column + 1) / 8, (row + 1) / 8, BLACK)
    return picture


def dots():
    picture = Picture(240, 320, (255, 244, 214))
    for row in range(8):
        for column in range(6):
            picture.circle((column + 0.5) / 6, (row + 0.5) / 8, 0.05, (BLUE, RED, GREEN)[(row + column) % 3])
    return picture


def rainbow():
    picture = Picture(320, 200, SKY)
    for index, colour in enumerate((RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE, SKY)):
        picture.circle(0.5, 1.0, 0.85 - 0.09 * index, colour)
    return picture


def grey_ramp():
    picture = Picture(320, 160)
    for index in range(16):
        picture.box(index / 16, 0, (index + 1) / 16, 1, (index * 17,) * 3)
    return picture
