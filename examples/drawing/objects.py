"""Single things. Each function gives one `Picture`."""

import math

from drawing.picture import BLACK, BLUE, BROWN, GRASS, GREY, ORANGE, PURPLE, RED, SKY, WATER, WHITE, Picture, regular


def draw_bicycle(picture, colour, bottom, left=0.14, right=0.86):
    radius = 0.16
    wheel_y = bottom - radius
    rear, front = (left + 0.14, wheel_y), (right - 0.14, wheel_y)
    for x, y in (rear, front):
        picture.circle(x, y, radius, None, BLACK, 0.022)
        picture.circle(x, y, 0.02, BLACK)
    pedals = ((rear[0] + front[0]) / 2 - 0.03, wheel_y)
    seat, handle = (pedals[0] - 0.07, wheel_y - 0.24), (front[0] - 0.07, wheel_y - 0.24)
    picture.line(rear, pedals, seat, rear, fill=colour, line=0.028)
    picture.line(pedals, handle, seat, fill=colour, line=0.028)
    picture.line(front, handle, (handle[0] - 0.015, handle[1] - 0.08), fill=colour, line=0.028)
    picture.line((handle[0] - 0.06, handle[1] - 0.08), (handle[0] + 0.05, handle[1] - 0.08), line=0.026)
    picture.line(seat, (seat[0] - 0.012, seat[1] - 0.05), fill=colour, line=0.028)
    picture.line((seat[0] - 0.07, seat[1] - 0.05), (seat[0] + 0.05, seat[1] - 0.05), line=0.036)


def bicycle(colour):
    picture = Picture(352, 264, (244, 244, 238))
    draw_bicycle(picture, colour, 0.84)
    return picture


def bicycle_by_water():
    picture = Picture(400, 280, SKY)
    picture.gradient((196, 226, 248), SKY, 0.0, 0.42)
    picture.gradient(WATER, (84, 156, 204), 0.42, 0.72)
    picture.box(0, 0.72, 1, 1, GRASS)
    draw_bicycle(picture, RED, 0.9)
    return picture


def house(walls=(232, 196, 150), roof=RED):
    picture = Picture(320, 288, SKY)
    picture.box(0, 0.78, 1, 1, GRASS)
    picture.box(0.26, 0.44, 0.74, 0.82, walls)
    picture.polygon((0.2, 0.45), (0.5, 0.16), (0.8, 0.45), fill=roof)
    picture.box(0.45, 0.6, 0.55, 0.82, BROWN)
    for x in (0.31, 0.61):
        picture.box(x, 0.54, x + 0.09, 0.66, (188, 226, 250), WHITE, 0.012)
    return picture


def tree(crown):
    picture = Picture(240, 320, SKY)
    picture.box(0, 0.85, 1, 1, GRASS)
    picture.box(0.45, 0.5, 0.55, 0.88, BROWN)
    for x, y, radius in ((0.5, 0.3, 0.26), (0.33, 0.42, 0.2), (0.67, 0.42, 0.2)):
        picture.circle(x, y, radius, crown)
    return picture


def car():
    picture = Picture(384, 216, (226, 232, 238))
    picture.box(0, 0.78, 1, 1, (92, 96, 104))
    picture.polygon((0.27, 0.48), (0.36, 0.27), (0.64, 0.27), (0.75, 0.48), fill=BLUE)
    picture.polygon((0.32, 0.47), (0.38, 0.31), (0.49, 0.31), (0.49, 0.47), fill=(206, 230, 246))
    picture.polygon((0.51, 0.47), (0.51, 0.31), (0.62, 0.31), (0.69, 0.47), fill=(206, 230, 246))
    picture.box(0.14, 0.47, 0.87, 0.72, BLUE)
    for x in (0.3, 0.7):
        picture.circle(x, 0.74, 0.14, BLACK)
        picture.circle(x, 0.74, 0.06, GREY)
    return picture


def cup():
    picture = Picture(256, 256, (250, 240, 226))
    picture.box(0.16, 0.82, 0.84, 0.86, BROWN)
    picture.circle(0.68, 0.56, 0.13, None, BLUE, 0.04)
    picture.polygon((0.28, 0.4), (0.68, 0.4), (0.63, 0.8), (0.33, 0.8), fill=BLUE)
    for x in (0.38, 0.48, 0.58):
        picture.line((x, 0.34), (x + 0.03, 0.27), (x - 0.01, 0.2), (x + 0.02, 0.13), fill=GREY, line=0.016)
    return picture


def fish():
    picture = Picture(336, 224, WATER)
    picture.polygon((0.72, 0.5), (0.9, 0.3), (0.9, 0.7), fill=ORANGE)
    picture.draw.ellipse(picture.points((0.2, 0.28), (0.78, 0.72)), ORANGE)
    picture.circle(0.33, 0.45, 0.05, WHITE)
    picture.circle(0.33, 0.45, 0.025, BLACK)
    for x, y in ((0.12, 0.3), (0.1, 0.18), (0.14, 0.08)):
        picture.circle(x, y, 0.03, None, WHITE, 0.012)
    return picture


def umbrella():
    picture = Picture(256, 320, (206, 214, 224))
    picture.draw.pieslice(picture.points((0.1, 0.14), (0.9, 0.78)), 180, 360, PURPLE)
    picture.line((0.5, 0.12), (0.5, 0.84), fill=BLACK, line=0.024)
    picture.draw.arc(picture.points((0.36, 0.78), (0.5, 0.9)), 0, 180, BLACK, round(picture.unit(0.024)))
    for index in range(9):
        picture.line((0.08 + 0.1 * index, 0.02), (0.06 + 0.1 * index, 0.09), fill=BLUE, line=0.01)
    return picture


def clock():
    picture = Picture(240, 240, (238, 238, 240))
    picture.circle(0.5, 0.5, 0.42, WHITE, BLACK, 0.03)
    for hour in range(12):
        angle = math.radians(30 * hour)
        picture.circle(0.5 + 0.34 * math.sin(angle), 0.5 - 0.34 * math.cos(angle), 0.016, BLACK)
    picture.line((0.5, 0.5), (0.5, 0.24), line=0.024)
    picture.line((0.5, 0.5), (0.67, 0.58), fill=RED, line=0.03)
    return picture


def sign():
    picture = Picture(240, 240, SKY)
    picture.box(0.47, 0.6, 0.53, 1, GREY)
    picture.polygon(*regular(0.5, 0.4, 0.36, 8, 1.0, turn=22.5), fill=WHITE)
    picture.polygon(*regular(0.5, 0.4, 0.33, 8, 1.0, turn=22.5), fill=RED)
    picture.text(0.5, 0.4, "STOP", 0.19, WHITE, anchor="mm")
    return picture
