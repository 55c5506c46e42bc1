//! Where a player stands in its file: reading on, and going elsewhere.

use super::{Miss, Player};
use crate::media::failure::Failure;
use crate::media::video::container::Container;

/// How far behind the wanted packet reading goes on before it is taken to be passed, in bytes, or packets where the container
/// does not say where they stand.
const PASSED_BYTES: i64 = 16 << 20;
const PASSED_PACKETS: usize = 4096;

impl Player {
    /// Passes the packet that was read.
    pub(super) fn leave_out(&mut self) {
        self.is_read = false;
        self.next += 1;
    }

    /// Reads the next packet, unless it is read. `false` where there is none any more.
    pub(super) fn read(&mut self) -> Result<bool, Miss> {
        while !self.is_read {
            if !self.container.read(&mut self.packet) {
                return Ok(false);
            }
            // As in the index, packets without data do not count.
            if self.packet.get().size == 0 {
                continue;
            }
            if !self.index.may_be(self.next, self.packet.get()) {
                return Err(Miss::Disagrees("the packets are others than before"));
            }
            self.is_read = true;
        }
        Ok(true)
    }

    /// Begins anew with the packet at a place. `false` if it is not found.
    pub(super) fn restart(&mut self, place: usize) -> Result<bool, Failure> {
        self.decoder.flush();
        self.waiting.clear();
        self.last = None;
        self.drained = false;
        let found = (self.is_read && self.next == place) || self.go_to(place)?;
        self.run = found.then_some(place);
        Ok(found)
    }

    /// Makes the packet at a place the next one. `false` if it is not found.
    pub(super) fn go_to(&mut self, place: usize) -> Result<bool, Failure> {
        let (position, ticks) = (self.index.entry(place).position(), self.index.ticks(place));
        if position >= 0 && self.container.seek_to_byte(position) && self.find(place) {
            return Ok(true);
        }
        if self.container.seek_to_time(ticks) && self.find(place) {
            return Ok(true);
        }
        // Some containers are not to be sought in exactly: from further back, then from the beginning.
        let earlier = self.index.ticks(self.index.earlier_key(place));
        if earlier < ticks && self.container.seek_to_time(earlier) && self.find(place) {
            return Ok(true);
        }
        self.container = Container::open(&self.content, &self.limits)?;
        Ok(self.find(place))
    }

    /// Reads on to the packet at a place.
    fn find(&mut self, place: usize) -> bool {
        self.is_read = false;
        let position = self.index.entry(place).position();
        let mut unplaced = 0;
        while self.container.read(&mut self.packet) {
            let packet = self.packet.get();
            if self.index.is(place, packet) {
                (self.is_read, self.next) = (true, place);
                return true;
            }
            match packet.pos >= 0 && position >= 0 {
                true if packet.pos > position.saturating_add(PASSED_BYTES) => return false,
                true => {}
                false => unplaced += 1,
            }
            if unplaced > PASSED_PACKETS.max(place) {
                return false;
            }
        }
        false
    }
}
