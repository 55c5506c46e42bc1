#!/usr/bin/env python3
"""Draws the sample media of examples/media and writes their manifest, and draws what is searched with, examples/queries.
Needs Pillow 10.1 or newer, ffmpeg with x264 and VP9, and poppler's pdftoppm.

    python3 examples/make_media.py

The same programs give the same bytes. Every picture is drawn at twice its size and reduced, which smooths its edges.
One picture, `boat_at_dusk.jpg`, is cut off in its middle on purpose: a folder of real media holds such files too.

A query shows what one medium shows, and is not the same: a short film of a place that a long one comes by, drawn anew,
and a photograph of a page of the document, as a hand holds it.
"""

import io
import json
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from drawing import charts, films, objects, paper, scenes, shapes
from drawing.picture import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, WHITE, YELLOW

MEDIA = Path(__file__).resolve().parent / "media"
QUERIES = MEDIA.parent / "queries"

# (file, title, kind, picture)
PICTURES = [
    ("red_circle.png", "Red circle on white", "shape", shapes.circle(RED, WHITE)),
    ("blue_circle.png", "Blue circle on yellow", "shape", shapes.circle(BLUE, YELLOW)),
    ("green_circle.webp", "Green circle on black", "shape", shapes.circle(GREEN, BLACK)),
    ("blue_square_on_green.png", "Blue square on green", "shape", shapes.square(BLUE, (150, 206, 140))),
    ("orange_square.webp", "Orange square on grey", "shape", shapes.square(ORANGE, (206, 208, 212))),
    ("yellow_triangle.png", "Yellow triangle on blue", "shape", shapes.regular_shape(3, YELLOW, BLUE)),
    ("purple_hexagon.png", "Purple hexagon on white", "shape", shapes.regular_shape(6, PURPLE, WHITE, 256, 224)),
    ("star.png", "Yellow star on a dark blue ground", "shape", shapes.star()),
    ("heart.webp", "Red heart", "shape", shapes.heart()),
    ("two_circles.png", "A green and an orange circle side by side", "shape", shapes.two_circles()),
    ("target.png", "Red and white target of concentric rings", "shape", shapes.rings()),
    ("red_stripes.png", "Red and white stripes, upright", "pattern", shapes.stripes((RED, WHITE), True)),
    ("blue_stripes.png", "Blue and yellow stripes, level", "pattern", shapes.stripes((BLUE, YELLOW), False)),
    ("checkerboard.png", "Black and white checkerboard", "pattern", shapes.checkerboard()),
    ("dots.webp", "Rows of coloured dots", "pattern", shapes.dots()),
    ("rainbow.jpg", "Rainbow in a blue sky", "pattern", shapes.rainbow()),
    ("grey_ramp.png", "Steps from black to white", "pattern", shapes.grey_ramp()),
    ("red_bicycle.png", "Red bicycle", "object", objects.bicycle(RED)),
    ("blue_bicycle.jpg", "Blue bicycle", "object", objects.bicycle(BLUE)),
    ("house.png", "House with a red roof", "object", objects.house()),
    ("white_house.webp", "White house with a blue roof", "object", objects.house(WHITE, BLUE)),
    ("summer_tree.jpg", "Green tree in summer", "object", objects.tree((58, 138, 62))),
    ("autumn_tree.jpg", "Orange tree in autumn", "object", objects.tree((222, 120, 38))),
    ("blue_car.webp", "Blue car on a road", "object", objects.car()),
    ("cup.png", "Blue cup of hot coffee", "object", objects.cup()),
    ("fish.jpg", "Orange fish in the sea", "object", objects.fish()),
    ("umbrella.webp", "Purple umbrella in the rain", "object", objects.umbrella()),
    ("clock.png", "Clock on a wall at four o'clock", "object", objects.clock()),
    ("stop_sign.jpg", "Stop sign at the roadside", "object", objects.sign()),
    ("sun_over_water.jpg", "Sun setting over water", "scene", scenes.sun_over_water()),
    ("bicycle_by_water.jpg", "Red bicycle near water", "scene", objects.bicycle_by_water()),
    ("mountains.jpg", "Two mountains with snow on top", "scene", scenes.mountains()),
    ("night_city.webp", "City at night under the moon", "scene", scenes.night_city()),
    ("desert.jpg", "Cactus in a desert", "scene", scenes.desert()),
    ("snowfall.webp", "Snow falling on fir trees", "scene", scenes.snow()),
    ("boat.jpg", "White sailing boat on the sea", "scene", scenes.boat((140, 196, 240), (214, 234, 248), WHITE)),
    ("boat_at_dusk.jpg", "Red sailing boat at dusk", "scene", scenes.boat((70, 52, 110), (232, 132, 92), RED)),
    ("road.webp", "Straight road through fields", "scene", scenes.road()),
    ("flowers.png", "Three flowers in a meadow", "scene", scenes.flowers()),
    ("bar_chart.png", "Bar chart of visitors by month", "chart", charts.bar_chart()),
    ("line_chart.png", "Line chart of rows per second", "chart", charts.line_chart()),
    ("pie_chart.webp", "Pie chart of energy sources", "chart", charts.pie_chart()),
    ("scatter_plot.png", "Scatter plot of height and weight", "chart", charts.scatter_plot()),
    ("flow_diagram.png", "Diagram of a stream: topic, embed, index", "chart", charts.flow_diagram()),
    ("report_page.png", "First page of a yearly report", "document", charts.text_page("Yearly report", 1)),
    ("letter.jpg", "Letter with a few lines of text", "document", charts.text_page("Dear archive", 2, lines=8)),
    ("invoice.webp", "Invoice with four items and a total", "document", charts.invoice()),
    ("slide.png", "Slide of a quarterly review", "document", charts.slide()),
    ("weather_table.png", "Table of rain and sun in four cities", "document", charts.table_page()),
    ("sticky_note.webp", "Yellow sticky note: call the harbour at nine", "document", charts.sticky_note()),
]

