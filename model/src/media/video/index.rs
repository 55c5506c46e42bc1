//! Which frames a video has, and when: from its packets, without decoding.

use std::ops::Range;

use ffmpeg_next::ffi;

use super::bitstream::Syntax;
use super::container::Container;
use super::ffmpeg::Packet;
use super::shows_an_earlier_frame;
use crate::media::failure::Failure;

/// The most packets that are indexed: two days at 48 a second. An entry takes some fifty bytes.
const MOST: usize = 1 << 23;

/// A step of times forward that is a jump, where the format has jumps: so many seconds, and so many frames. FFmpeg's own
/// tool closes those of ten seconds up.
const JUMP_SECONDS: i64 = 10;
const JUMP_FRAMES: i64 = 4;

/// The rank of a packet without a frame that shows.
pub(super) const UNSEEN: u32 = u32::MAX;

/// A packet of the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// When its frame is to be seen, in ticks, as the container has it.
    pub(super) pts: i64,
    /// Where it stands in the file, or -1.
    position: i64,
    size: i32,
    /// The place of its frame among all that are seen, or [`UNSEEN`].
    pub(super) rank: u32,
    layer: u8,
    flags: u8,
}

const KEY: u8 = 1;
const RESETS: u8 = 2;
const DISPOSABLE: u8 = 4;
const HIDDEN: u8 = 8;

impl Entry {
    /// Decoding can begin with it.
    pub(super) fn is_key(&self) -> bool {
        self.flags & KEY != 0
    }

    /// The decoder needs not be told that decoding begins anew with it.
    pub(super) fn resets(&self) -> bool {
        self.flags & RESETS != 0
    }

    /// No other frame is made of it.
    pub(super) fn is_disposable(&self) -> bool {
        self.flags & DISPOSABLE != 0
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }
}

/// The packets of a video in the order of the file, and its frames in the order in which they are seen.
#[derive(Debug)]
pub(super) struct Index {
    entries: Vec<Entry>,
    /// By rank, the place of the frame's packet.
    shown: Vec<u32>,
    /// By rank, when the frame is seen, in ticks. They never go back.
    times: Vec<i64>,
    /// How long the last frame is seen, in ticks.
    last: i64,
    /// Seconds a tick.
    base: ffi::AVRational,
    /// Whether some times are those of decoding, because the container has no others.
    guessed: bool,
    /// Whether each packet stands behind the one before it, so that its place in the file tells it.
    placed: bool,
    /// Whether there are packets that are not whole.
    damaged: bool,
    /// Whether the last one is not, or none could be read after it though there should be.
    ends_early: bool,
}

/// What a packet has in common with one of the index, as far as both tell.
#[derive(Debug, Clone, Copy, Default)]
struct Likeness {
    same_size: bool,
    same_place: Option<bool>,
    same_time: Option<bool>,
}

/// One packet's times while the index is made.
struct Times {
    time: i64,
    duration: i64,
}

impl Index {
    /// Reads all packets of a container that was just opened.
    pub(super) fn read(container: &mut Container, length: u64) -> Result<Self, Failure> {
        let syntax = Syntax::of(container.parameters());
        let base = container.time_base();
        // No packet takes less than a byte.
        let most = MOST.min(usize::try_from(length).unwrap_or(MOST));
        let second = i64::from(base.den) / i64::from(base.num).max(1);
        let mut packet = Packet::new()?;
        let (mut entries, mut times) = (Vec::new(), Vec::<Times>::new());
        let jump = match container.has_jumps() {
            true => (JUMP_SECONDS * second).max(JUMP_FRAMES * container.frame_ticks()),
            false => i64::MAX,
        };
        // Where times begin anew, or jump, as in files that were put one behind the other.
        let mut breaks = vec![0];
        let (mut decoded, mut guessed) = (i64::MIN, false);
        // Whether packets are not whole, and whether the last one is.
        let (mut damaged, mut is_whole) = (false, true);
        while container.read(&mut packet) {
            if entries.len() == most {
                return Err(Failure::TooLarge(format!("the video has more than {most} packets")));
            }
            let raw = packet.get();
            if raw.size == 0 {
                // A repetition of the frame before, which decoders do not give again.
                continue;
            }
            let is_known = |time: i64| time != ffi::AV_NOPTS_VALUE;
            if is_known(raw.dts) {
                let is_first = decoded == i64::MIN;
                if !is_first && (raw.dts.saturating_add(second) < decoded || raw.dts.saturating_sub(decoded) > jump) {
                    breaks.push(entries.len());
                }
                decoded = raw.dts;
            }
            // Where files were put one behind the other the counters of packets go wrong, and nothing is missing.
            damaged |= !is_whole && breaks.last() != Some(&entries.len());
            is_whole = raw.flags & ffi::AV_PKT_FLAG_CORRUPT == 0;
            guessed |= !is_known(raw.pts);
            let time = match (raw.pts, raw.dts) {
                (pts, _) if is_known(pts) => pts,
                (_, dts) if is_known(dts) => dts,
                _ => times.last().map_or(0, |last| last.time.saturating_add(last.duration)),
            };
            times.push(Times {
                // Far from where sums of times would overflow.
                time: time.clamp(i64::MIN / 8, i64::MAX / 8),
                duration: raw.duration.clamp(0, i64::MAX / 8),
            });
            let marked = raw.flags & ffi::AV_PKT_FLAG_KEY != 0;
            let key = marked && (syntax != Syntax::Gif || entries.is_empty());
            let facts = syntax.facts(packet.data(), key);
            let flag = |is: bool, flag: u8| if is { flag } else { 0 };
            // The stream's own word: the container's may be wrong, and then frames would be made of others than they are.
            let disposable = facts.disposable;
            let hidden = facts.hidden || raw.flags & ffi::AV_PKT_FLAG_DISCARD != 0;
            entries.push(Entry {
                pts: raw.pts,
                position: raw.pos,
                size: raw.size,
                rank: UNSEEN,
                layer: facts.layer,
                flags: flag(key, KEY)
                    | flag(facts.resets, RESETS)
                    | flag(disposable && !key, DISPOSABLE)
                    | flag(hidden, HIDDEN),
            });
        }
        let mut index = Self {
            placed: entries.first().is_some_and(|first: &Entry| first.position >= 0)
                && entries.is_sorted_by(|one, next| one.position < next.position),
            entries,
            shown: Vec::new(),
            times: Vec::new(),
            last: 0,
            base,
            guessed,
            damaged,
            ends_early: !is_whole || container.ends_early(),
        };
        index.keep_lower_layers();
        index.rank(&mut times, &breaks, container.frame_ticks());
        Ok(index)
    }

