//! A stream's decoder.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use ffmpeg_next::ffi;

use super::container::Container;
use super::ffmpeg::{Frame, Packet, described, no_memory};
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// Pixels that the frames in work may have together. Each thread that decodes frames holds some of its own, so that large
/// frames get fewer threads.
const PIXELS_IN_WORK: u64 = 48_000_000;

/// A stream's decoder.
#[derive(Debug)]
pub(super) struct Decoder(NonNull<ffi::AVCodecContext>);

// SAFETY: FFmpeg's contexts may be used from any thread, one at a time.
unsafe impl Send for Decoder {}

/// What a decoder gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// A frame.
    Frame,
    /// Nothing before it gets another packet.
    Hungry,
    /// It failed on a packet. There may be more.
    Failed,
    /// Nothing any more: it was drained.
    End,
}

impl Decoder {
    /// Opens the decoder of a container's video. Frames of more pixels than the limit are not decoded.
    pub(super) fn open(container: &Container, limits: &DecodeLimits, threads: usize) -> Result<Self, Failure> {
        let parameters = container.parameters();
        let codec = container.codec();
        // SAFETY: the codec is one of FFmpeg's own, which live as long as the process.
        let context = unsafe { ffi::avcodec_alloc_context3(codec) };
        let mut decoder = NonNull::new(context).map(Self).ok_or_else(no_memory)?;
        // SAFETY: the context is alive and nobody else's; the parameters live as long as the container.
        let opened = unsafe {
            match ffi::avcodec_parameters_to_context(context, parameters) {
                code if code < 0 => code,
                _ => {
                    decoder.configure(container, limits, threads);
                    ffi::avcodec_open2(context, codec, ptr::null_mut())
                }
            }
        };
        if opened < 0 {
            let codec = container.codec_name();
            return Err(Failure::Corrupt(format!(
                "its {codec} video cannot be decoded: {}",
                described(opened)
            )));
        }
        Ok(decoder)
    }

    fn configure(&mut self, container: &Container, limits: &DecodeLimits, threads: usize) {
        let pixels = container.pixels().max(1);
        // SAFETY: the context is alive and not open yet.
        let context = unsafe { self.0.as_mut() };
        context.pkt_timebase = container.time_base();
        context.max_pixels = i64::try_from(limits.max_pixels).unwrap_or(i64::MAX);
        let most = usize::try_from(PIXELS_IN_WORK / pixels).unwrap_or(usize::MAX);
        // Slices of a frame can be decoded at once in the memory of one frame.
        context.thread_type = match most {
            0 | 1 => ffi::FF_THREAD_SLICE,
            _ => ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE,
        };
        context.thread_count = if most <= 1 { threads } else { threads.min(most) }.max(1) as c_int;
    }

    /// Whether frames that no other is made of may be left out from now on.
    pub(super) fn skip_unreferenced(&mut self, skip: bool) {
        // SAFETY: the context is alive; decoders read the setting when a packet is sent.
        unsafe {
            self.0.as_mut().skip_frame = match skip {
                true => ffi::AVDiscard::AVDISCARD_NONREF,
                false => ffi::AVDiscard::AVDISCARD_DEFAULT,
            }
        }
    }

    /// Sends a packet; `None` drains what is decoded. A packet that it can make nothing of gives no frame.
    pub(super) fn send(&mut self, packet: Option<&Packet>) {
        // SAFETY: context and packet are alive; a null packet drains.
        let code = unsafe {
            ffi::avcodec_send_packet(
                self.0.as_ptr(),
                packet.map_or(ptr::null(), |packet| packet.as_ptr().cast_const()),
            )
        };
        if code < 0 {
            tracing::trace!(error = described(code), "a packet is not decoded");
        }
    }

    /// Takes a frame, if there is one, into `frame`.
    pub(super) fn receive(&mut self, frame: &mut Frame) -> Received {
        // SAFETY: context and frame are alive; FFmpeg lets go of what the frame held.
        match unsafe { ffi::avcodec_receive_frame(self.0.as_ptr(), frame.as_ptr()) } {
            code if code >= 0 => Received::Frame,
            code if code == ffi::AVERROR(libc::EAGAIN) => Received::Hungry,
            ffi::AVERROR_EOF => Received::End,
            _ => Received::Failed,
        }
    }

    /// Forgets all packets, and takes others from a key frame on.
    pub(super) fn flush(&mut self) {
        // SAFETY: the context is alive and open.
        unsafe { ffi::avcodec_flush_buffers(self.0.as_ptr()) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let mut context = self.0.as_ptr();
        // SAFETY: the context was allocated by `avcodec_alloc_context3` and is not used again.
        unsafe { ffi::avcodec_free_context(&mut context) }
    }
}
