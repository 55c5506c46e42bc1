//! Where what is fetched goes: to memory, or, videos, images that move, and documents, to the cache on the disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use super::cache::{Cache, Partial, Room, Seat, Spool, SpoolError, Store, Validator, is_full};
use super::place::Trip;
use super::retry::Failure;
use super::{Content, Fetched, metrics, too_large};
use crate::error::MediaError;
use crate::kind::{HEAD, Kind, may_move, moves};

/// How much of what may land.
#[derive(Debug, Clone, Copy)]
pub(super) struct LandingLimits {
    /// Bytes in memory.
    pub(super) in_memory: usize,
    /// Bytes in a file.
    pub(super) in_file: u64,
    /// How long what goes to a file may take in all.
    pub(super) file_timeout: Duration,
}

/// Where one medium goes.
pub(super) struct Landing<'a> {
    cache: &'a Cache,
    limits: LandingLimits,
    /// Without one, nobody shares the medium.
    seat: Option<Seat>,
    /// What has come of a medium that nobody shares.
    alone: Option<Partial>,
    /// Room that was waited for.
    room: Option<Room>,
}

/// What comes.
pub(super) struct Body<S> {
    pub(super) stream: S,
    /// The length of the whole medium, where it is known.
    pub(super) expected: Option<u64>,
    pub(super) media_type: Option<String>,
    pub(super) validator: Validator,
    /// Whether it goes on where the last one broke off.
    pub(super) resumed: bool,
}

/// What came of what was to go to memory.
enum Gathered {
    All(Bytes),
    /// An image, which turns out to move, as far as it has come: it goes to a file.
    Moves(Bytes),
}

/// Why an attempt ended without a medium.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    /// There is no room for this many bytes now: wait for it, without a place, and try again.
    NoRoom(u64),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<MediaError> for Stop {
    fn from(error: MediaError) -> Self {
        Self::Failed(error.into())
    }
}

impl<'a> Landing<'a> {
    pub(super) fn new(cache: &'a Cache, limits: LandingLimits, seat: Option<Seat>) -> Self {
        Self {
            cache,
            limits,
            seat,
            alone: None,
            room: None,
        }
    }

    /// How many bytes have come, where they can be completed, and the tag by which.
    pub(super) fn resumable(&mut self) -> Option<(u64, String)> {
        let partial = self.partial().as_ref()?;
        let tag = partial.validator.strong()?.to_owned();
        Some((partial.spool.length(), tag)).filter(|(length, _)| *length > 0)
    }

    /// How many bytes have come of what goes to a file.
    pub(super) fn progress(&mut self) -> u64 {
        self.partial().as_ref().map_or(0, |partial| partial.spool.length())
    }

    /// What has come cannot be completed.
    pub(super) fn restart(&mut self) {
        *self.partial() = None;
    }

    /// By what the medium that is here can be asked whether it is still the same.
    pub(super) fn validator(&self) -> Option<&Validator> {
        self.seat.as_ref().and_then(Seat::validator)
    }

    /// The medium that is here is still the same. `None` if it was let go meanwhile.
    pub(super) fn not_modified(&mut self) -> Option<Fetched> {
        self.seat.as_mut().and_then(Seat::not_modified)
    }

    /// Tells those who wait for the same medium that it failed.
    pub(super) fn failed(self, error: &MediaError) {
        if let Some(seat) = self.seat {
            seat.failed(error);
        }
    }

    /// Waits for room for so many bytes, with what has come given up: who waits for room holds none.
    pub(super) async fn wait_for_room(&mut self, bytes: u64, name: &str) -> Result<(), MediaError> {
        self.restart();
        self.room = None;
        let store = self.store(name)?;
        self.room = Some(store.room(bytes).await);
        Ok(())
    }

