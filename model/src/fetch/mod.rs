//! From a media reference to bytes: files, HTTP, object stores and `data:` URLs, each bounded in size and time.

mod file;
mod http;
mod object;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use crate::error::{MediaError, ModelError};
use crate::reference::{Location, MediaReference, is_data, shortened};

/// What a [`Fetcher`] allows.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The largest medium, in bytes. It is enforced while reading, so a body without end costs no more memory than this.
    pub max_bytes: usize,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long the other side may say nothing in the middle of an answer.
    pub read_timeout: Duration,
    /// How long one medium may take in all: retries, redirects and waits included.
    pub total_timeout: Duration,
    /// How often a transient failure is tried again.
    pub retries: u32,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// Settings of the object stores under the names of their environment variables in lower case, such as
    /// `aws_region` or `aws_endpoint`. By default what the environment holds (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    pub object_store: Vec<(String, String)>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(120),
            retries: 3,
            max_redirects: 5,
            object_store: object::environment(),
        }
    }
}

/// The bytes of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The content.
    pub bytes: Bytes,
    /// What the server, the store, the `data:` URL or the file's extension says they are, parameters included. A hint:
    /// [`crate::media::decode`] looks at the content first.
    pub media_type: Option<String>,
}

/// Fetches media. Clones share connections and clients.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    options: FetchOptions,
    http: http::HttpClient,
    objects: object::ObjectStores,
}

impl Fetcher {
    /// A fetcher with clients of its own.
    ///
    /// # Errors
    /// [`ModelError::Option`] where a limit is zero.
    pub fn new(options: FetchOptions) -> Result<Self, ModelError> {
        let zero = |option: &str| ModelError::Option {
            option: option.into(),
            message: "it must be above zero".into(),
        };
        if options.max_bytes == 0 {
            return Err(zero("max_bytes"));
        }
        for (name, timeout) in [
            ("connect_timeout", options.connect_timeout),
            ("read_timeout", options.read_timeout),
            ("total_timeout", options.total_timeout),
        ] {
            if timeout.is_zero() {
                return Err(zero(name));
            }
        }
        let http = http::HttpClient::new(&options);
        let objects = object::ObjectStores::new(&options);
        Ok(Self {
            shared: Arc::new(Shared { options, http, objects }),
        })
    }

    /// [`MediaReference::parse`], which decodes a `data:` URL as a whole, so that one that cannot be within `max_bytes` is
    /// refused before.
    ///
    /// # Errors
    /// [`MediaError::InvalidReference`], or [`MediaError::TooLarge`].
    pub fn parse(&self, reference: &str) -> Result<MediaReference, MediaError> {
        let max_bytes = self.shared.options.max_bytes;
        // A byte is at most three characters, `%0A`. The rest is for the media type.
        let most = max_bytes.saturating_mul(3).saturating_add(1024);
        if reference.len() > most && is_data(reference) {
            let message = format!(
                "a data: URL of {} bytes; the limit is {max_bytes}, decoded",
                reference.len()
            );
            return Err(MediaError::TooLarge {
                name: shortened(reference),
                message,
            });
        }
        MediaReference::parse(reference)
    }

    /// Fetches the medium that `reference` names (the whole one: a fragment is the decoder's business).
    ///
    /// Every fetch passes through here, whatever its scheme. Redirects of HTTP pass `http::HttpClient`'s policy.
    ///
    /// # Errors
    /// A [`MediaError`] that names the reference. Transient ones were tried again `retries` times before.
    pub async fn fetch(&self, reference: &MediaReference) -> Result<Fetched, MediaError> {
        let Shared { options, http, objects } = &*self.shared;
        let name = reference.to_string();
        let fetched = async {
            match reference.location() {
                Location::Data { media_type, bytes } => {
                    let bytes = within(bytes.clone(), options.max_bytes, &name)?;
                    Ok(Fetched {
                        bytes,
                        media_type: Some(media_type.clone()),
                    })
                }
                Location::File(path) => file::read(path, options.max_bytes, &name).await,
                Location::Http(url) => retry::with_backoff(options.retries, || http.get(url, &name)).await,
                // The stores' clients retry by themselves.
                Location::Object(url) => objects.get(url, &name).await,
            }
        };
        match tokio::time::timeout(options.total_timeout, fetched).await {
            Ok(fetched) => fetched,
            Err(_) => Err(MediaError::Timeout {
                message: format!("not complete after {:?}", options.total_timeout),
                name,
            }),
        }
    }
}

/// Gathers a body, and stops at the first byte past `max_bytes`.
async fn collect<E>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    expected: Option<u64>,
    max_bytes: usize,
    name: &str,
    failed: impl Fn(E) -> MediaError,
) -> Result<Bytes, MediaError> {
    if let Some(expected) = expected
        && expected > max_bytes as u64
    {
        return Err(too_large(Some(expected), max_bytes, name));
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(&failed)?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_large(None, max_bytes, name));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn within(bytes: Bytes, max_bytes: usize, name: &str) -> Result<Bytes, MediaError> {
    if bytes.len() > max_bytes {
        Err(too_large(Some(bytes.len() as u64), max_bytes, name))
    } else {
        Ok(bytes)
    }
}

fn too_large(found: Option<u64>, max_bytes: usize, name: &str) -> MediaError {
    let message = match found {
        Some(found) => format!("{found} bytes; the limit is {max_bytes}"),
        None => format!("more than the limit of {max_bytes} bytes"),
    };
    MediaError::TooLarge {
        name: name.to_owned(),
        message,
    }
}

/// What a file name's extension says about the content.
fn media_type_by_extension(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => "image/jpeg",
        "png" | "apng" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" | "dib" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "avif" => "image/avif",
        "heic" | "heif" => "image/heic",
        "svg" => "image/svg+xml",
        "txt" | "text" => "text/plain",
        "md" | "markdown" => "text/markdown",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "json" | "jsonl" => "application/json",
        "pdf" => "application/pdf",
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "avi" => "video/x-msvideo",
        _ => return None,
    })
}

/// A media type that says nothing (`application/octet-stream` and its kin) gives way to the extension.
fn media_type_or_extension(media_type: Option<&str>, path: &str) -> Option<String> {
    let says_something = |media_type: &&str| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        !essence.is_empty()
            && ![
                "application/octet-stream",
                "binary/octet-stream",
                "application/x-binary",
            ]
            .iter()
            .any(|vague| essence.eq_ignore_ascii_case(vague))
    };
    match media_type.filter(says_something) {
        Some(media_type) => Some(media_type.to_ascii_lowercase()),
        None => media_type_by_extension(path).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vague_media_type_gives_way_to_the_extension() {
        assert_eq!(
            media_type_or_extension(Some("image/PNG"), "/a.jpg").as_deref(),
            Some("image/png")
        );
        assert_eq!(
            media_type_or_extension(Some("application/octet-stream"), "/a.JPG").as_deref(),
            Some("image/jpeg")
        );
        assert_eq!(media_type_or_extension(None, "/v1.0/cat").as_deref(), None);
    }

    #[test]
    fn limits_of_zero_are_refused() {
        let options = FetchOptions {
            total_timeout: Duration::ZERO,
            ..FetchOptions::default()
        };
        let error = Fetcher::new(options).err().expect("refused").to_string();
        assert_eq!(error, "total_timeout: it must be above zero");
    }
}
