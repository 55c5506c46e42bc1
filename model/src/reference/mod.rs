//! Media references: the addresses that SQL, Kafka records and payloads carry.
//!
//! | reference | names |
//! | --- | --- |
//! | `photos/cat.jpg`, `/data/cat.jpg`, `file:///data/cat.jpg` | a file |
//! | `https://host/cat.jpg` | what an HTTP server gives |
//! | `s3://bucket/key`, `gs://bucket/key`, `az://container/key` | an object |
//! | `data:text/plain,red%20bicycle`, `data:,red%20bicycle`, `data:image/png;base64,…` | the medium itself (RFC 2397) |
//!
//! A fragment names a part: `#t=30,60` (seconds, W3C Media Fragments) or `#page=3` (RFC 8118).

mod fragment;
mod redact;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::MediaError;
pub use fragment::Fragment;
use fragment::split_fragment;
pub use redact::without_credentials;
pub(crate) use redact::{is_data, redacted_url, shortened};
use redact::{shown, shown_raw};

/// Padding is often left out of hand-written `data:` URLs, so it is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A parsed media reference. Its `Display` is the address without user name, password and credentials in the query, and
/// with long `data:` URLs cut: fit for logs, errors and dead letters.
#[derive(Clone, PartialEq)]
pub struct MediaReference {
    location: Location,
    fragment: Option<Fragment>,
    shown: String,
}

/// Where a medium lies.
#[derive(Clone, PartialEq)]
pub enum Location {
    /// A file of this machine.
    File(PathBuf),
    /// `http:` or `https:`.
    Http(Url),
    /// An object of a store: `s3:`, `gs:` or `az:`.
    Object(Url),
    /// The medium itself, out of a `data:` URL.
    Data {
        /// As written, in lower case, parameters included; `text/plain;charset=us-ascii` where the URL names none.
        media_type: String,
        /// The decoded content.
        bytes: Bytes,
    },
}

impl MediaReference {
    /// Reads a reference.
    ///
    /// What follows a `#` and is neither `t=` nor `page=` is part of the name in a path, a `file:` URL, an object's key
    /// and a `data:` URL (where people do write `C#`), and means nothing in an `http:` URL.
    ///
    /// # Errors
    /// [`MediaError::InvalidReference`], naming the reference and what is wrong with it.
    pub fn parse(reference: &str) -> Result<Self, MediaError> {
        let parsed = match scheme(reference) {
            Some((scheme, rest)) => match scheme.as_str() {
                "data" => parse_data(rest),
                "file" => parse_file_url(reference),
                "http" | "https" => parse_http(reference),
                "s3" | "gs" | "az" => parse_object(reference),
                _ if rest.starts_with("//") => Err(format!(
                    "the scheme `{}` is not supported; use a path, file:, http:, https:, s3:, gs:, az: or data:",
                    shortened(&scheme)
                )),
                // `notes: 1.txt` and `a:b.png` are file names too.
                _ => parse_path(reference),
            },
            None => parse_path(reference),
        };
        match parsed {
            Ok((location, fragment)) => Ok(Self {
                shown: shown(reference, &location, fragment.is_some()),
                location,
                fragment,
            }),
            Err(message) => Err(MediaError::InvalidReference {
                name: shown_raw(reference),
                message,
            }),
        }
    }

    /// Where the medium lies.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Which part of it is meant; `None` is the whole.
    pub fn fragment(&self) -> Option<&Fragment> {
        self.fragment.as_ref()
    }

    /// A part of the medium that this names as a whole. The bytes of a `data:` URL are shared.
    pub fn with_fragment(&self, fragment: Fragment) -> Self {
        Self {
            location: self.location.clone(),
            fragment: Some(fragment),
            shown: part_address(&self.shown, &fragment),
        }
    }
}

/// The address of the medium, which `reference` begins with, and which part of it is meant. Two references with equal
/// addresses and parts name the same, however the part is spelled.
///
/// Nothing else is read or checked: a reference whose fragment is none keeps it, and is refused by
/// [`MediaReference::parse`].
pub fn split_part(reference: &str) -> (&str, Option<Fragment>) {
    match split_fragment(reference) {
        // What follows a `#` in an http URL is no part of the address.
        Ok((address, fragment)) if is_http(reference) => (address.split('#').next().unwrap_or_default(), fragment),
        Ok(split) => split,
        Err(_) => (reference, None),
    }
}

/// The reference of a part of the medium at `address`, as [`split_part`] gives it.
pub fn part_address(address: &str, part: &Fragment) -> String {
    format!("{address}#{part}")
}