    /// Takes what comes, as far as the limits go. `failed` names the failure of the stream.
    pub(super) async fn receive<S, E>(
        &mut self,
        mut body: Body<S>,
        trip: &mut Trip<'_>,
        failed: impl Fn(E) -> MediaError,
    ) -> Result<Fetched, Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut head = Bytes::new();
        if !body.resumed {
            self.restart();
            head = trip.spend(beginning(&mut body.stream)).await?.map_err(&failed)?;
            let first = &head[..head.len().min(HEAD)];
            let (kind, may_move) = (Kind::of(first, body.media_type.as_deref()), may_move(first));
            if !kind.has_parts() {
                if !may_move {
                    self.leave_seat();
                }
                let gathered = self.gather(head, may_move, &mut body, trip.name, &failed);
                match trip.spend(gathered).await?? {
                    Gathered::All(bytes) => {
                        self.leave_seat();
                        return Ok(Fetched {
                            content: Content::Memory(bytes),
                            media_type: body.media_type,
                        });
                    }
                    Gathered::Moves(bytes) => head = bytes,
                }
            }
            self.begin(&body, trip.name)?;
        }
        // None of it stays in memory.
        trip.holds(0);
        trip.extend(self.limits.file_timeout);
        let name = trip.name;
        trip.spend(self.spool(head, body.stream, body.expected, name, failed))
            .await?
    }

    /// Nobody waits for what goes to memory.
    fn leave_seat(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.goes_to_memory();
        }
    }

    /// The rest of what goes to memory. With `may_move` no more of it than tells that it does not belong there.
    async fn gather<S, E>(
        &self,
        head: Bytes,
        may_move: bool,
        body: &mut Body<S>,
        name: &str,
        failed: impl Fn(E) -> MediaError,
    ) -> Result<Gathered, MediaError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let most = self.limits.in_memory;
        if let Some(expected) = body.expected
            && expected > most as u64
            && !may_move
        {
            return Err(too_large(Some(expected), most, name));
        }
        let mut bytes = BytesMut::from(head);
        // Twice as much each time, so that it is not read over and over.
        let mut next_look = 0;
        loop {
            let chunk = match bytes.len() > most {
                true => None,
                false => body.stream.next().await.transpose().map_err(&failed)?,
            };
            if may_move && (chunk.is_none() || bytes.len() >= next_look) {
                if moves(&bytes[..]) {
                    bytes.extend_from_slice(chunk.as_deref().unwrap_or_default());
                    metrics::bytes(chunk.map_or(0, |chunk| chunk.len()));
                    return Ok(Gathered::Moves(bytes.freeze()));
                }
                next_look = 2 * bytes.len();
            }
            match chunk {
                None if bytes.len() > most => return Err(too_large(body.expected, most, name)),
                None => return Ok(Gathered::All(bytes.freeze())),
                Some(chunk) => {
                    metrics::bytes(chunk.len());
                    bytes.extend_from_slice(&chunk);
                }
            }
        }
    }

    /// Makes a file for a medium, with room for what is known of it.
    fn begin<S>(&mut self, body: &Body<S>, name: &str) -> Result<(), Stop> {
        let store = self.store(name)?;
        let expected = body.expected.unwrap_or(0);
        if expected > self.limits.in_file {
            return Err(file_too_large(Some(expected), self.limits.in_file, name).into());
        }
        if expected > store.limit() {
            return Err(cache_too_small(store.limit(), name).into());
        }
        let room = match self.room.take() {
            Some(room) if room.bytes >= expected => Some(room),
            _ => store.try_room(expected),
        };
        let room = room.ok_or(Stop::NoRoom(expected))?;
        let spool = Spool::new(&store, room).map_err(|error| disk_failed(&error, name))?;
        *self.partial() = Some(Partial {
            spool,
            media_type: body.media_type.clone(),
            validator: body.validator.clone(),
        });
        Ok(())
    }

    /// The rest of what goes to a file.
    async fn spool<S, E>(
        &mut self,
        head: Bytes,
        mut stream: S,
        expected: Option<u64>,
        name: &str,
        failed: impl Fn(E) -> MediaError,
    ) -> Result<Fetched, Stop>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let most = self.limits.in_file;
        let mut next = Some(head);
        while let Some(chunk) = next {
            let Some(partial) = self.partial() else {
                return Err(disk_failed(&io::Error::other("nothing was begun"), name).into());
            };
            if partial.spool.length() + chunk.len() as u64 > most {
                return Err(file_too_large(None, most, name).into());
            }
            let written = partial.spool.write(chunk).await;
            written.map_err(|error| stopped(error, name))?;
            next = stream.next().await.transpose().map_err(&failed)?;
            metrics::bytes(next.as_ref().map_or(0, Bytes::len));
        }
        // A server may give less than the rest. What has come stays, and the next attempt goes on from there.
        let length = self.progress();
        if let Some(expected) = expected
            && length < expected
        {
            return Err(MediaError::Unavailable {
                name: name.to_owned(),
                message: format!("the answer ended after {length} of {expected} bytes"),
            }
            .into());
        }
        let finished = match (&mut self.seat, self.alone.take()) {
            (Some(seat), _) => seat.finish().await,
            (None, Some(alone)) => alone.finish().await,
            (None, None) => Err(SpoolError::Disk(io::Error::other("nothing was begun"))),
        };
        finished.map_err(|error| stopped(error, name))
    }

    fn partial(&mut self) -> &mut Option<Partial> {
        match &mut self.seat {
            Some(seat) => seat.partial(),
            None => &mut self.alone,
        }
    }

    fn store(&self, name: &str) -> Result<Arc<Store>, MediaError> {
        self.cache.store().map_err(|reason| MediaError::Unsupported {
            name: name.to_owned(),
            message: format!("videos and documents need a cache, and its directory cannot be used: {reason}"),
        })
    }
}

/// The first [`HEAD`] bytes, and what came with them; or all.
async fn beginning<E>(stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) -> Result<Bytes, E> {
    let mut head = Bytes::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        metrics::bytes(chunk.len());
        head = match head.is_empty() {
            true => chunk,
            false => [&head[..], &chunk[..]].concat().into(),
        };
        if head.len() >= HEAD {
            break;
        }
    }
    Ok(head)
}

fn stopped(error: SpoolError, name: &str) -> Stop {
    match error {
        SpoolError::NoRoom(bytes) => Stop::NoRoom(bytes),
        SpoolError::TooLarge(limit) => cache_too_small(limit, name).into(),
        SpoolError::Disk(error) => disk_failed(&error, name).into(),
    }
}

/// It may pass: others use the disk as well.
fn disk_failed(error: &io::Error, name: &str) -> MediaError {
    let what = match is_full(error) {
        true => "the disk of the cache is full",
        false => "the cache cannot be written",
    };
    MediaError::Unavailable {
        name: name.to_owned(),
        message: format!("{what}: {error}"),
    }
}

fn cache_too_small(limit: u64, name: &str) -> MediaError {
    MediaError::TooLarge {
        name: name.to_owned(),
        message: format!("the cache that it has to go to holds {limit} bytes (--cache-bytes)"),
    }
}

/// A video or document that passes the limit.
pub(super) fn file_too_large(found: Option<u64>, limit: u64, name: &str) -> MediaError {
    let found = match found {
        Some(found) => format!("{found} bytes"),
        None => "more bytes".to_owned(),
    };
    MediaError::TooLarge {
        name: name.to_owned(),
        message: format!("{found}; the limit for videos and documents is {limit} (--max-file-bytes)"),
    }
}
