//! Documents and pages that cannot be read: what is said of them, and that the others go on.

use sightstream_model::error::MediaError;
use sightstream_model::media::Question;
use sightstream_model::reference::Fragment;

use crate::kit::{PdfPage, Read, document, file, fixture_bytes, stream};

fn refused(bytes: Vec<u8>) -> String {
    match Read::of(bytes).pages() {
        Ok(pages) => panic!("{pages} pages"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_document_is_refused() {
    assert_eq!(
        refused(b"%PDF-1.7\nand nothing else".to_vec()),
        "a.pdf: corrupt: no PDF document can be read in it"
    );
    let mut zeros = b"%PDF-1.7\n".to_vec();
    zeros.resize(10_000, 0);
    assert_eq!(refused(zeros), "a.pdf: corrupt: no PDF document can be read in it");
    assert_eq!(refused(document(&[])), "a.pdf: corrupt: the document has no pages");
}

#[test]
fn a_password_is_asked_for_and_one_that_nobody_needs_is_not() {
    assert_eq!(
        refused(fixture_bytes("password.pdf")),
        "a.pdf: not supported: the document opens with a password only"
    );
    let mut free = Read::of(fixture_bytes("owner.pdf"));
    assert_eq!(free.pages(), Ok(4));
    let mut plain = Read::of(fixture_bytes("report.pdf"));
    assert_eq!(free.page(2), plain.page(2));
}

#[test]
fn a_page_that_the_document_does_not_have_is_named() {
    let mut read = Read::of(document(&vec![PdfPage::corners(72, 72); 12]));
    assert_eq!(
        read.error(13),
        "a.pdf: not supported: the document has 12 pages; there is no page 13"
    );
    assert!(read.error(0).ends_with("there is no page 0"));
    assert!(read.error(u32::MAX).ends_with("there is no page 4294967295"));
    assert!(read.page(12).is_ok());
    let mut one = Read::of(document(&[PdfPage::corners(72, 72)]));
    assert!(one.error(2).ends_with("the document has 1 page; there is no page 2"));
    let span = Fragment::Time { start: 0.0, end: None };
    let error = one.ask(Some(span), Question::Input).expect_err("no time").to_string();
    assert_eq!(error, "a.pdf: not supported: a document has no span of time (#t=)");
}

#[test]
fn a_broken_page_among_good_ones_fails_alone_and_the_others_keep_their_numbers() {
    let page = |number: u32| {
        let mut page = PdfPage::corners(72 * number, 72);
        page.content = page.content.repeat(3);
        page
    };
    let mut bytes = document(&(1..=5).map(page).collect::<Vec<_>>());
    // The second page's object turns into something else; the fourth one's content is noise.
    let second = find(&bytes, b"5 0 obj\n") + 8;
    bytes[second..second + 2].copy_from_slice(b"((");
    let fourth = find(&bytes, b"10 0 obj\n");
    let start = fourth + find(&bytes[fourth..], b"stream\n") + 7;
    let end = fourth + find(&bytes[fourth..], b"\nendstream");
    bytes[start..end].fill(0xA7);
    let mut read = Read::of(bytes);
    assert_eq!(read.pages(), Ok(5));
    for number in [1, 3, 5] {
        assert_eq!(
            read.page(number).expect("a good page").dimensions(),
            (300 * number, 300)
        );
    }
    assert_eq!(read.error(2), "a.pdf: corrupt: page 2 is not in the file");
    assert_eq!(read.error(4), "a.pdf: corrupt: page 4: its content cannot be decoded");
    assert!(read.page(5).is_ok());
}

#[test]
fn an_empty_page_is_no_broken_one() {
    let mut without = PdfPage::corners(72, 72);
    without.content.clear();
    // What zlib makes of nothing.
    let nothing = [0x78, 0x9C, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01];
    let compressed = file(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R 5 0 R] /Count 2 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] /Contents [4 0 R] >>".to_vec(),
        stream("/Filter /FlateDecode", &nothing),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] /Contents 9 0 R >>".to_vec(),
    ]);
    let mut read = Read::of(compressed);
    let blank = read.page(1).expect("an empty page");
    assert!(blank.as_raw().iter().all(|&sample| sample == 255));
    assert_eq!(Read::of(document(&[without])).page(1), Ok(blank));
    assert_eq!(read.error(2), "a.pdf: corrupt: page 2: its content is not in the file");
}

#[test]
fn a_page_that_is_one_broken_image_is_not_an_empty_one() {
    let image = |data: &[u8]| {
        let dictionary = "/Type /XObject /Subtype /Image /Width 40 /Height 40 /ColorSpace /DeviceRGB \
                          /BitsPerComponent 8 /Filter /DCTDecode";
        let resources = "/Resources << /XObject << /I 5 0 R >> >>";
        file(&[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] {resources} /Contents 4 0 R >>").into_bytes(),
            stream("", b"72 0 0 72 0 0 cm /I Do"),
            stream(dictionary, data),
        ])
    };
    let mut jpeg = Vec::new();
    image::RgbImage::from_pixel(40, 40, image::Rgb([200, 30, 30]))
        .write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
        .expect("a vector takes it");
    let page = Read::of(image(&jpeg)).page(1).expect("drawn");
    assert!(
        page.get_pixel(150, 150)
            .0
            .iter()
            .zip([200, 30, 30])
            .all(|(&a, b)| a.abs_diff(b) < 6)
    );
    assert_eq!(
        Read::of(image(&[0x5A; 600])).error(1),
        "a.pdf: corrupt: page 1: its images cannot be decoded, and it shows nothing else"
    );
}

/// Nothing of it may panic here, nor loop: what is left is drawn, or said to be broken.
#[test]
fn a_truncated_file_gives_the_pages_that_are_there_or_an_error() {
    let ten = document(
        &(1..=10)
            .map(|number| PdfPage::corners(72 * number, 72))
            .collect::<Vec<_>>(),
    );
    let files = [
        (ten, 40),
        (fixture_bytes("scan.pdf"), 0),
        (fixture_bytes("report.pdf"), 0),
    ];
    for (whole, least) in files {
        let (mut drawn, mut broken) = (0, 0);
        for share in 1..16 {
            let mut read = Read::of(whole[..whole.len() * share / 16].to_vec());
            read.segmentation.page_dpi = 40.0;
            let pages = read
                .pages()
                .map(|pages| (1..=pages).map(|page| read.page(page)).collect::<Vec<_>>());
            for outcome in pages.unwrap_or_else(|error| vec![Err(error)]) {
                match outcome {
                    Ok(_) => drawn += 1,
                    Err(MediaError::Corrupt { .. }) => broken += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        // What a file begins with is found also where its table of references is gone.
        assert!(drawn >= least && broken > 0, "{drawn} pages drawn, {broken} errors");
    }
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let place = bytes.windows(what.len()).position(|window| window == what);
    place.expect("it is in the file")
}
