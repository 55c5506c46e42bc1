"""Landscapes and other scenes. Each function gives one `Picture`."""

import random

from drawing.picture import (
    BROWN, GRASS, GREEN, NIGHT, ORANGE, PURPLE, RED,
    SAND, SKY, WATER, WHITE, YELLOW, Picture, regular,
)


def sun_over_water():
    picture = Picture(400, 260)
    picture.gradient((252, 176, 96), (255, 226, 168), 0.0, 0.56)
    picture.circle(0.5, 0.5, 0.18, (255, 240, 150))
    picture.gradient((210, 130, 96), (40, 82, 132), 0.56, 1.0)
    for index in range(7):
        half = 0.02 + 0.018 * index
        y = 0.6 + 0.055 * index
        picture.line((0.5 - half, y), (0.5 + half, y), fill=(255, 232, 170), line=0.016)
    return picture


def mountains():
    picture = Picture(448, 252)
    picture.gradient((120, 172, 226), (222, 236, 248))
    picture.polygon((0, 1), (0.28, 0.24), (0.58, 1), fill=(106, 118, 138))
    picture.polygon((0.36, 1), (0.68, 0.14), (1.05, 1), fill=(84, 96, 118))
    picture.polygon((0.216, 0.415), (0.28, 0.24), (0.347, 0.415), (0.3, 0.37), (0.26, 0.4), fill=WHITE)
    picture.polygon((0.595, 0.37), (0.68, 0.14), (0.782, 0.37), (0.71, 0.31), (0.65, 0.35), fill=WHITE)
    picture.polygon((0, 0.9), (0.5, 0.84), (1, 0.92), (1, 1), (0, 1), fill=(60, 110, 70))
    return picture


def night_city():
    generator = random.Random(7)
    picture = Picture(384, 256, NIGHT)
    picture.circle(0.82, 0.18, 0.09, (244, 240, 214))
    for _ in range(40):
        picture.circle(generator.random(), generator.random() * 0.45, 0.005, WHITE)
    left = 0.0
    while left < 1:
        width, top = 0.08 + 0.06 * generator.random(), 0.35 + 0.35 * generator.random()
        picture.box(left, top, left + width, 1, (34, 38, 58))
        for row in range(int((1 - top) / 0.08)):
            for column in range(3):
                if generator.random() < 0.6:
                    x, y = left + width * (0.18 + 0.28 * column), top + 0.03 + 0.08 * row
                    picture.box(x, y, x + width * 0.14, y + 0.035, YELLOW)
        left += width + 0.012
    return picture


def desert():
    picture = Picture(400, 240)
    picture.gradient((246, 190, 120), (252, 228, 180), 0, 0.6)
    picture.circle(0.22, 0.22, 0.11, YELLOW)
    picture.polygon((0, 0.62), (0.3, 0.54), (0.62, 0.64), (1, 0.52), (1, 1), (0, 1), fill=SAND)
    picture.polygon((0, 0.82), (0.45, 0.72), (1, 0.86), (1, 1), (0, 1), fill=(214, 178, 120))
    picture.line((0.74, 0.8), (0.74, 0.44), fill=GREEN, line=0.06)
    picture.line((0.74, 0.62), (0.67, 0.62), (0.67, 0.52), fill=GREEN, line=0.045)
    picture.line((0.74, 0.66), (0.81, 0.66), (0.81, 0.55), fill=GREEN, line=0.045)
    return picture


def snow(seed=3):
    generator = random.Random(seed)
    picture = Picture(288, 384)
    picture.gradient((112, 132, 168), (206, 218, 232), 0, 0.78)
    picture.box(0, 0.78, 1, 1, WHITE)
    for x, low, size in ((0.25, 0.8, 0.22), (0.72, 0.84, 0.28)):
        for step in range(3):
            top, half = low - size - 0.11 * step, size * (1 - 0.24 * step) * 0.8
            picture.polygon((x - half, top + size * 0.72), (x, top), (x + half, top + size * 0.72), fill=(44, 92, 72))
        picture.box(x - 0.025, low - 0.07, x + 0.025, low, BROWN)
    for _ in range(90):
        picture.circle(generator.random(), generator.random(), 0.008, WHITE)
    return picture


def boat(sky_top, sky_bottom, sail):
    picture = Picture(360, 300)
    picture.gradient(sky_top, sky_bottom, 0, 0.64)
    picture.gradient(WATER, (20, 60, 104), 0.64, 1)
    picture.polygon((0.26, 0.62), (0.76, 0.62), (0.67, 0.74), (0.35, 0.74), fill=BROWN)
    picture.line((0.5, 0.62), (0.5, 0.16), fill=(84, 58, 36), line=0.018)
    picture.polygon((0.52, 0.18), (0.52, 0.58), (0.74, 0.58), fill=sail)
    picture.polygon((0.48, 0.24), (0.48, 0.58), (0.32, 0.58), fill=sail)
    return picture


def road():
    picture = Picture(320, 240, SKY)
    picture.box(0, 0.46, 1, 1, GRASS)
    picture.polygon((0.46, 0.46), (0.54, 0.46), (0.86, 1), (0.14, 1), fill=(88, 90, 96))
    for top, low, half in ((0.52, 0.58, 0.005), (0.64, 0.74, 0.009), (0.82, 0.97, 0.016)):
        wide = 1.5 * half
        picture.polygon((0.5 - half, top), (0.5 + half, top), (0.5 + wide, low), (0.5 - wide, low), fill=WHITE)
    return picture


def flowers():
    picture = Picture(320, 320, (214, 236, 250))
    picture.box(0, 0.7, 1, 1, GRASS)
    for x, y, colour in ((0.22, 0.44, RED), (0.5, 0.32, YELLOW), (0.78, 0.46, PURPLE)):
        picture.line((x, y), (x, 0.84), fill=GREEN, line=0.02)
        for petal_x, petal_y in regular(x, y, 0.09, 6, 1.0):
            picture.circle(petal_x, petal_y, 0.06, colour)
        picture.circle(x, y, 0.05, ORANGE if colour == YELLOW else WHITE)
    return picture
