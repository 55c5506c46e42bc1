//! A medium's content as FFmpeg reads it: by reading and seeking, never by a name.

use std::ffi::{c_int, c_void};
use std::io::ErrorKind;
use std::ptr;

use ffmpeg_next::ffi;

use super::ffmpeg::no_memory;
use crate::fetch::Content;
use crate::media::failure::Failure;

/// How much FFmpeg reads at a time. Packets of a video are about this large or smaller.
const BUFFER: usize = 64 << 10;

/// FFmpeg's view of a content.
#[derive(Debug)]
pub(super) struct Input {
    context: *mut ffi::AVIOContext,
    source: *mut Source,
}

// SAFETY: the context and what it reads are used by whoever owns the input, one at a time.
unsafe impl Send for Input {}

struct Source {
    content: Content,
    position: u64,
}

impl Input {
    pub(super) fn new(content: &Content) -> Result<Self, Failure> {
        let source = Box::into_raw(Box::new(Source {
            content: content.clone(),
            position: 0,
        }));
        // SAFETY: the buffer is FFmpeg's own, as the context wants it; the source lives until the context is freed.
        let context = unsafe {
            let buffer = ffi::av_malloc(BUFFER).cast::<u8>();
            let context = if buffer.is_null() {
                ptr::null_mut()
            } else {
                ffi::avio_alloc_context(buffer, BUFFER as c_int, 0, source.cast(), Some(read), None, Some(seek))
            };
            if context.is_null() {
                ffi::av_free(buffer.cast());
            }
            context
        };
        // From here on dropping frees both.
        let input = Self { context, source };
        if context.is_null() { Err(no_memory()) } else { Ok(input) }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVIOContext {
        self.context
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // SAFETY: whoever used the context is gone. FFmpeg may have replaced its buffer, which is freed by itself; the
        // source was made by `Box::into_raw`.
        unsafe {
            if !self.context.is_null() {
                ffi::av_freep((&raw mut (*self.context).buffer).cast());
                ffi::avio_context_free(&mut self.context);
            }
            drop(Box::from_raw(self.source));
        }
    }
}

unsafe extern "C" fn read(source: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    // SAFETY: FFmpeg hands back the source that the context was made with, one call at a time.
    let source = unsafe { &mut *source.cast::<Source>() };
    let Ok(size) = usize::try_from(size) else {
        return ffi::AVERROR(libc::EINVAL);
    };
    // SAFETY: the buffer has room for `size` bytes, which are nobody else's meanwhile. They are initialised first.
    let buffer = unsafe {
        ptr::write_bytes(buffer, 0, size);
        std::slice::from_raw_parts_mut(buffer, size)
    };
    loop {
        return match source.content.read_at(buffer, source.position) {
            Ok(0) => ffi::AVERROR_EOF,
            Ok(length) => {
                source.position += length as u64;
                length as c_int
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "a video's file cannot be read");
                ffi::AVERROR(libc::EIO)
            }
        };
    }
}

unsafe extern "C" fn seek(source: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: FFmpeg hands back the source that the context was made with, one call at a time.
    let source = unsafe { &mut *source.cast::<Source>() };
    let length = i64::try_from(source.content.length()).unwrap_or(i64::MAX);
    let base = match whence & !(ffi::AVSEEK_FORCE as c_int) {
        ffi::AVSEEK_SIZE => return length,
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => source.position as i64,
        libc::SEEK_END => length,
        _ => return i64::from(ffi::AVERROR(libc::EINVAL)),
    };
    match base.checked_add(offset).map(u64::try_from) {
        Some(Ok(position)) => {
            source.position = position;
            position as i64
        }
        _ => i64::from(ffi::AVERROR(libc::EINVAL)),
    }
}
