//! Which pixels a page has: its resolution, boxes and rotation.

use image::{Rgb, RgbImage};
use sightstream_model::media::{Answer, DecodeLimits, Media, Parts, Question};

use crate::kit::{PdfPage, Read, document};

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const RED: Rgb<u8> = Rgb([255, 0, 0]);
const BLUE: Rgb<u8> = Rgb([0, 0, 255]);

fn drawn(page: PdfPage) -> RgbImage {
    Read::of(document(&[page])).page(1).expect("it can be drawn")
}

/// The colours a tenth of a side away from each corner: top left, top right, bottom left, bottom right.
fn corners(image: &RgbImage) -> [Rgb<u8>; 4] {
    let (width, height) = image.dimensions();
    let (near_x, near_y) = (width / 10, height / 10);
    let (far_x, far_y) = (width - 1 - near_x, height - 1 - near_y);
    [(near_x, near_y), (far_x, near_y), (near_x, far_y), (far_x, far_y)].map(|(x, y)| *image.get_pixel(x, y))
}

#[test]
fn a_page_is_drawn_at_300_dots_per_inch_on_white() {
    let image = drawn(PdfPage::corners(144, 72));
    assert_eq!(image.dimensions(), (600, 300));
    assert_eq!(corners(&image), [WHITE, BLUE, RED, WHITE]);
    let red = image.pixels().filter(|&&pixel| pixel == RED).count();
    assert_eq!(red, 300 * 150);

    let mut read = Read::of(document(&[PdfPage::corners(144, 72)]));
    read.segmentation.page_dpi = 36.0;
    assert_eq!(read.page(1).expect("drawn").dimensions(), (72, 36));
}

#[test]
fn a_page_is_turned_as_it_says() {
    for (turn, size, expected) in [
        (0, (600, 300), [WHITE, BLUE, RED, WHITE]),
        (90, (300, 600), [RED, WHITE, WHITE, BLUE]),
        (180, (600, 300), [WHITE, RED, BLUE, WHITE]),
        (270, (300, 600), [BLUE, WHITE, WHITE, RED]),
        (-90, (300, 600), [BLUE, WHITE, WHITE, RED]),
        (450, (300, 600), [RED, WHITE, WHITE, BLUE]),
    ] {
        let mut page = PdfPage::corners(144, 72);
        page.more = format!("/Rotate {turn}");
        let image = drawn(page);
        assert_eq!((image.dimensions(), corners(&image)), (size, expected), "{turn}");
    }
}

#[test]
fn the_crop_box_is_what_shows() {
    let mut page = PdfPage::corners(144, 72);
    // The lower left quarter, and what lies beyond the page's edge, which does not show.
    page.more = "/CropBox [-50 -50 72 36]".into();
    let image = drawn(page.clone());
    assert_eq!(image.dimensions(), (300, 150));
    assert!(image.pixels().all(|&pixel| pixel == RED));

    page.more = "/CropBox [72 36 144 72] /Rotate 90".into();
    let image = drawn(page);
    assert_eq!(image.dimensions(), (150, 300));
    assert!(image.pixels().all(|&pixel| pixel == BLUE));
}

#[test]
fn boxes_may_start_anywhere_and_be_written_backwards() {
    let mut page = PdfPage::corners(144, 72);
    page.content = b"1 0 0 rg 1000 -500 72 36 re f".to_vec();
    page.media_box = "1144 -428 1000 -500".into();
    let image = drawn(page);
    assert_eq!(image.dimensions(), (600, 300));
    assert_eq!(corners(&image), [WHITE, WHITE, RED, WHITE]);
}

#[test]
fn a_page_of_ten_metres_is_drawn_with_fewer_dots() {
    let ten_metres = 28_346;
    let limit = DecodeLimits { max_pixels: 4_000_000 };
    for (width, height, size) in [
        (ten_metres, ten_metres, (2000, 2000)),
        (ten_metres, ten_metres / 100, (20_000, 200)),
        (ten_metres, 10, (65_280, 24)),
        (10, ten_metres, (24, 65_280)),
    ] {
        let mut read = Read::of(document(&[PdfPage::corners(width, height)]));
        read.limits = limit;
        let image = read.page(1).expect("drawn");
        let near = |found: u32, expected: u32| found.abs_diff(expected) <= 1;
        assert!(
            near(image.width(), size.0) && near(image.height(), size.1),
            "{width} x {height}: {:?}",
            image.dimensions()
        );
        assert!(u64::from(image.width()) * u64::from(image.height()) <= limit.max_pixels);
        assert_eq!(corners(&image), [WHITE, BLUE, RED, WHITE], "{width} x {height}");
    }
}

#[test]
fn pages_without_area_are_refused_each_alone() {
    let boxes = [
        "0 0 0 0",
        "0 0 72 0",
        "5 5 5 90",
        "0 0 72",
        "(a) (b) (c) (d)",
        "0 0 99999999999999999999999999999999999999999 72",
    ];
    for media_box in boxes {
        let mut broken = PdfPage::corners(72, 72);
        broken.media_box = media_box.into();
        let mut read = Read::of(document(&[broken, PdfPage::corners(72, 72)]));
        match read.page(1) {
            // A box that cannot be read is no box, and a page without one is A4.
            Ok(image) => assert_eq!(image.dimensions(), (2481, 3508), "{media_box}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.starts_with("a.pdf: corrupt: page 1: its size is "),
                    "{media_box}: {error}"
                );
            }
        }
        assert_eq!(read.page(2).expect("the other page").dimensions(), (300, 300));
    }
    let mut apart = PdfPage::corners(72, 72);
    apart.more = "/CropBox [100 100 200 200]".into();
    let error = Read::of(document(&[apart])).error(1);
    assert_eq!(error, "a.pdf: corrupt: page 1: its size is 0 x 0 points");
}

#[test]
fn one_page_is_an_input_and_several_are_parts() {
    let mut read = Read::of(document(&[PdfPage::corners(72, 36)]));
    match read.ask(None, Question::Input).expect("a page") {
        Answer::Media(Media::Page(page)) => assert_eq!(page.dimensions(), (300, 150)),
        other => panic!("{other:?}"),
    }
    assert_eq!(read.pages(), Ok(1));
    let mut read = Read::of(document(&vec![PdfPage::corners(72, 36); 3]));
    let parts = Answer::Parts(Parts::Pages(3));
    assert_eq!(read.ask(None, Question::Input), Ok(parts.clone()));
    assert_eq!(read.ask(None, Question::Parts), Ok(parts));
}
