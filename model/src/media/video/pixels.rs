//! A decoded frame to upright 8-bit RGB.

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi;
use image::{RgbImage, imageops};

use super::ffmpeg::{Frame, no_memory};
use crate::media::failure::Failure;

/// Rows of converted pixels begin at multiples of so many bytes: swscale writes whole registers.
const ALIGNMENT: usize = 64;

/// Converts frames by swscale, from the stream's own colour space and range, with its colours where the stream has them among
/// the pixels. Where it does not say, they are BT.601, limited, and in the middle, as FFmpeg has it. Transparency is dropped.
#[derive(Debug)]
pub(super) struct Converter {
    scaler: *mut ffi::SwsContext,
    /// What the scaler is made for.
    shape: Option<Shape>,
    /// The converted pixels, with rows of `stride` bytes.
    rows: *mut u8,
    room: usize,
}

// SAFETY: scaler and buffer are used by whoever owns the converter, one at a time.
unsafe impl Send for Converter {}

/// The numbers of FFmpeg's ranges of colour.
const FULL_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int;
const LIMITED_RANGE: c_int = ffi::AVColorRange::AVCOL_RANGE_MPEG as c_int;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    source: (c_int, c_int),
    target: (c_int, c_int),
    format: c_int,
    space: c_int,
    range: c_int,
    chroma: c_int,
}

impl Converter {
    pub(super) fn new() -> Self {
        Self {
            scaler: ptr::null_mut(),
            shape: None,
            rows: ptr::null_mut(),
            room: 0,
        }
    }