/// The reference in one line, so that references can stand in lines: line breaks are encoded where they are data, and left
/// out where a URL does not count them.
///
/// # Errors
/// [`MediaError::InvalidReference`] for a path that has one, which cannot be written otherwise.
pub fn one_line(reference: &str) -> Result<Cow<'_, str>, MediaError> {
    if !reference.contains(['\n', '\r']) {
        return Ok(Cow::Borrowed(reference));
    }
    if is_data(reference) {
        return Ok(Cow::Owned(reference.replace('\n', "%0A").replace('\r', "%0D")));
    }
    match MediaReference::parse(reference)?.location {
        Location::File(_) if scheme(reference).is_none_or(|(scheme, _)| scheme != "file") => {
            Err(MediaError::InvalidReference {
                name: shown_raw(reference),
                message: "a path with a line break; write it as a file: URL, with %0A".into(),
            })
        }
        _ => Ok(Cow::Owned(reference.replace(['\n', '\r'], ""))),
    }
}

impl fmt::Display for MediaReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

// Debug output ends in logs as easily as Display does, so it hides the same things.
impl fmt::Debug for MediaReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MediaReference").field(&self.shown).finish()
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Http(url) => f.debug_tuple("Http").field(&redacted_url(url)).finish(),
            Self::Object(url) => f.debug_tuple("Object").field(&redacted_url(url)).finish(),
            Self::Data { media_type, bytes } => f
                .debug_struct("Data")
                .field("media_type", media_type)
                .field("bytes", &bytes.len())
                .finish(),
        }
    }
}

type Parsed = (Location, Option<Fragment>);

/// The scheme in lower case and what follows its colon. One letter is no scheme (`C:\cat.jpg`).
fn scheme(reference: &str) -> Option<(String, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let well_formed = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    well_formed.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn is_http(reference: &str) -> bool {
    scheme(reference).is_some_and(|(scheme, _)| matches!(scheme.as_str(), "http" | "https"))
}

fn parse_path(reference: &str) -> Result<Parsed, String> {
    let (path, fragment) = split_fragment(reference)?;
    if path.is_empty() {
        return Err("it is empty".into());
    }
    if path.contains('\0') {
        return Err("a path cannot hold a NUL character".into());
    }
    Ok((Location::File(PathBuf::from(path)), fragment))
}

fn parse_file_url(reference: &str) -> Result<Parsed, String> {
    let (address, fragment) = split_fragment(reference)?;
    let url = parse_url(&address.replace('#', "%23"))?;
    let path = url
        .to_file_path()
        .map_err(|()| "a file: URL names no host but localhost, as in file:///data/cat.jpg".to_owned())?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("a path cannot hold a NUL character".into());
    }
    Ok((Location::File(path), fragment))
}

fn parse_http(reference: &str) -> Result<Parsed, String> {
    let (_, fragment) = split_fragment(reference)?;
    let mut url = parse_url(reference)?;
    url.set_fragment(None);
    Ok((Location::Http(url), fragment))
}

fn parse_object(reference: &str) -> Result<Parsed, String> {
    let (address, fragment) = split_fragment(reference)?;
    let url = parse_url(&address.replace('#', "%23"))?;
    let bucket = url.host_str().unwrap_or_default();
    if bucket.is_empty() || url.path().len() < 2 {
        return Err("it needs a bucket and a key, as in s3://bucket/cat.jpg".into());
    }
    // The bucket becomes part of the store's URL, and of its host on some stores. `az://container@account/` would choose
    // the account.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
    let names_more = url.port().is_some() || !url.username().is_empty() || url.password().is_some();
    if names_more || !bucket.chars().all(is_plain) || bucket.starts_with('.') || bucket.contains("..") {
        return Err("between // and the key stands the name of a bucket alone: letters, digits, - _ . and $".into());
    }
    Ok((Location::Object(url), fragment))
}

/// `rest` is what follows `data:` — `[<media type>][;base64],<data>` (RFC 2397).
fn parse_data(rest: &str) -> Result<Parsed, String> {
    let (rest, fragment) = split_fragment(rest)?;
    let (header, data) = rest
        .split_once(',')
        .ok_or("a data: URL needs a comma, as in data:text/plain,red%20bicycle")?;
    let header = header.trim().to_ascii_lowercase();
    let (media_type, base64) = match header.rsplit_once(';') {
        Some((media_type, last)) if last.trim() == "base64" => (media_type.to_owned(), true),
        _ if header == "base64" => return Err("base64 follows a semicolon, as in data:image/png;base64,…".into()),
        _ => (header, false),
    };
    let media_type = match media_type.as_str() {
        "" => "text/plain;charset=us-ascii".to_owned(),
        parameters if parameters.starts_with(';') => format!("text/plain{parameters}"),
        _ => media_type,
    };
    let decoded = Cow::from(percent_decode_str(data));
    let bytes = if base64 {
        let compact: Vec<u8> = decoded
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        Bytes::from(
            BASE64
                .decode(&compact)
                .map_err(|error| format!("its base64 does not decode: {error}"))?,
        )
    } else {
        Bytes::from(decoded.into_owned())
    };
    Ok((Location::Data { media_type, bytes }, fragment))
}

fn parse_url(address: &str) -> Result<Url, String> {
    Url::parse(address).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
