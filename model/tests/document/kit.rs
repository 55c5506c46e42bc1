//! Documents for tests: files as programs write them, and small ones written here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::RgbImage;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::Content;
use sightstream_model::media::{Answer, DecodeLimits, Media, Parts, Question, Reader, Reading, Segmentation};
use sightstream_model::reference::Fragment;

/// A file of model/reference/make_document_fixtures.py.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name)
}

pub fn fixture_bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect(name)
}

/// A page of a [`document`].
#[derive(Debug, Clone)]
pub struct PdfPage {
    /// Left, bottom, right, top, in points; written as it is.
    pub media_box: String,
    /// More of the page's dictionary.
    pub more: String,
    /// What is drawn.
    pub content: Vec<u8>,
}

impl PdfPage {
    /// A page of a size, with a red corner at the bottom left and a blue one at the top right, each a quarter.
    pub fn corners(width: u32, height: u32) -> Self {
        let (x, y) = (width / 2, height / 2);
        Self {
            media_box: format!("0 0 {width} {height}"),
            more: String::new(),
            content: format!("1 0 0 rg 0 0 {x} {y} re f 0 0 1 rg {x} {y} {x} {y} re f").into_bytes(),
        }
    }
}

/// A document of pages, as PDF 1.4 with a plain table of references.
pub fn document(pages: &[PdfPage]) -> Vec<u8> {
    let mut objects = vec![b"<< /Type /Catalog /Pages 2 0 R >>".to_vec()];
    let kids = (0..pages.len()).fold(String::new(), |mut kids, page| {
        let _ = write!(kids, "{} 0 R ", 3 + 2 * page);
        kids
    });
    objects.push(format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len()).into_bytes());
    for (number, page) in pages.iter().enumerate() {
        let content = 4 + 2 * number;
        let PdfPage { media_box, more, .. } = page;
        let dictionary =
            format!("<< /Type /Page /Parent 2 0 R /MediaBox [{media_box}] {more} /Contents {content} 0 R >>");
        objects.push(dictionary.into_bytes());
        objects.push(stream("", &page.content));
    }
    file(&objects)
}

/// A stream object's text.
pub fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend_from_slice(content);
    object.extend_from_slice(b"\nendstream");
    object
}

/// A file of numbered objects, the catalogue first.
pub fn file(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut table = String::from("0000000000 65535 f \n");
    for (index, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        file.extend_from_slice(format!("{} 0 obj\n", index + 1).as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let (start, count) = (file.len(), objects.len() + 1);
    let trailer = format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    file.extend_from_slice(format!("xref\n0 {count}\n{table}{trailer}").as_bytes());
    file
}

/// One document in memory, read with the given limits.
pub struct Read {
    pub reader: Reader,
    pub content: Content,
    pub limits: DecodeLimits,
    pub segmentation: Segmentation,
}

impl Read {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            reader: Reader::default(),
            content: Content::Memory(bytes.into()),
            limits: DecodeLimits::default(),
            segmentation: Segmentation::default(),
        }
    }

    pub fn ask(&mut self, fragment: Option<Fragment>, question: Question) -> Result<Answer, MediaError> {
        let reading = Reading {
            media_type: Some("application/pdf"),
            fragment: fragment.as_ref(),
            question,
            limits: &self.limits,
            segmentation: &self.segmentation,
            name: "a.pdf",
        };
        self.reader.read(&self.content, &reading, &|image| image)
    }

    pub fn page(&mut self, page: u32) -> Result<RgbImage, MediaError> {
        match self.ask(Some(Fragment::Page(page)), Question::Input)? {
            Answer::Media(Media::Page(image)) => Ok(image),
            other => panic!("{other:?}"),
        }
    }

    /// How many pages it says that it has.
    pub fn pages(&mut self) -> Result<u32, MediaError> {
        match self.ask(None, Question::Parts)? {
            Answer::Parts(Parts::Pages(pages)) => Ok(pages),
            other => panic!("{other:?}"),
        }
    }

    /// What is wrong with a page.
    pub fn error(&mut self, page: u32) -> String {
        match self.page(page) {
            Ok(image) => panic!("page {page} is {} x {}", image.width(), image.height()),
            Err(error) => error.to_string(),
        }
    }
}
