"""Makes model/tests/documents: PDF documents as programs write them, with their fonts inside.

    python3 -m venv docvenv
    docvenv/bin/pip install reportlab==5.1.0 matplotlib==3.11.2 pikepdf==10.17.0 pillow
    docvenv/bin/python model/reference/make_document_fixtures.py

report.pdf      reportlab: two columns of text; a table, bars and a photo; the same page turned; a page cut by its crop box
charts.pdf      matplotlib: lines with a legend; a picture with contours; bars that one sees through
form.pdf        reportlab: fields and boxes, which are annotations
scan.pdf        one grey JPEG on each of two pages, as scanners write them
password.pdf    report.pdf, encrypted: it opens with a password only
owner.pdf       report.pdf, encrypted, and opens without one

The same versions give the same bytes, but for the two that are encrypted.
"""

import io
import math
import random
from pathlib import Path

import matplotlib
import pikepdf
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table, TableStyle

matplotlib.use("pdf")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.backends.backend_pdf import PdfPages  # noqa: E402

DOCUMENTS = Path(__file__).resolve().parent.parent / "tests" / "documents"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"

WORDS = """harbour boats left before dawn while rain fell over the quarter and prices of copper rose again the council
met twice in spring to speak about the bridge its piers need repair and traffic over it has doubled since the ferry
stopped running most visitors come by train now walk along the river and leave in the evening two new halls were
opened for the winter market and the library keeps longer hours""".split()


def sentences(seed, count):
    generator = random.Random(seed)
    for _ in range(count):
        words = [generator.choice(WORDS) for _ in range(generator.randint(7, 16))]
        yield " ".join(words).capitalize() + "."


