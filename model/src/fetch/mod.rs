//! From a media reference to bytes: files, HTTP, object stores and `data:` URLs, each bounded in size, time and reach.
//!
//! Images and text are read into memory. Videos and documents, which their first bytes tell, are in files: those of this
//! machine where they lie, and others in a cache on the disk.

mod address;
mod budget;
mod cache;
mod connector;
mod content;
mod file;
mod guard;
mod http;
mod landing;
mod media_type;
mod metrics;
mod object;
mod options;
mod place;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tokio::sync::Semaphore;
use url::Url;

use crate::error::{MediaError, ModelError};
use crate::kind::{HEAD, Kind, moves};
use crate::reference::{Location, MediaReference, is_data, shortened};
pub use address::{AddressClass, special};
pub use budget::{FetchedBytes, Share};
use cache::{Age, Cache, Found, Key, Validator};
pub use content::{Content, Identity, MediaFile};
pub use guard::{Resolver, SystemResolver};
pub use ipnet::IpNet;
use landing::{Body, Landing, LandingLimits, Stop};
pub use options::FetchOptions;
pub use place::{FetchPlace, FetchPlaces};
use place::{Hosts, Trip};
use retry::Attempts;

/// The shortest wait that the log tells of, once a minute and host: where a host asks for patience, and not where it failed
/// once or twice.
const TOLD_WAIT: Duration = Duration::from_secs(1);

/// An attempt that brings so many bytes of a medium that can be completed was no failure.
const PROGRESS: u64 = 1 << 20;

/// A medium before it is decoded.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The bytes: in memory, or in a file.
    pub content: Content,
    /// What the server, the store, the `data:` URL or the file's extension says they are, parameters included. A hint:
    /// [`crate::media::Reader`] looks at the content first.
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
    files: file::Files,
    hosts: Hosts,
    cache: Cache,
    landing: LandingLimits,
}

impl Fetcher {
    /// A fetcher with clients of its own.
    ///
    /// # Errors
    /// [`ModelError::Option`] where a limit is zero, an allowed directory is none, the cache's directory cannot be used, or
    /// the proxy is no URL.
    pub fn new(options: FetchOptions) -> Result<Self, ModelError> {
        Self::with_resolver(options, Arc::new(SystemResolver))
    }

    /// As [`Fetcher::new`], with names resolved by `resolver`.
    ///
    /// # Errors
    /// Those of [`Fetcher::new`].
    pub fn with_resolver(options: FetchOptions, resolver: Arc<dyn Resolver>) -> Result<Self, ModelError> {
        options.validate()?;
        metrics::describe();
        let http = http::HttpClient::new(&options, Arc::clone(&resolver))?;
        let objects = object::ObjectStores::new(&options, resolver);
        let files = file::Files::new(&options)?;
        let hosts = Hosts::new(options.concurrency_per_host.min(Semaphore::MAX_PERMITS));
        let cache = Cache::new(
            options.cache_directory.clone(),
            options.cache_bytes,
            options.cache_fresh_for,
        )?;
        let landing = LandingLimits {
            in_memory: options.max_bytes,
            in_file: options.max_file_bytes,
            file_timeout: options.file_timeout,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                options,
                http,
                objects,
                files,
                hosts,
                cache,
                landing,
            }),
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
    /// # Errors
    /// A [`MediaError`] that names the reference. Transient ones were tried again `retries` times before.
    pub async fn fetch(&self, reference: &MediaReference) -> Result<Fetched, MediaError> {
        self.fetch_in(reference, &mut FetchPlaces::new(1, None).place()).await
    }