    /// The frame's pixels, scaled to `size` where that is given and another than its own.
    pub(super) fn convert(&mut self, frame: &Frame, size: Option<(u32, u32)>) -> Result<RgbImage, Failure> {
        let source = frame.get();
        let own = (source.width, source.height);
        let target = size.map_or(own, |(width, height)| (width as c_int, height as c_int));
        let sides = (usize::try_from(target.0), usize::try_from(target.1));
        let ((Ok(width @ 1..), Ok(height @ 1..)), 1.., 1..) = (sides, own.0, own.1) else {
            return Err(Failure::Corrupt(format!("a frame of {} x {} pixels", own.0, own.1)));
        };
        self.prepare(Shape {
            source: own,
            target,
            format: source.format,
            space: frame.color_space(),
            range: frame.color_range(),
            chroma: frame.chroma_location(),
        })?;
        let stride = (width * 3).next_multiple_of(ALIGNMENT);
        self.make_room(stride * height + ALIGNMENT)?;
        let rows = [self.rows, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        let strides = [stride as c_int, 0, 0, 0];
        // SAFETY: the scaler was made for this size and format, the frame's planes are alive, and the buffer has room for so
        // many rows and a register more. It was zeroed when it was made.
        let pixels = unsafe {
            let written = ffi::sws_scale(
                self.scaler,
                source.data.as_ptr().cast(),
                source.linesize.as_ptr(),
                0,
                own.1,
                rows.as_ptr(),
                strides.as_ptr(),
            );
            if usize::try_from(written) != Ok(height) {
                return Err(Failure::Corrupt("the pixels of a frame cannot be converted".into()));
            }
            std::slice::from_raw_parts(self.rows, stride * height)
        };
        let mut rgb = Vec::with_capacity(width * height * 3);
        for row in pixels.chunks_exact(stride) {
            rgb.extend_from_slice(&row[..width * 3]);
        }
        Ok(RgbImage::from_raw(width as u32, height as u32, rgb).expect("three bytes were written for each pixel"))
    }

    /// Makes the scaler for this shape, unless it is.
    fn prepare(&mut self, shape: Shape) -> Result<(), Failure> {
        if self.shape == Some(shape) {
            return Ok(());
        }
        self.shape = None;
        let format = pixel_format(shape.format)
            .ok_or_else(|| Failure::Unsupported(format!("frames of the pixel format {}", shape.format)))?;
        // SAFETY: an old scaler is freed once and replaced. The tables of coefficients live as long as the process, and
        // FFmpeg writes the settings where it is told.
        unsafe {
            ffi::sws_freeContext(self.scaler);
            self.scaler = ffi::sws_alloc_context();
            if self.scaler.is_null() {
                return Err(no_memory());
            }
            let [across, down] = chroma_place(format, shape.chroma).unwrap_or([DEFAULT_PLACE; 2]);
            for (name, value) in [
                (c"srcw", shape.source.0),
                (c"srch", shape.source.1),
                (c"src_format", shape.format),
                (c"dstw", shape.target.0),
                (c"dsth", shape.target.1),
                (c"dst_format", ffi::AVPixelFormat::AV_PIX_FMT_RGB24 as c_int),
                (c"sws_flags", ffi::SWS_BILINEAR as c_int),
                (c"src_h_chr_pos", across),
                (c"src_v_chr_pos", down),
            ] {
                ffi::av_opt_set_int(self.scaler.cast(), name.as_ptr(), value.into(), 0);
            }
            if ffi::sws_init_context(self.scaler, ptr::null_mut(), ptr::null_mut()) < 0 {
                return Err(Failure::Unsupported(format!(
                    "frames of {} x {} pixels in this pixel format cannot be converted",
                    shape.source.0, shape.source.1
                )));
            }
            let (mut from, mut to) = (ptr::null_mut(), ptr::null_mut());
            let (mut full, mut to_full, mut brightness, mut contrast, mut saturation) = (0, 0, 0, 0, 0);
            let known = ffi::sws_getColorspaceDetails(
                self.scaler,
                &mut from,
                &mut full,
                &mut to,
                &mut to_full,
                &mut brightness,
                &mut contrast,
                &mut saturation,
            );
            // Formats without colour space have no details.
            if known >= 0 {
                full = match shape.range {
                    FULL_RANGE => 1,
                    LIMITED_RANGE => 0,
                    _ => full,
                };
                let from = ffi::sws_getCoefficients(coefficients(shape.space));
                ffi::sws_setColorspaceDetails(self.scaler, from, full, to, to_full, brightness, contrast, saturation);
            }
        }
        self.shape = Some(shape);
        Ok(())
    }

    fn make_room(&mut self, room: usize) -> Result<(), Failure> {
        if self.room < room {
            // SAFETY: the old buffer is FFmpeg's and not used any more; the new one is aligned for swscale, and zeroed.
            unsafe {
                ffi::av_free(self.rows.cast());
                self.rows = ffi::av_mallocz(room).cast();
            }
            self.room = if self.rows.is_null() { 0 } else { room };
            if self.rows.is_null() {
                return Err(no_memory());
            }
        }
        Ok(())
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: both are FFmpeg's or null, and not used again.
        unsafe {
            ffi::sws_freeContext(self.scaler);
            ffi::av_free(self.rows.cast());
        }
    }
}

/// The pixel format of a number, where FFmpeg has one.
fn pixel_format(number: c_int) -> Option<ffi::AVPixelFormat> {
    // SAFETY: the descriptions live as long as the process; there is none for a number that is no format.
    unsafe {
        let format: ffi::AVPixelFormat = match number {
            // The numbers of an enumeration of FFmpeg's, checked against its own range before they become one.
            0.. if number < ffi::AVPixelFormat::AV_PIX_FMT_NB as c_int => {
                std::mem::transmute::<c_int, ffi::AVPixelFormat>(number)
            }
            _ => return None,
        };
        (!ffi::av_pix_fmt_desc_get(format).is_null()).then_some(format)
    }
}

/// The number by which swscale knows a colour space's coefficients, as FFmpeg's own tool chooses it.
fn coefficients(space: c_int) -> c_int {
    match space {
        space @ (1..=7 | 9 | 10) => space,
        _ => ffi::SWS_CS_DEFAULT,
    }
}

/// What tells swscale that it is not told where colours were taken.
const DEFAULT_PLACE: c_int = -513;

/// Where the first colour of a frame was taken, across and down, in parts of 256 of a pixel, as swscale counts them. `None`
/// where the number of the place is none.
fn chroma_place(format: ffi::AVPixelFormat, number: c_int) -> Option<[c_int; 2]> {
    use ffi::AVChromaLocation as Place;

    const LEFT: c_int = Place::AVCHROMA_LOC_LEFT as c_int;
    const CENTER: c_int = Place::AVCHROMA_LOC_CENTER as c_int;
    const TOP_LEFT: c_int = Place::AVCHROMA_LOC_TOPLEFT as c_int;
    const TOP: c_int = Place::AVCHROMA_LOC_TOP as c_int;
    const BOTTOM_LEFT: c_int = Place::AVCHROMA_LOC_BOTTOMLEFT as c_int;
    const BOTTOM: c_int = Place::AVCHROMA_LOC_BOTTOM as c_int;
    let place = match number {
        LEFT => [0, 128],
        CENTER => [128, 128],
        TOP_LEFT => [0, 0],
        TOP => [128, 0],
        BOTTOM_LEFT => [0, 256],
        BOTTOM => [128, 256],
        _ => return None,
    };
    // SAFETY: the descriptions live as long as the process.
    let format = unsafe { ffi::av_pix_fmt_desc_get(format).as_ref() }?;
    // So many pixels share a colour, as a power of two. Where each has its own there is nothing to say.
    let shares = [format.log2_chroma_w, format.log2_chroma_h];
    let placed = |(place, share): (c_int, u8)| match share {
        0 => DEFAULT_PLACE,
        share => place * ((1 << share) - 1),
    };
    Some([placed((place[0], shares[0])), placed((place[1], shares[1]))])
}

/// How a frame is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Clockwise,
    Half,
    Anticlockwise,
    FlipAcross,
    FlipDown,
    /// A mirror on the diagonal.
    Transpose,
    /// A mirror on the other diagonal.
    Transverse,
}