    /// Frames of the highest layer alone are disposable: those of lower ones may be needed by it.
    fn keep_lower_layers(&mut self) {
        let highest = self.entries.iter().map(|entry| entry.layer).max().unwrap_or(0);
        for entry in self.entries.iter_mut().filter(|entry| entry.layer < highest) {
            entry.flags &= !DISPOSABLE;
        }
    }

    /// Puts the frames in order. What stands behind a break in time is seen after all that stands before it.
    fn rank(&mut self, times: &mut [Times], breaks: &[usize], frame: i64) {
        let mut end = None;
        for (number, &start) in breaks.iter().enumerate() {
            let stop = breaks.get(number + 1).copied().unwrap_or(times.len());
            let piece = &mut times[start..stop];
            let Some(first) = piece.iter().map(|times| times.time).min() else {
                continue;
            };
            let shift = end.map_or(0, |end: i64| end - first);
            for times in piece.iter_mut() {
                times.time = times.time.saturating_add(shift);
            }
            let last = piece.iter().max_by_key(|times| times.time);
            end = last.map(|last| last.time + last.duration.max(frame).max(1));
        }
        let is_shown = |&place: &u32| self.entries[place as usize].flags & HIDDEN == 0;
        let mut shown: Vec<u32> = (0..self.entries.len() as u32).filter(is_shown).collect();
        shown.sort_by_key(|&place| times[place as usize].time);
        for (rank, &place) in shown.iter().enumerate() {
            self.entries[place as usize].rank = rank as u32;
        }
        self.times = shown.iter().map(|&place| times[place as usize].time).collect();
        self.last = match (shown.last(), self.times.as_slice()) {
            (Some(&place), _) if times[place as usize].duration > 0 => times[place as usize].duration,
            (_, [.., before, last]) if last > before => last - before,
            _ => frame,
        };
        self.shown = shown;
    }

    /// Leaves out the frames before this rank: nothing can be decoded of them.
    pub(super) fn begin_with(&mut self, first: u32) {
        let gone = (first as usize).min(self.shown.len());
        for place in self.shown.drain(..gone) {
            self.entries[place as usize].rank = UNSEEN;
        }
        self.times.drain(..gone);
        for (rank, &place) in self.shown.iter().enumerate() {
            self.entries[place as usize].rank = rank as u32;
        }
    }

    /// How many frames there are.
    pub(super) fn frames(&self) -> usize {
        self.shown.len()
    }

    /// Whether the order of frames is not sure, because the container has no times for it.
    pub(super) fn is_guessed(&self) -> bool {
        self.guessed
    }

    /// Whether there are packets that are not whole.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether the last packet is not whole, or none could be read after it though there should be.
    pub(super) fn ends_early(&self) -> bool {
        self.ends_early
    }