X264 = ["libx264", "-preset", "veryslow", "-crf", "27", "-g", "60"]
VP9 = ["libvpx-vp9", "-crf", "40", "-b:v", "0"]

# (file, title, frames, frames a second, codec). The first is longer than one clip may be: it has windows.
FILMS = [
    ("seven_places.mp4", "Seven places, half a minute each", films.seven_places, 2, X264),
    ("jumping_ball.webm", "A red ball jumps over a meadow", films.ball, 10, VP9),
]

DOCUMENT = ("harbour_report.pdf", "Report of the harbour, five pages")

# What is searched with: four seconds of snow, and a photograph of the page with the chart of the bay.
QUERY_FILM = "snow_again.mp4"
QUERY_PAGE, PHOTOGRAPHED = "photo_of_a_page.jpg", 5

# (id, title, text)
TEXTS = [
    ("text_bicycle", "Bicycles by the river", "A red bicycle leans on a fence near the water."),
    ("text_sunset", "Evening at the coast", "The sun sets over a calm sea and colours the waves orange."),
    ("text_mountain", "Mountain weather", "Snow stays on the two highest mountains until June."),
    ("text_house", "For sale", "Small house with a red roof, two windows and a garden."),
    ("text_city", "City lights", "At night the windows of the city shine yellow under the moon."),
    ("text_fish", "Reef notes", "An orange fish swims past, blowing bubbles."),
    ("text_coffee", "Break", "A hot cup of coffee on a wooden table."),
    ("text_rain", "Forecast", "Rain all day: take an umbrella."),
    ("text_car", "Traffic", "A blue car drives along a grey road."),
    ("text_desert", "Travel diary", "A single cactus stands in the sand of the desert."),
    ("text_chart", "How to read it", "Each bar shows the number of visitors in one month."),
    ("text_invoice", "Accounts", "The invoice adds up to three hundred and is due on Friday."),
    ("text_stop", "Road rules", "Come to a full halt at an eight-sided red sign."),
    ("text_flowers", "Meadow", "Red, yellow and purple flowers bloom in the meadow."),
    ("text_boat", "Harbour log", "A sailing boat with white sails left the harbour at nine."),
    ("text_shapes", "Geometry lesson", "A circle has no corners, a square has four, a hexagon six."),
]

BROKEN = "boat_at_dusk.jpg"
# Kept the way a phone keeps a picture taken upright: the pixels lie on their side, and EXIF says how to turn them.
TURNED = "summer_tree.jpg"
GREYSCALE = {"grey_ramp.png", "checkerboard.png"}
EXIF_ORIENTATION = 0x0112


def encode(name, image):
    """The bytes of the file `name`, its format taken from the name."""
    if name in GREYSCALE:
        image = image.convert("L")
    buffer = io.BytesIO()
    if name.endswith(".png"):
        image.save(buffer, "PNG", optimize=True)
    elif name.endswith(".webp"):
        image.save(buffer, "WEBP", quality=82, method=6)
    elif name == TURNED:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=82, exif=exif)
    else:
        image.save(buffer, "JPEG", quality=82)
    content = buffer.getvalue()
    return content[: len(content) // 2] if name == BROKEN else content


def photograph(page):
    """A page of the document on a dark table, a little turned."""
    with tempfile.TemporaryDirectory() as folder:
        drawn, number = Path(folder) / "page", str(page)
        command = ["pdftoppm", "-r", "90", "-f", number, "-l", number, "-singlefile", "-png"]
        subprocess.run([*command, MEDIA / DOCUMENT[0], drawn], check=True)
        image = Image.open(drawn.with_suffix(".png")).convert("RGB")
    return image.rotate(0.8, Image.Resampling.BICUBIC, fillcolor=(92, 84, 78)).point(lambda part: round(part * 0.96))


def main():
    MEDIA.mkdir(exist_ok=True)
    QUERIES.mkdir(exist_ok=True)
    entries = []
    for name, title, kind, picture in PICTURES:
        (MEDIA / name).write_bytes(encode(name, picture.finished()))
        entries.append({"id": Path(name).stem, "path": name, "title": title, "kind": kind})
    for name, title, frames, rate, codec in FILMS:
        films.encoded(frames(rate), rate, codec, MEDIA / name)
        entries.append({"id": Path(name).stem, "path": name, "title": title, "kind": "video"})
    name, title = DOCUMENT
    (MEDIA / name).write_bytes(paper.report())
    entries.append({"id": Path(name).stem, "path": name, "title": title, "kind": "document"})
    films.encoded(films.other_snow(10), 10, X264, QUERIES / QUERY_FILM)
    photograph(PHOTOGRAPHED).save(QUERIES / QUERY_PAGE, "JPEG", quality=80)
    entries += [{"id": id, "text": text, "title": title, "kind": "text"} for id, title, text in TEXTS]
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    (MEDIA / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    total = sum(file.stat().st_size for file in MEDIA.iterdir())
    print(f"{len(PICTURES)} pictures, {len(FILMS)} films, a document and {len(TEXTS)} texts, {total / 1024:.0f} KiB in {MEDIA}")


if __name__ == "__main__":
    main()
