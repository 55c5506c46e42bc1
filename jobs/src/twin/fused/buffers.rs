//! Memory that is used again.
//!
//! A layer's numbers live for a part of a pass, and the next layer and the next pass want as many. Taken from the system each time,
//! every page of them costs a fault and is filled with zeros first, which was a sixth of a training step. So buffers that are
//! dropped wait here for the next who wants one of about their size.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// The most numbers that wait: 256 MiB.
const MOST_WAITING: usize = 1 << 26;

/// Smaller ones come from the allocator, which is as fast for them.
const LEAST_LENGTH: usize = 1 << 12;

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    buffers: Vec::new(),
    total: 0,
});

/// Those that wait, the longest waiting first.
struct Waiting {
    buffers: Vec<Vec<f32>>,
    /// How many numbers they have together.
    total: usize,
}

impl Waiting {
    /// The smallest that is large enough, and not much larger.
    fn find(&mut self, length: usize) -> Option<Vec<f32>> {
        let fits = |buffer: &Vec<f32>| (length..=length + length / 2).contains(&buffer.len());
        let candidates = self.buffers.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let (place, _) = candidates.min_by_key(|(_, buffer)| buffer.len())?;
        let buffer = self.buffers.remove(place);
        self.total -= buffer.len();
        Some(buffer)
    }

    fn keep(&mut self, buffer: Vec<f32>) {
        self.total += buffer.len();
        self.buffers.push(buffer);
        while self.total > MOST_WAITING {
            self.total -= self.buffers.remove(0).len();
        }
    }
}

/// Numbers that go back to those that wait when they are dropped.
#[derive(Default)]
pub struct Buffer {
    numbers: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// `length` numbers of any values, to be written before they are read.
    pub fn any(length: usize) -> Self {
        let found = match length >= LEAST_LENGTH {
            true => WAITING.lock().expect("nobody panics with it").find(length),
            false => None,
        };
        let numbers = found.unwrap_or_else(|| vec![0.0; length]);
        Self { numbers, length }
    }

    /// These numbers.
    pub fn copy(numbers: &[f32]) -> Self {
        let mut buffer = Self::any(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }

    /// `length` zeros.
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::any(length);
        buffer.fill(0.0);
        buffer
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(numbers: Vec<f32>) -> Self {
        let length = numbers.len();
        Self { numbers, length }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.numbers.len() >= LEAST_LENGTH
            && let Ok(mut waiting) = WAITING.lock()
        {
            waiting.keep(std::mem::take(&mut self.numbers));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_for_about_its_length_and_waiting_is_bounded() {
        let mut waiting = Waiting {
            buffers: Vec::new(),
            total: 0,
        };
        for length in [9000, 6000, 30_000] {
            waiting.keep(vec![1.0; length]);
        }
        assert!(
            waiting.find(10_000).is_none(),
            "none is large enough and not far too large"
        );
        assert_eq!(waiting.find(5000).map(|buffer| buffer.len()), Some(6000));
        assert_eq!(waiting.total, 39_000);
        waiting.keep(vec![0.0; MOST_WAITING - 35_000]);
        assert_eq!(
            waiting.total,
            MOST_WAITING - 5000,
            "the one that waited longest has gone"
        );
        let mut buffer = Buffer::zeros(5000);
        assert_eq!((buffer.len(), buffer.iter().sum::<f32>()), (5000, 0.0));
        buffer[0] = 2.0;
        drop(buffer);
        assert!(Buffer::zeros(5000).iter().all(|number| *number == 0.0));
    }
}
