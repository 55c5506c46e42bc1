//! What passes between a dylib that is called and the one that has the service: plain C, because each of the two has its own
//! Rust, even where their sources are the same.
//!
//! Whoever changes anything here changes [`SYMBOL`]: dylibs with different symbols do not find each other, and each serves
//! itself.

use std::ffi::{CStr, c_char, c_void};

/// The name of the exported function that gives a dylib's [`Interface`].
pub const SYMBOL: &CStr = c"sightstream_arroyo_interface_v2";

/// The type of the function that [`SYMBOL`] names.
pub type GetInterface = extern "C" fn() -> *const Interface;

/// What a dylib was built of: this crate's version, and what its vectors were computed with. Two builds may give different vectors,
/// so each serves itself.
pub const BUILD: &CStr = match CStr::from_bytes_with_nul(BUILD_BYTES) {
    Ok(build) => build,
    Err(_) => panic!("neither a version nor a feature holds a zero byte"),
};

#[cfg(not(feature = "cuda"))]
const BUILD_BYTES: &[u8] = concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes();

/// One without it would keep the GPU from all others, where it is loaded first.
#[cfg(feature = "cuda")]
const BUILD_BYTES: &[u8] = concat!(env!("CARGO_PKG_VERSION"), "+cuda\0").as_bytes();

/// The functions of a dylib that has a service, or could start one.
#[repr(C)]
pub struct Interface {
    /// [`BUILD`] of that dylib.
    pub build: *const c_char,
    /// Starts the service, unless it has started. Returns at once.
    pub begin: extern "C" fn(),
    /// Takes a call, and returns at once. `reply.done` is called once, from any thread, perhaps before this returns. The texts
    /// of the call are copied. The ticket is given back with `release`, once. Null: the call was not taken, its reply says
    /// nothing, and it may be taken later.
    ///
    /// The pointers of the call must be those of texts that live until this returns.
    pub submit: unsafe extern "C" fn(call: *const Call, reply: Reply) -> *mut c_void,
    /// Gives a ticket back: the call is over, or given up, and then `reply.done` is called soon after. `why` is [`DROPPED`],
    /// [`MET_TIMEOUT`] or [`PANICKED`]; it says nothing of a call that is over.
    ///
    /// The ticket must be one of `submit` that was not given back.
    pub release: unsafe extern "C" fn(ticket: *mut c_void, why: u32),
}

// SAFETY: the pointer is that of a constant text.
unsafe impl Sync for Interface {}

/// Which function is called, as a number.
pub const EMBED: u32 = 1;
/// See [`EMBED`].
pub const SEGMENTS: u32 = 2;

/// Why a call is given up: its pipeline does not want it any more.
pub const DROPPED: u32 = 0;
/// Arroyo's own timeout is near.
pub const MET_TIMEOUT: u32 = 1;
/// Waiting for it panicked.
pub const PANICKED: u32 = 2;

/// A call: one row.
#[repr(C)]
pub struct Call {
    /// [`EMBED`] or [`SEGMENTS`].
    pub function: u32,
    /// The reference, in UTF-8.
    pub url: Text,
    /// The instruction; null for the default.
    pub instruction: Text,
}

/// A text that somebody else owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    data: *const u8,
    length: usize,
}

impl Text {
    /// Borrows `text`; `None` is null.
    pub fn of(text: Option<&str>) -> Self {
        Self {
            data: text.map_or(std::ptr::null(), str::as_ptr),
            length: text.map_or(0, str::len),
        }
    }

    /// A copy; `None` for null.
    ///
    /// # Safety
    /// It must be that of [`Text::of`], and what it was made of must live.
    pub unsafe fn copied(self) -> Option<String> {
        if self.data.is_null() {
            return None;
        }
        // SAFETY: the caller says so.
        let bytes = unsafe { std::slice::from_raw_parts(self.data, self.length) };
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Where the value of a call goes.
#[repr(C)]
pub struct Reply {
    /// Handed to `done` as it is.
    pub context: *mut c_void,
    /// Takes the value, which it copies; null for none.
    pub done: unsafe extern "C" fn(context: *mut c_void, value: *const u8, length: usize),
}

// SAFETY: whoever makes one promises that `done` may be called from any thread.
unsafe impl Send for Reply {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_for_gpus_is_another_one() {
        let build = BUILD.to_str().expect("a text");
        assert!(build.starts_with(env!("CARGO_PKG_VERSION")), "{build}");
        assert_eq!(build.ends_with("+cuda"), cfg!(feature = "cuda"));
    }
}