    /// As [`Fetcher::fetch`], with `place` held while a request runs and when the medium is there.
    ///
    /// Every fetch passes through here, whatever its scheme, and each has its guard: the allowed directories in [`file`],
    /// the allowed networks in `guard`, for every redirect again.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub async fn fetch_in(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        let Shared {
            options, files, hosts, ..
        } = &*self.shared;
        let name = reference.to_string();
        let mut trip = Trip::new(&name, place, hosts, options.total_timeout);
        let fetched = match reference.location() {
            Location::Data { media_type, bytes } => {
                trip.start().await;
                match within(bytes.clone(), options.max_bytes, &name) {
                    Ok(bytes) => self.fetch_data(bytes, media_type, &mut trip).await,
                    Err(error) => Err(error),
                }
            }
            Location::File(path) => {
                let mut attempts = Attempts::new(options.retries, false);
                loop {
                    trip.start().await;
                    let error = match trip.spend(files.read(path, &name)).await.flatten() {
                        Ok(fetched) => {
                            trip.holds(fetched.content.in_memory());
                            break Ok(fetched);
                        }
                        Err(error) => error,
                    };
                    // Too many files are open, or a file server is away.
                    match attempts.wait_after(error.into(), trip.left()) {
                        Ok(rest) => trip.rest(rest).await,
                        Err(error) => break Err(error),
                    }
                }
            }
            Location::Http(url) | Location::Object(url) => self.fetch_remote(reference, url, &mut trip).await,
        };
        let outcome = fetched.as_ref().map_or_else(MediaError::reason, |_| "ok");
        metrics::fetched(reference.location(), outcome);
        fetched
    }

    /// What stands in the reference itself. Decoders get videos, images that move, and documents in a file.
    async fn fetch_data(&self, bytes: Bytes, media_type: &str, trip: &mut Trip<'_>) -> Result<Fetched, MediaError> {
        let head = &bytes[..bytes.len().min(HEAD)];
        if !Kind::of(head, Some(media_type)).has_parts() && !moves(&bytes[..]) {
            return Ok(Fetched {
                content: Content::Memory(bytes),
                media_type: Some(media_type.to_owned()),
            });
        }
        trip.holds_at_least(bytes.len());
        let cache = &self.shared.cache;
        let seat = match cache.ask(Key::of_content(&bytes), Age::Any).await {
            Found::Here(fetched) => return Ok(fetched),
            Found::Failed(error) => return Err(error.named(trip.name)),
            Found::Seat(seat) => Some(seat),
            Found::InMemory => None,
        };
        let mut landing = Landing::new(cache, self.shared.landing, seat);
        loop {
            let body = Body {
                stream: stream::iter([Ok::<_, MediaError>(bytes.clone())]),
                expected: Some(bytes.len() as u64),
                media_type: Some(media_type.to_owned()),
                validator: Validator::default(),
                resumed: false,
            };
            match landing.receive(body, trip, |error| error).await {
                Ok(fetched) => return Ok(fetched),
                Err(Stop::NoRoom(room)) => {
                    // Others hold places while they wait for this one, which therefore must not wait for a place again.
                    trip.give_back();
                    landing.wait_for_room(room, trip.name).await?;
                }
                Err(Stop::Failed(failure)) => {
                    landing.failed(&failure.error);
                    return Err(failure.error);
                }
            }
        }
    }

    /// What is on another machine: from the cache, or by asking for it.
    async fn fetch_remote(
        &self,
        reference: &MediaReference,
        url: &Url,
        trip: &mut Trip<'_>,
    ) -> Result<Fetched, MediaError> {
        let cache = &self.shared.cache;
        // Whoever asks for the whole asks whether it has changed: a record that came again is embedded anew. Parts are of the
        // medium that was looked at with the whole.
        let age = match reference.fragment() {
            Some(_) => Age::Fresh,
            None => Age::Checked,
        };
        let seat = match cache.ask(Key::of_url(url), age).await {
            Found::Here(fetched) => return Ok(fetched),
            Found::Failed(error) => return Err(error.named(trip.name)),
            Found::Seat(seat) => Some(seat),
            Found::InMemory => None,
        };
        let mut landing = Landing::new(cache, self.shared.landing, seat);
        let fetched = self.attempt(reference, url, trip, &mut landing).await;
        if let Err(error) = &fetched {
            landing.failed(error);
        }
        fetched
    }

    /// Tries until it is there, or will not come.
    async fn attempt(
        &self,
        reference: &MediaReference,
        url: &Url,
        trip: &mut Trip<'_>,
        landing: &mut Landing<'_>,
    ) -> Result<Fetched, MediaError> {
        let Shared {
            options,
            http,
            objects,
            hosts,
            ..
        } = &*self.shared;
        let is_object = matches!(reference.location(), Location::Object(_));
        let mut attempts = Attempts::new(options.retries, is_object);
        loop {
            let before = landing.progress();
            let fetched = match is_object {
                true => objects.get(url, trip, landing).await,
                false => http.get(url, trip, landing).await,
            };
            let failure = match fetched {
                Ok(fetched) => return Ok(fetched),
                Err(Stop::Failed(failure)) => failure,
                Err(Stop::NoRoom(bytes)) => {
                    trip.give_back();
                    landing.wait_for_room(bytes, trip.name).await?;
                    continue;
                }
            };
            if landing.resumable().is_some() && landing.progress() >= before + PROGRESS {
                attempts.progressed();
            }
            let reason = failure.error.to_string();
            let rest = attempts.wait_after(failure, trip.left())?;
            metrics::retried();
            let host = if is_object {
                object::bucket(url).to_owned()
            } else {
                http::host(url)
            };
            if rest.wait >= TOLD_WAIT && hosts.is_to_be_told(&host) {
                tracing::warn!(
                    host,
                    reason,
                    wait_ms = rest.wait.as_millis() as u64,
                    "waiting to fetch again"
                );
            }
            trip.rest(rest).await;
        }
    }
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
