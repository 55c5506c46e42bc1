//! Documents: PDF, drawn by hayro.
//!
//! A document is parsed once and drawn page by page. Each page's fonts and images are kept while it is drawn and no longer,
//! and the parsed file is made anew before what its pages have left in it grows large: the thousandth page takes no more
//! memory than the first.

mod draw;
mod tree;

use std::fmt;
use std::sync::Arc;

use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use image::RgbImage;

use super::DecodeLimits;
use super::failure::Failure;
use crate::fetch::Content;

/// hayro keeps the decoded content of every page that was drawn. More bytes of it than this, and the file is parsed anew.
const MOST_KEPT: usize = 16 << 20;

/// The largest document, in bytes: it is in memory while it is open.
const MOST_BYTES: u64 = 512 << 20;

/// A document that is open.
pub struct Document {
    bytes: Arc<Vec<u8>>,
    /// For each page its place among those that hayro found; none for one that is not there.
    pages: Vec<Option<usize>>,
    /// Absent while a page is drawn, and after a panic in that: then it is parsed anew.
    pdf: Option<Pdf>,
    /// Bytes that `pdf` holds of pages that were drawn.
    kept: usize,
}

impl Document {
    /// Opens a document. Its bytes are in memory from here on.
    ///
    /// # Errors
    /// [`Failure::Corrupt`] for what is empty, no PDF document, or one without pages; [`Failure::Unsupported`] for one that
    /// opens with a password only; [`Failure::TooLarge`] for one that memory is not to hold.
    pub(crate) fn open(content: &Content) -> Result<Self, Failure> {
        if content.length() == 0 {
            return Err(Failure::Corrupt("it is empty".into()));
        }
        if content.length() > MOST_BYTES {
            return Err(Failure::TooLarge(format!(
                "a document of {} bytes; the limit is {MOST_BYTES}",
                content.length()
            )));
        }
        let bytes = content
            .bytes()
            .map_err(|error| Failure::Corrupt(format!("it cannot be read: {error}")))?;
        let bytes = Arc::new(Vec::from(bytes));
        let pdf = parse(&bytes)?;
        let pages = tree::pages(&pdf);
        // More than `u32` counts do not fit into a file that fits into memory.
        if pages.is_empty() {
            return Err(Failure::Corrupt("the document has no pages".into()));
        }
        Ok(Self {
            bytes,
            pages,
            pdf: Some(pdf),
            kept: 0,
        })
    }

    /// How many pages it has, at least 1.
    pub fn pages(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// Draws a page, counted from 1, at so many dots per inch: fewer where they would pass the limit of pixels. It is upright
    /// and what its crop box shows, on white. At its peak this takes 4 bytes a pixel, and 1 more for each mask of the page.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] for a page that the document does not have, [`Failure::Corrupt`] for one that cannot be
    /// drawn. The other pages go on, also after a panic in here.
    pub(crate) fn page(&mut self, page: u32, dpi: f32, limits: &DecodeLimits) -> Result<RgbImage, Failure> {
        let place = match page.checked_sub(1).and_then(|index| self.pages.get(index as usize)) {
            Some(&Some(place)) => place,
            Some(None) => return Err(Failure::Corrupt(format!("page {page} is not in the file"))),
            None => {
                let pages = match self.pages() {
                    1 => "1 page".to_owned(),
                    pages => format!("{pages} pages"),
                };
                return Err(Failure::Unsupported(format!(
                    "the document has {pages}; there is no page {page}"
                )));
            }
        };
        let pdf = match self.pdf.take() {
            Some(pdf) if self.kept < MOST_KEPT => pdf,
            old => {
                drop(old);
                self.kept = 0;
                parse(&self.bytes)?
            }
        };
        let found = &pdf.pages()[place];
        let drawn = draw::page(found, dpi, limits);
        self.kept += found.page_stream().map_or(0, <[u8]>::len);
        self.pdf = Some(pdf);
        drawn.map_err(|failure| failure.of(&format!("page {page}")))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.bytes.len())
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

fn parse(bytes: &Arc<Vec<u8>>) -> Result<Pdf, Failure> {
    Pdf::new(Arc::clone(bytes)).map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
            Failure::Unsupported("the document opens with a password only".into())
        }
        LoadPdfError::Decryption(DecryptionError::UnsupportedAlgorithm) => {
            Failure::Unsupported("the document is encrypted in a way that is not supported".into())
        }
        LoadPdfError::Decryption(DecryptionError::MissingIDEntry | DecryptionError::InvalidEncryption) => {
            Failure::Corrupt("the document's encryption is broken".into())
        }
        LoadPdfError::Invalid => Failure::Corrupt("no PDF document can be read in it".into()),
    })
}
