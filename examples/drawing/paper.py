"""The pages of a PDF document, written as PDF itself: text, lines and areas, in points from the bottom left corner."""

import random

from drawing.charts import WORDS
from drawing.picture import BLUE, GREEN, GREY, ORANGE, RED, WHITE, YELLOW

WIDTH, HEIGHT = 420, 595
FONTS = {"plain": "Helvetica", "bold": "Helvetica-Bold"}


class Page:
    def __init__(self, ground=WHITE):
        self.operators = []
        self.box(0, 0, WIDTH, HEIGHT, ground)

    def colour(self, colour, operator):
        self.operators.append(" ".join(f"{part / 255:.3f}" for part in colour) + f" {operator}")

    def box(self, x, y, width, height, fill):
        self.colour(fill, "rg")
        self.operators.append(f"{x} {y} {width} {height} re f")

    def polygon(self, *corners, fill):
        self.colour(fill, "rg")
        path = " ".join(f"{x} {y} {'l' if index else 'm'}" for index, (x, y) in enumerate(corners))
        self.operators.append(f"{path} f")

    def line(self, *points, fill=GREY, width=1.0):
        self.colour(fill, "RG")
        path = " ".join(f"{x} {y} {'l' if index else 'm'}" for index, (x, y) in enumerate(points))
        self.operators.append(f"{width} w {path} S")

    def text(self, x, y, text, size=11, fill=(40, 40, 46), font="plain"):
        self.colour(fill, "rg")
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        self.operators.append(f"BT /{font} {size} Tf {x} {y} Td ({escaped}) Tj ET")


def cover():
    page = Page((28, 44, 84))
    page.box(0, 250, WIDTH, 6, ORANGE)
    page.text(40, 420, "The harbour", 44, WHITE, "bold")
    page.text(40, 370, "in its hundredth year", 24, (222, 230, 246))
    page.polygon((250, 90), (390, 90), (360, 50), (280, 50), fill=(122, 82, 48))
    page.polygon((325, 100), (325, 220), (390, 100), fill=WHITE)
    page.polygon((315, 100), (315, 200), (260, 100), fill=RED)
    return page


def prose():
    generator, page = random.Random(31), Page()
    page.text(40, 540, "What happened this year", 22, font="bold")
    page.line((40, 528), (380, 528))
    for line in range(30):
        words = [generator.choice(WORDS) for _ in range(4 if line % 6 == 5 else 9)]
        page.text(40, 500 - 15.5 * line, " ".join(words))
    return page


def table():
    page = Page()
    page.text(40, 540, "Ships by country", 22, font="bold")
    page.box(40, 486, 340, 26, (200, 214, 240))
    rows = [("Country", "Ships", "Tonnes"), ("Norway", "312", "90 400"), ("Portugal", "207", "61 950"),
            ("Egypt", "88", "140 020"), ("Chile", "41", "33 700"), ("Japan", "129", "77 310"),
            ("Ghana", "64", "18 880"), ("Finland", "233", "50 005"), ("Peru", "17", "9 120")]
    for number, cells in enumerate(rows):
        y = 494 - 40 * number
        for column, cell in enumerate(cells):
            page.text(50 + 125 * column, y, cell, 14, font="plain" if number else "bold")
        page.line((40, y - 8), (380, y - 8))
    return page


def bars():
    page = Page()
    page.text(40, 540, "Visitors by month", 22, font="bold")
    for index, value in enumerate((60, 84, 130, 190, 260, 330, 372, 350, 248, 160, 96, 70)):
        page.box(50 + 27 * index, 110, 20, value, (RED, ORANGE, YELLOW, GREEN, BLUE)[index % 5])
        page.text(55 + 27 * index, 92, "JFMAMJJASOND"[index], 12)
    page.line((44, 490), (44, 110), (384, 110), width=2)
    return page


def chart_of_the_bay():
    page = Page((196, 222, 240))
    page.polygon((0, 0), (0, 340), (90, 300), (150, 190), (260, 150), (420, 200), (420, 0), fill=(206, 190, 140))
    page.polygon((250, 420), (320, 470), (370, 430), (330, 370), fill=(206, 190, 140))
    page.line((40, 595), (140, 380), (230, 300), (300, 200), fill=RED, width=3)
    for x, y in ((140, 380), (230, 300)):
        page.polygon((x - 8, y), (x, y + 12), (x + 8, y), (x, y - 12), fill=RED)
    page.text(40, 540, "Chart of the bay", 22, font="bold")
    page.text(276, 416, "Gull Island", 12)
    page.text(60, 80, "Old town", 16)
    return page


def document(pages):
    """The bytes of a PDF file."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    fonts = " ".join(f"/{name} << /Type /Font /Subtype /Type1 /BaseFont /{font} >>" for name, font in FONTS.items())
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} /MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources 3 0 R >>",
        f"<< /Font << {fonts} >> >>",
    ]
    for number, page in enumerate(pages):
        content = "\n".join(page.operators)
        objects.append(f"<< /Type /Page /Parent 2 0 R /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    file, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(file))
        file += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    file += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return (file + f"startxref\n{file.rindex('xref' + chr(10))}\n%%EOF\n").encode("ascii")


def report():
    return document([cover(), prose(), table(), bars(), chart_of_the_bay()])