impl Turn {
    /// The turn that a display matrix asks for. Angles between are not turned by.
    pub(super) fn of(matrix: &[i32; 9]) -> Self {
        let (a, b, c, d) = (matrix[0], matrix[1], matrix[3], matrix[4]);
        let straight = a.unsigned_abs().min(d.unsigned_abs()) > b.unsigned_abs().max(c.unsigned_abs());
        let crossed = b.unsigned_abs().min(c.unsigned_abs()) > a.unsigned_abs().max(d.unsigned_abs());
        match (straight, crossed) {
            (true, _) => match (a < 0, d < 0) {
                (false, false) => Self::None,
                (true, true) => Self::Half,
                (true, false) => Self::FlipAcross,
                (false, true) => Self::FlipDown,
            },
            (_, true) => match (b < 0, c < 0) {
                (false, true) => Self::Clockwise,
                (true, false) => Self::Anticlockwise,
                (false, false) => Self::Transpose,
                (true, true) => Self::Transverse,
            },
            _ => Self::None,
        }
    }

    /// The turn of a frame that says so itself.
    pub(super) fn of_frame(frame: &Frame) -> Option<Self> {
        // SAFETY: the frame is alive, and so are its side data, of so many bytes.
        let matrix = unsafe {
            let data = ffi::av_frame_get_side_data(frame.get(), ffi::AVFrameSideDataType::AV_FRAME_DATA_DISPLAYMATRIX);
            let has_matrix = !data.is_null() && (*data).size >= size_of::<[i32; 9]>();
            has_matrix.then(|| (*data).data.cast::<[i32; 9]>().read_unaligned())
        };
        matrix.as_ref().map(Self::of)
    }

    pub(super) fn apply(self, image: RgbImage) -> RgbImage {
        match self {
            Self::None => image,
            Self::Clockwise => imageops::rotate90(&image),
            Self::Half => imageops::rotate180(&image),
            Self::Anticlockwise => imageops::rotate270(&image),
            Self::FlipAcross => imageops::flip_horizontal(&image),
            Self::FlipDown => imageops::flip_vertical(&image),
            Self::Transpose => imageops::flip_horizontal(&imageops::rotate90(&image)),
            Self::Transverse => imageops::flip_vertical(&imageops::rotate90(&image)),
        }
    }
}
