//! Decodes frames of a video by their ranks, and no more than they need.
//!
//! Each packet is sent to the decoder with its place as its time, and each frame comes back with it, so that what comes is
//! checked against the index: a frame that does not come, comes twice, or comes out of order is a [`Miss`], and the caller
//! goes another way.

mod position;

use std::collections::BTreeSet;

use ffmpeg_next::ffi;

use crate::fetch::Content;
use crate::media::DecodeLimits;
use crate::media::failure::Failure;
use crate::media::video::bitstream::Syntax;
use crate::media::video::container::Container;
use crate::media::video::decoder::{Decoder, Received};
use crate::media::video::ffmpeg::{Frame, Packet};
use crate::media::video::index::{Index, UNSEEN};

/// Up to so many packets are read, and decoded where they have to be, rather than sought past.
const NEAR: usize = 16;

/// How often a decoder may fail in a row without taking a packet.
const FAILURES: u32 = 1000;

/// Why frames were not found where the index has them.
#[derive(Debug)]
pub(super) enum Miss {
    /// What is decoded is not what the index says.
    Disagrees(&'static str),
    /// The medium fails.
    Failed(Failure),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What is done with a frame; `false` ends decoding.
type See<'a> = &'a mut dyn FnMut(&Index, &Frame) -> Result<bool, Failure>;

/// A video with its decoder at some place.
#[derive(Debug)]
pub(super) struct Player {
    content: Content,
    limits: DecodeLimits,
    container: Container,
    decoder: Decoder,
    index: Index,
    syntax: Syntax,
    packet: Packet,
    /// Whether `packet` is the next one already.
    is_read: bool,
    /// The place of the packet that is read next.
    next: usize,
    /// The place of the packet with which the decoder began; `None` where it has to begin anew.
    run: Option<usize>,
    /// The frames whose packets the decoder has.
    waiting: BTreeSet<u32>,
    /// The last frame that was decoded, and its rank.
    frame: Frame,
    last: Option<u32>,
    /// Whether the decoder was told that nothing follows.
    drained: bool,
    /// How many packets were decoded.
    decoded: u64,
}

/// A frame that is wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    rank: u32,
    place: usize,
    key: usize,
}

impl Player {
    /// Opens a video: reads its packets, and decodes the first frame.
    pub(super) fn open(content: &Content, limits: &DecodeLimits, threads: usize) -> Result<Self, Failure> {
        let mut container = Container::open(content, limits)?;
        let decoder = Decoder::open(&container, limits, threads)?;
        let index = Index::read(&mut container, content.length())?;
        let mut player = Self {
            syntax: Syntax::of(container.parameters()),
            content: content.clone(),
            limits: *limits,
            container,
            decoder,
            index,
            packet: Packet::new()?,
            is_read: false,
            next: 0,
            run: None,
            waiting: BTreeSet::new(),
            frame: Frame::new()?,
            last: None,
            drained: false,
            decoded: 0,
        };
        player.find_first_frame()?;
        Ok(player)
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    pub(super) fn decoded(&self) -> u64 {
        self.decoded
    }

    /// Streams that were cut out of others begin with frames that cannot be decoded: time begins with the first that can.
    fn find_first_frame(&mut self) -> Result<(), Failure> {
        if self.index.frames() == 0 {
            return Err(Failure::Corrupt("the video holds no frame".into()));
        }
        if !self.restart(0)? {
            return Err(Failure::Corrupt("the video cannot be read twice the same way".into()));
        }
        let mut failures = 0;
        loop {
            match self.decoder.receive(&mut self.frame) {
                Received::Frame => break,
                Received::Hungry => self.send_next(),
                Received::Failed if failures < FAILURES => failures += 1,
                Received::Failed | Received::End => {
                    let frames = self.index.frames();
                    return Err(Failure::Corrupt(format!("none of its {frames} frames can be decoded")));
                }
            }
        }
        let rank = self.rank_of_frame();
        match rank {
            Some(first) if first > 0 && !self.index.is_guessed() => {
                self.index.begin_with(first);
                self.run = None;
            }
            Some(0) => {
                self.waiting.remove(&0);
                self.last = Some(0);
            }
            _ => self.run = None,
        }
        Ok(())
    }

    /// The rank of the frame that was decoded last, if it has one.
    fn rank_of_frame(&self) -> Option<u32> {
        let entry = self.index.get(self.frame.place()?)?;
        (entry.rank != UNSEEN).then_some(entry.rank)
    }

    /// Decodes the frames of these ranks, which ascend. Frames that are not needed are left out.
    pub(super) fn pick(&mut self, ranks: &[u32], see: See<'_>) -> Result<(), Miss> {
        let wanted: Vec<Wanted> = ranks
            .iter()
            .map(|&rank| {
                let place = self.index.place(rank);
                let key = self.index.key_before(place);
                Wanted { rank, place, key }
            })
            .collect();
        let outcome = self.pick_wanted(&wanted, see);
        if outcome.is_err() {
            self.run = None;
        }
        outcome
    }

    fn pick_wanted(&mut self, mut wanted: &[Wanted], see: See<'_>) -> Result<(), Miss> {
        let Some((first, last)) = wanted.first().zip(wanted.last()) else {
            return Ok(());
        };
        let last = last.rank;
        if self.run.is_some() && self.last == Some(first.rank) {
            // The last clip ended with it.
            see(&self.index, &self.frame)?;
            wanted = &wanted[1..];
        }
        if let Some(first) = wanted.first()
            && !self.is_ahead(first)
            && !self.restart(first.key)?
        {
            return Err(Miss::Disagrees("a key frame is not found again"));
        }
        let mut failures = 0;
        while let Some(first) = wanted.first() {
            match self.decoder.receive(&mut self.frame) {
                Received::Frame => {
                    failures = 0;
                    if let Some(rank) = self.check_frame(last)? {
                        self.last = Some(rank);
                        if rank > first.rank {
                            return Err(Miss::Disagrees("a frame does not come"));
                        }
                        if rank == first.rank {
                            see(&self.index, &self.frame)?;
                            wanted = &wanted[1..];
                        }
                    }
                }
                Received::Hungry => self.feed(wanted, last)?,
                Received::Failed if failures < FAILURES => failures += 1,
                Received::Failed => return Err(Miss::Disagrees("the decoder fails")),
                Received::End => return Err(Miss::Disagrees("frames do not come")),
            }
        }
        Ok(())
    }

    /// Whether the decoder reaches a frame by going on, and that is the shorter way.
    fn is_ahead(&self, wanted: &Wanted) -> bool {
        let Some(run) = self.run.filter(|_| !self.drained) else {
            return false;
        };
        let is_ahead = match self.last {
            Some(last) => last < wanted.rank,
            None => wanted.place >= run && self.rank_or_first(run) <= wanted.rank,
        };
        is_ahead && (wanted.key < self.next + NEAR || self.index.entry(wanted.key).resets())
    }

    /// The rank of the frame of a packet; that of the first one where it has none.
    fn rank_or_first(&self, place: usize) -> u32 {
        match self.index.entry(place).rank {
            UNSEEN => 0,
            rank => rank,
        }
    }

    /// Gives the decoder the next packet that it needs.
    fn feed(&mut self, wanted: &[Wanted], last: u32) -> Result<(), Miss> {
        const LOST: Miss = Miss::Disagrees("a key frame is not found again");
        if let Some(next) = wanted.iter().find(|wanted| wanted.place >= self.next) {
            let resets = self.index.entry(next.key).resets();
            // What is on its way in the decoder comes with the packets that follow.
            let is_idle = wanted.iter().all(|wanted| wanted.place >= self.next);
            if next.key > self.next + NEAR && resets {
                if !self.go_to(next.key)? {
                    return Err(LOST);
                }
            } else if next.key > self.next + NEAR && is_idle && !self.restart(next.key)? {
                return Err(LOST);
            }
            while resets && self.next < next.key {
                if !self.read()? {
                    return Err(Miss::Disagrees("the packets end early"));
                }
                self.leave_out();
            }
        }
        while self.read()? {
            let entry = self.index.entry(self.next);
            let is_wanted = entry.rank != UNSEEN && wanted.iter().any(|wanted| wanted.rank == entry.rank);
            // Behind the last wanted frame the next clip may go on.
            let is_passed_by = !is_wanted && (entry.rank == UNSEEN || entry.rank < last);
            if is_passed_by && entry.is_disposable() {
                self.leave_out();
                continue;
            }
            self.decoder
                .skip_unreferenced(is_passed_by && self.syntax == Syntax::Mpeg);
            self.send(!(is_passed_by && self.syntax == Syntax::Mpeg));
            return Ok(());
        }
        self.drain();
        Ok(())
    }

    /// Sends the next packet, or that there is none. What cannot be read the same way again ends the video.
    fn send_next(&mut self) {
        match self.read() {
            Ok(true) => self.send(true),
            Ok(false) | Err(_) => self.drain(),
        }
    }

    fn drain(&mut self) {
        self.drained = true;
        self.decoder.send(None);
    }

    /// Sends the packet that was read. With `awaited` its frame must come.
    fn send(&mut self, awaited: bool) {
        let entry = self.index.entry(self.next);
        let first = self.run.map_or(0, |run| self.rank_or_first(run));
        if awaited && entry.rank != UNSEEN && entry.rank >= first {
            self.waiting.insert(entry.rank);
        }
        self.packet.name(self.next);
        // What the decoder does not take will be missing among the frames.
        self.decoder.send(Some(&self.packet));
        self.leave_out();
        self.decoded += 1;
    }

    /// What a frame is, if the index knows it and the decoder could make it.
    fn check_frame(&mut self, last: u32) -> Result<Option<u32>, Miss> {
        let run = self.run.unwrap_or(0);
        let place = self.frame.place().ok_or(Miss::Disagrees("a frame of no packet"))?;
        let rank = self
            .rank_of_frame()
            .ok_or(Miss::Disagrees("a frame that is not to be seen"))?;
        if rank < self.rank_or_first(run) {
            // Made of frames before the key frame with which this run began.
            return Ok(None);
        }
        if !self.waiting.remove(&rank) {
            return match self.syntax {
                // It was to be left out, but the decoder did not.
                Syntax::Mpeg if rank < last => Ok(None),
                _ => Err(Miss::Disagrees("a frame comes twice")),
            };
        }
        if self.waiting.first().is_some_and(|&waiting| waiting < rank) {
            return Err(Miss::Disagrees("a packet gives no frame, or late"));
        }
        let is_whole = matches!(
            self.frame.get().pict_type,
            ffi::AVPictureType::AV_PICTURE_TYPE_NONE
                | ffi::AVPictureType::AV_PICTURE_TYPE_I
                | ffi::AVPictureType::AV_PICTURE_TYPE_SI
                | ffi::AVPictureType::AV_PICTURE_TYPE_BI
        );
        if place == run && place > 0 && !is_whole {
            return Err(Miss::Disagrees("a key frame is none"));
        }
        Ok(Some(rank))
    }

    /// Decodes all from the packet at `from` on, without asking the index what comes, until `see` has enough.
    pub(super) fn run_through(&mut self, from: usize, see: See<'_>) -> Result<(), Failure> {
        let found = self.restart(from)?;
        self.run = None;
        if !found {
            return Err(Failure::Corrupt("the video cannot be read twice the same way".into()));
        }
        self.decoder.skip_unreferenced(false);
        let mut failures = 0;
        loop {
            match self.decoder.receive(&mut self.frame) {
                Received::Frame => {
                    failures = 0;
                    if !see(&self.index, &self.frame)? {
                        return Ok(());
                    }
                }
                Received::Hungry => self.send_next(),
                Received::Failed if failures < FAILURES => failures += 1,
                Received::Failed | Received::End => return Ok(()),
            }
        }
    }
}
