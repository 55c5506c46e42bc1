"""Charts and documents. Each function gives one `Picture`."""

import random

from drawing.picture import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WHITE, YELLOW, Picture

WORDS = (
    "stream batch vector index query ledger harbour copper window signal margin season archive letter garden engine "
    "market bridge number winter record paper light river report across between under total yearly shared open"
).split()


def axes(picture, title):
    picture.text(0.5, 0.08, title, 0.075, anchor="mm")
    picture.line((0.12, 0.16), (0.12, 0.86), (0.94, 0.86), line=0.008)


def bar_chart():
    picture = Picture(384, 288)
    axes(picture, "Visitors by month")
    for index, (name, value) in enumerate(zip(("Jan", "Feb", "Mar", "Apr", "May"), (0.24, 0.38, 0.33, 0.52, 0.64))):
        x = 0.18 + 0.15 * index
        picture.box(x, 0.86 - value, x + 0.09, 0.855, (BLUE, ORANGE, GREEN, RED, PURPLE)[index])
        picture.text(x + 0.045, 0.92, name, 0.055, anchor="mm")
    return picture


def line_chart():
    picture = Picture(400, 260)
    axes(picture, "Rows per second")
    values = (0.7, 0.62, 0.66, 0.5, 0.44, 0.47, 0.33, 0.26)
    corners = [(0.16 + 0.105 * index, value) for index, value in enumerate(values)]
    picture.line(*corners, fill=RED, line=0.016)
    for x, y in corners:
        picture.circle(x, y, 0.018, RED)
    return picture


def pie_chart():
    picture = Picture(288, 288)
    picture.text(0.5, 0.08, "Energy sources", 0.075, anchor="mm")
    start = -90
    for share, colour in ((0.42, BLUE), (0.27, YELLOW), (0.19, GREEN), (0.12, GREY)):
        picture.draw.pieslice(picture.points((0.18, 0.2), (0.82, 0.84)), start, start + 360 * share, colour)
        start += 360 * share
    return picture


def scatter_plot():
    generator = random.Random(11)
    picture = Picture(320, 320)
    axes(picture, "Height and weight")
    for _ in range(60):
        x = generator.random()
        y = min(1.0, max(0.0, x + generator.gauss(0, 0.12)))
        picture.circle(0.16 + 0.74 * x, 0.82 - 0.6 * y, 0.013, BLUE)
    return picture


def flow_diagram():
    picture = Picture(448, 168)
    for index, name in enumerate(("topic", "embed", "index")):
        x = 0.06 + 0.33 * index
        picture.box(x, 0.32, x + 0.22, 0.68, (232, 240, 252), BLUE, 0.02)
        picture.text(x + 0.11, 0.5, name, 0.15, anchor="mm")
        if index < 2:
            picture.line((x + 0.23, 0.5), (x + 0.31, 0.5), line=0.02)
            picture.polygon((x + 0.325, 0.5), (x + 0.295, 0.43), (x + 0.295, 0.57), fill=BLACK)
    return picture


def text_page(title, seed, lines=14):
    generator = random.Random(seed)
    picture = Picture(270, 360, (252, 251, 247))
    picture.text(0.1, 0.09, title, 0.075)
    picture.line((0.1, 0.14), (0.9, 0.14), line=0.004)
    for index in range(lines):
        sentence = " ".join(generator.choice(WORDS) for _ in range(5 if index % 5 < 4 else 2))
        picture.text(0.1, 0.2 + 0.052 * index, sentence, 0.042, (52, 52, 58))
    return picture


def invoice():
    picture = Picture(280, 364)
    picture.text(0.1, 0.09, "INVOICE", 0.1, BLUE)
    picture.text(0.1, 0.16, "No. 2041", 0.05, GREY)
    rows = (("Paper", "12.00"), ("Copper wire", "48.50"), ("Window glass", "230.00"), ("Delivery", "9.90"))
    for index, (name, price) in enumerate(rows):
        y = 0.3 + 0.08 * index
        picture.text(0.1, y, name, 0.055)
        picture.text(0.9, y, price, 0.055, anchor="rm")
        picture.line((0.1, y + 0.04), (0.9, y + 0.04), fill=(210, 212, 216), line=0.004)
    picture.text(0.1, 0.68, "Total", 0.07)
    picture.text(0.9, 0.68, "300.40", 0.07, anchor="rm")
    return picture


def slide():
    picture = Picture(432, 243, (28, 44, 84))
    picture.text(0.07, 0.2, "Quarterly review", 0.13, WHITE)
    for index, point in enumerate(("Traffic up by a third", "Two new regions", "Costs unchanged")):
        picture.circle(0.09, 0.44 + 0.16 * index, 0.02, ORANGE)
        picture.text(0.13, 0.44 + 0.16 * index, point, 0.085, (222, 230, 246))
    return picture


def table_page():
    picture = Picture(336, 252)
    picture.box(0.06, 0.1, 0.94, 0.26, (222, 230, 244))
    rows = ("City Rain Sun", "Lisbon 62 280", "Oslo 81 170", "Cairo 2 340", "Quito 95 190")
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells.split()):
            picture.text(0.1 + 0.36 * column, 0.18 + 0.16 * row, cell, 0.08)
        picture.line((0.06, 0.26 + 0.16 * row), (0.94, 0.26 + 0.16 * row), fill=GREY, line=0.004)
    return picture


def sticky_note():
    picture = Picture(200, 200, (255, 240, 130))
    for index, line in enumerate(("call the", "harbour", "at nine")):
        picture.text(0.5, 0.28 + 0.22 * index, line, 0.15, (70, 60, 30), anchor="mm")
    return picture