def photo(width, height, seed):
    """Hills under a sky, with a little noise."""
    generator = random.Random(seed)
    image = Image.new("RGB", (width, height))
    pixels = image.load()
    for x in range(width):
        ridge = height * (0.55 + 0.1 * math.sin(x / 23 + seed) + 0.05 * math.sin(x / 7))
        for y in range(height):
            shade = generator.randint(-9, 9)
            colour = (150 + y // 3, 190 + y // 6, 236) if y < ridge else (70 + y // 4, 120 + y // 8, 64)
            pixels[x, y] = tuple(max(0, min(255, part + shade)) for part in colour)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return buffer


def paragraph(canvas, text, x, top, width, style):
    flowed = Paragraph(text, style)
    _, height = flowed.wrap(width, 2000)
    flowed.drawOn(canvas, x, top - height)
    return top - height


def report_first_page(canvas):
    canvas.setFont("Sans-Bold", 22)
    canvas.drawString(60, 770, "Yearly report of the harbour")
    canvas.setStrokeColor(colors.HexColor("#2654ba"))
    canvas.line(60, 758, 535, 758)
    body = ParagraphStyle("body", fontName="Serif", fontSize=9.5, leading=12.5, alignment=4)
    head = ParagraphStyle("head", fontName="Sans-Bold", fontSize=12, leading=16, spaceBefore=6)
    for column, x in enumerate((60, 308)):
        top = 735
        for section in range(3):
            seed = column * 10 + section
            top = paragraph(canvas, f"{column * 3 + section + 1}. {next(sentences(seed, 1))[:30]}", x, top, 226, head) - 4
            for part in range(3):
                top = paragraph(canvas, " ".join(sentences(100 + seed * 7 + part, 4)), x, top, 226, body) - 6
    canvas.setFont("Sans", 8)
    canvas.drawCentredString(297, 30, "page 1")


def report_second_page(canvas):
    canvas.setFont("Sans-Bold", 16)
    canvas.drawString(60, 775, "Ships and goods")
    rows = [["Quarter", "Ships", "Tonnes", "Share"]]
    rows += [[f"Q{n}", str(120 + 31 * n % 57), f"{8.4 * n + 3:.1f}", f"{17 + 5 * n} %"] for n in range(1, 9)]
    table = Table(rows, colWidths=[110, 90, 110, 90])
    table.setStyle(TableStyle([
        ("FONT", (0, 0), (-1, 0), "Sans-Bold", 10), ("FONT", (0, 1), (-1, -1), "Sans", 10),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#dee6f4")), ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("ALIGN", (1, 1), (-1, -1), "RIGHT"),
    ]))
    table.wrapOn(canvas, 400, 300)
    table.drawOn(canvas, 60, 570)
    drawing, bars = Drawing(400, 180), VerticalBarChart()
    bars.x, bars.y, bars.width, bars.height = 30, 25, 350, 140
    bars.data = [(13, 25, 20, 32, 18, 29), (9, 14, 22, 17, 26, 30)]
    bars.bars[0].fillColor, bars.bars[1].fillColor = colors.HexColor("#d62828"), colors.HexColor("#2654ba")
    bars.categoryAxis.categoryNames = ["Jan", "Mar", "May", "Jul", "Sep", "Nov"]
    bars.categoryAxis.labels.fontName = bars.valueAxis.labels.fontName = "Sans"
    drawing.add(bars)
    drawing.drawOn(canvas, 60, 360)
    canvas.drawImage(ImageReader(jpeg(photo(320, 200, 3), 82)), 60, 90, 360, 225)
    canvas.setFont("Serif", 9)
    canvas.drawString(60, 74, "The hills behind the harbour, seen from the north pier.")


def report():
    for name, file in [("Sans", "DejaVuSans"), ("Sans-Bold", "DejaVuSans-Bold"), ("Serif", "DejaVuSerif")]:
        pdfmetrics.registerFont(TTFont(name, str(FONTS / f"{file}.ttf")))
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    for page in (report_first_page, report_second_page, report_second_page, report_first_page):
        page(canvas)
        canvas.showPage()
    canvas.save()
    with pikepdf.open(buffer) as pdf:
        pdf.pages[2].Rotate = 90
        pdf.pages[3].CropBox = [40.5, 380.25, 560, 800]
        save(pdf, "report.pdf")
        everything = pikepdf.Permissions()
        for name, user in [("password.pdf", "harbour"), ("owner.pdf", "")]:
            pdf.save(DOCUMENTS / name, encryption=pikepdf.Encryption(owner="mole", user=user, R=6, allow=everything))


def save(pdf, name):
    pdf.save(DOCUMENTS / name, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def charts():
    xs = [x / 20 for x in range(200)]
    with PdfPages(DOCUMENTS / "charts.pdf", metadata={"CreationDate": None}) as pages:
        figure, axes = plt.subplots(figsize=(8, 5))
        for number in range(1, 4):
            axes.plot(xs, [math.sin(x * number / 2) * (10 - x) for x in xs], label=f"wave {number}")
        axes.set(title="Height of the water", xlabel="hours", ylabel="metres")
        axes.grid(True)
        axes.legend()
        pages.savefig(figure)

        figure, axes = plt.subplots(figsize=(6, 6))
        field = [[math.sin(x / 6) + math.cos(y / 9) for x in range(60)] for y in range(60)]
        axes.imshow(field, cmap="viridis", origin="lower")
        axes.contour(field, colors="white", linewidths=0.8)
        axes.set_title(r"$f(x, y) = \sin\frac{x}{6} + \cos\frac{y}{9}$")
        pages.savefig(figure)

        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
        generator = random.Random(5)
        for number in range(3):
            left.hist([generator.gauss(number, 1) for _ in range(400)], bins=30, alpha=0.5, label=f"set {number}")
        left.legend()
        right.pie([45, 25, 20, 10], labels=["wind", "water", "sun", "gas"], autopct="%1.0f%%")
        pages.savefig(figure)
        plt.close("all")


def form():
    canvas = Canvas(str(DOCUMENTS / "form.pdf"), pagesize=(420, 595), invariant=1)
    canvas.setFont("Sans-Bold", 16)
    canvas.drawString(40, 540, "Request for a berth")
    canvas.setFont("Sans", 10)
    for number, (name, value) in enumerate([("Ship", "Aurora"), ("Master", "J. Lindgren"), ("Length", "31 m")]):
        top = 490 - 50 * number
        canvas.drawString(40, top, name)
        canvas.acroForm.textfield(
            name=name, value=value, x=130, y=top - 8, width=220, height=24, fontSize=12, fillColor=colors.lightyellow,
        )
    for number, name in enumerate(["Water", "Power", "Crane"]):
        canvas.acroForm.checkbox(name=name, x=130, y=320 - 34 * number, size=18, checked=number != 1)
        canvas.drawString(160, 325 - 34 * number, name)
    canvas.save()


def scan():
    canvas = Canvas(str(DOCUMENTS / "scan.pdf"), pagesize=A4, invariant=1)
    font = ImageFont.truetype(str(FONTS / "DejaVuSerif.ttf"), 19)
    for number in range(2):
        page = Image.new("L", (700, 990), 246)
        draw = ImageDraw.Draw(page)
        for line, sentence in enumerate(sentences(number + 40, 18)):
            draw.text((64, 80 + 40 * line), sentence[:56], fill=40, font=font)
        if number:
            draw.ellipse((440, 760, 620, 940), outline=70, width=7)
        page = page.rotate(0.6 - number, fillcolor=240, resample=Image.Resampling.BICUBIC)
        canvas.drawImage(ImageReader(jpeg(page, 35)), 0, 0, *A4)
        canvas.showPage()
    canvas.save()


def main():
    DOCUMENTS.mkdir(exist_ok=True)
    report()
    charts()
    form()
    scan()
    for file in sorted(DOCUMENTS.iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
