//! The small things that stand around FFmpeg's calls: its errors in words, packets, frames.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;

use ffmpeg_next::ffi;

use crate::media::failure::Failure;

/// What FFmpeg says of an error code.
pub(super) fn described(code: c_int) -> String {
    let mut text = [0 as c_char; ffi::AV_ERROR_MAX_STRING_SIZE];
    // SAFETY: the buffer is as long as is said, and FFmpeg ends what it writes with a zero.
    unsafe {
        ffi::av_strerror(code, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}

/// A failure for want of memory, which FFmpeg reports by a null pointer.
pub(super) fn no_memory() -> Failure {
    Failure::TooLarge("there is no memory to read it".into())
}

/// A packet: compressed data of one stream.
#[derive(Debug)]
pub(super) struct Packet(NonNull<ffi::AVPacket>);

// SAFETY: a packet is plain memory that only its owner touches.
unsafe impl Send for Packet {}

impl Packet {
    pub(super) fn new() -> Result<Self, Failure> {
        // SAFETY: the function has no conditions; it returns null for want of memory.
        NonNull::new(unsafe { ffi::av_packet_alloc() })
            .map(Self)
            .ok_or_else(no_memory)
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVPacket {
        self.0.as_ptr()
    }

    pub(super) fn get(&self) -> &ffi::AVPacket {
        // SAFETY: the packet lives as long as `self`, and is changed only through `&mut self`.
        unsafe { self.0.as_ref() }
    }

    /// Its bytes.
    pub(super) fn data(&self) -> &[u8] {
        let packet = self.get();
        match (packet.data.is_null(), usize::try_from(packet.size)) {
            // SAFETY: a packet's data are `size` bytes, initialised by the demuxer, and live as long as the packet.
            (false, Ok(size)) => unsafe { std::slice::from_raw_parts(packet.data, size) },
            _ => &[],
        }
    }

    /// Names the packet by its place in the stream. Decoders pass the time of a packet on to its frame, so that the frame
    /// can be told.
    pub(super) fn name(&mut self, place: usize) {
        // SAFETY: the packet is alive, and nobody else has it.
        let packet = unsafe { self.0.as_mut() };
        packet.pts = place as i64;
        packet.dts = place as i64;
    }

    /// Lets go of the data.
    pub(super) fn clear(&mut self) {
        // SAFETY: the packet is alive, and nobody else has it.
        unsafe { ffi::av_packet_unref(self.as_ptr()) }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut packet = self.as_ptr();
        // SAFETY: the packet was allocated by `av_packet_alloc` and is not used again.
        unsafe { ffi::av_packet_free(&mut packet) }
    }
}

/// A decoded frame.
#[derive(Debug)]
pub(super) struct Frame(NonNull<ffi::AVFrame>);

// SAFETY: a frame is plain memory behind reference counts that are atomic.
unsafe impl Send for Frame {}

impl Frame {
    pub(super) fn new() -> Result<Self, Failure> {
        // SAFETY: the function has no conditions; it returns null for want of memory.
        NonNull::new(unsafe { ffi::av_frame_alloc() })
            .map(Self)
            .ok_or_else(no_memory)
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVFrame {
        self.0.as_ptr()
    }

    pub(super) fn get(&self) -> &ffi::AVFrame {
        // SAFETY: the frame lives as long as `self`, and is changed only through `&mut self`.
        unsafe { self.0.as_ref() }
    }

    /// The number of its colour space. Decoders copy it from the stream, where it may be none that the enumeration has.
    pub(super) fn color_space(&self) -> c_int {
        // SAFETY: the frame is alive, and the field is as large as a C integer, which may hold any number.
        unsafe { (&raw const (*self.as_ptr()).colorspace).cast::<c_int>().read() }
    }

    /// The number of its range of colour, likewise.
    pub(super) fn color_range(&self) -> c_int {
        // SAFETY: as for the colour space.
        unsafe { (&raw const (*self.as_ptr()).color_range).cast::<c_int>().read() }
    }

    /// The number of where its colours were taken among its pixels, likewise.
    pub(super) fn chroma_location(&self) -> c_int {
        // SAFETY: as for the colour space.
        unsafe { (&raw const (*self.as_ptr()).chroma_location).cast::<c_int>().read() }
    }

    /// The place of the packet that it came from ([`Packet::name`]).
    pub(super) fn place(&self) -> Option<usize> {
        let frame = self.get();
        usize::try_from(match frame.pts {
            ffi::AV_NOPTS_VALUE => frame.best_effort_timestamp,
            pts => pts,
        })
        .ok()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut frame = self.as_ptr();
        // SAFETY: the frame was allocated by `av_frame_alloc` and is not used again.
        unsafe { ffi::av_frame_free(&mut frame) }
    }
}