    /// The packet at a place.
    pub(super) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    /// The packet at a place, if there is one.
    pub(super) fn get(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// Whether a packet that was read somewhere is the one at a place. Its times may be others after a seek, where the
    /// container has few and the rest is guessed.
    pub(super) fn is(&self, place: usize, packet: &ffi::AVPacket) -> bool {
        let likeness = self.likeness(place, packet);
        match likeness.same_place {
            Some(same_place) => same_place && likeness.same_size && (self.placed || likeness.same_time != Some(false)),
            None => likeness.same_size && likeness.same_time == Some(true),
        }
    }

    /// Whether a packet that was read where the one at a place should come may be it.
    pub(super) fn may_be(&self, place: usize, packet: &ffi::AVPacket) -> bool {
        let likeness = self.likeness(place, packet);
        likeness.same_size && likeness.same_place.unwrap_or(likeness.same_time != Some(false))
    }

    fn likeness(&self, place: usize, packet: &ffi::AVPacket) -> Likeness {
        let Some(entry) = self.entries.get(place) else {
            return Likeness::default();
        };
        let known = |time: i64| time != ffi::AV_NOPTS_VALUE;
        Likeness {
            same_size: entry.size == packet.size,
            same_place: (entry.position >= 0 && packet.pos >= 0).then_some(entry.position == packet.pos),
            same_time: (known(entry.pts) && known(packet.pts)).then_some(entry.pts == packet.pts),
        }
    }

    /// A time by which a container can be asked for the packet at a place, in ticks.
    pub(super) fn ticks(&self, place: usize) -> i64 {
        let entry = &self.entries[place];
        match (entry.pts, self.times.get(entry.rank as usize)) {
            (ffi::AV_NOPTS_VALUE, Some(&time)) => time,
            (ffi::AV_NOPTS_VALUE, None) => 0,
            (pts, _) => pts,
        }
    }

    /// The place of the packet of a frame.
    pub(super) fn place(&self, rank: u32) -> usize {
        self.shown[rank as usize] as usize
    }

    /// Ticks to seconds.
    fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.base.num) / f64::from(self.base.den)
    }

    /// When a frame is seen, in seconds from the first one.
    pub(super) fn time(&self, rank: usize) -> f64 {
        self.seconds(self.times[rank] - self.times[0])
    }

    /// When the frame of the packet at a place is seen, if it is, in seconds from the first one.
    pub(super) fn time_of(&self, place: usize) -> Option<f64> {
        let rank = self.entries.get(place)?.rank;
        (rank != UNSEEN).then(|| self.time(rank as usize))
    }

    /// When the frame is seen that is the `number`th of all, in seconds from the first one.
    pub(super) fn time_of_nth(&self, number: i64) -> f64 {
        let last = self.times.len() - 1;
        self.time(usize::try_from(number).unwrap_or(0).min(last))
    }

    /// How many frames have their packets before a place.
    pub(super) fn frames_before(&self, place: usize) -> usize {
        let before = &self.entries[..place];
        before.iter().filter(|entry| entry.rank != UNSEEN).count()
    }

    /// The first key frame behind a place.
    pub(super) fn later_key(&self, place: usize) -> Option<usize> {
        (place + 1..self.entries.len()).find(|&place| self.entries[place].is_key())
    }

    /// From the first frame to the end of the last one, in seconds.
    pub(super) fn duration(&self) -> f64 {
        match self.times.as_slice() {
            [first, .., last] => self.seconds(last - first + self.last),
            _ => self.seconds(self.last),
        }
    }

    /// The ranks of the frames that are seen from `start` until before `end`, in seconds from the first one.
    pub(super) fn within(&self, (start, end): (f64, f64)) -> Range<u32> {
        let first = self.times.first().copied().unwrap_or(0);
        let before = |bound: f64| self.times.partition_point(|&time| self.seconds(time - first) < bound) as u32;
        before(start)..before(end).max(before(start))
    }

    /// A span in which no frame begins, but one is seen, made longer: it begins with that frame. `None` for other spans.
    pub(super) fn to_earlier_frame(&self, span: (f64, f64)) -> Option<(f64, f64)> {
        let within = self.within(span);
        if !within.is_empty() || !shows_an_earlier_frame(span, self.duration()) {
            return None;
        }
        let seen = within.start.checked_sub(1)?;
        Some((self.time(seen as usize), span.1))
    }

    /// The key frame with which decoding has to begin for the packet at `place`; the beginning where there is none.
    pub(super) fn key_before(&self, place: usize) -> usize {
        let rank = self.entries[place].rank;
        // A frame that is seen before a key frame, but stands behind it, is made of what comes before the key frame.
        let is_start = |entry: &Entry| entry.is_key() && (entry.rank <= rank || entry.rank == UNSEEN);
        (0..=place)
            .rev()
            .find(|&place| is_start(&self.entries[place]))
            .unwrap_or(0)
    }

    /// The last key frame before a place; the beginning where there is none.
    pub(super) fn earlier_key(&self, place: usize) -> usize {
        (0..place)
            .rev()
            .find(|&place| self.entries[place].is_key())
            .unwrap_or(0)
    }
}
