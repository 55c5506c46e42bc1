//! A container that is open: its best video stream, packet by packet.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use ffmpeg_next::ffi;

use super::extent;
use super::ffmpeg::{Packet, described, no_memory};
use super::formats::{self, Holds};
use super::input::Input;
use crate::fetch::Content;
use crate::media::DecodeLimits;
use crate::media::failure::Failure;

/// How often reading may fail in a row before the rest is given up. A demuxer finds its way after damage by reading on.
const FAILURES: u32 = 1000;

/// A container that is open.
#[derive(Debug)]
pub(super) struct Container {
    format: *mut ffi::AVFormatContext,
    stream: usize,
    codec: *const ffi::AVCodec,
    /// Whether reading failed for good before the end.
    ends_early: bool,
    /// Freed after the format, which reads through it.
    _input: Input,
}

// SAFETY: FFmpeg's contexts may be used from any thread, one at a time.
unsafe impl Send for Container {}

/// What a demuxer asks for when it wants another file: nothing is opened.
unsafe extern "C" fn refuse_to_open(
    _format: *mut ffi::AVFormatContext,
    context: *mut *mut ffi::AVIOContext,
    _url: *const c_char,
    _flags: c_int,
    _options: *mut *mut ffi::AVDictionary,
) -> c_int {
    // SAFETY: FFmpeg passes where it wants the context.
    unsafe { *context = ptr::null_mut() };
    ffi::AVERROR(libc::EACCES)
}

impl Container {
    /// Opens a container, whose format is found by its content, and finds its video.
    pub(super) fn open(content: &Content, limits: &DecodeLimits) -> Result<Self, Failure> {
        super::log::bridge();
        let input = Input::new(content)?;
        let format = probe(&input)?;
        // SAFETY: the input and the format are alive. The context is FFmpeg's to free if it cannot be opened.
        let opened = unsafe {
            let mut context = ffi::avformat_alloc_context();
            if context.is_null() {
                return Err(no_memory());
            }
            (*context).pb = input.as_ptr();
            (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            (*context).io_open = Some(refuse_to_open);
            (*context).protocol_whitelist = ffi::av_strdup(c"none".as_ptr());
            (*context).format_whitelist = ffi::av_strdup((*format).name);
            match ffi::avformat_open_input(&mut context, ptr::null(), format, ptr::null_mut()) {
                code if code < 0 => Err(code),
                _ => Ok(context),
            }
        };
        let format =
            opened.map_err(|code| Failure::Corrupt(format!("the video cannot be opened: {}", described(code))))?;
        let mut container = Self {
            format,
            stream: 0,
            codec: ptr::null(),
            ends_early: false,
            _input: input,
        };
        container.check_sizes(limits)?;
        container.find_streams(limits)?;
        container.choose_stream()?;
        container.check_sizes(limits)?;
        Ok(container)
    }

    /// Refuses streams of too many pixels, as far as their size is known.
    fn check_sizes(&self, limits: &DecodeLimits) -> Result<(), Failure> {
        for &stream in self.streams() {
            // SAFETY: a stream has parameters as long as its container lives.
            let parameters = unsafe { &*(*stream).codecpar };
            let (width, height) = (parameters.width, parameters.height);
            let pixels = u64::try_from(width).unwrap_or(0) * u64::try_from(height).unwrap_or(0);
            if parameters.codec_type == ffi::AVMediaType::AVMEDIA_TYPE_VIDEO && pixels > limits.max_pixels {
                return Err(Failure::TooLarge(format!(
                    "frames of {width} x {height} pixels; the limit is {} pixels",
                    limits.max_pixels
                )));
            }
        }
        Ok(())
    }

    /// Reads as far as is needed to know the streams. Some of it is decoded, within the limit.
    fn find_streams(&mut self, limits: &DecodeLimits) -> Result<(), Failure> {
        let pixels = CString::new(limits.max_pixels.min(i32::MAX as u64).to_string()).unwrap_or_default();
        let mut options: Vec<*mut ffi::AVDictionary> = vec![ptr::null_mut(); self.streams().len()];
        // SAFETY: there is a dictionary for each stream, as FFmpeg wants it; each is freed after.
        let code = unsafe {
            for options in &mut options {
                ffi::av_dict_set(options, c"max_pixels".as_ptr(), pixels.as_ptr(), 0);
            }
            let code = ffi::avformat_find_stream_info(self.format, options.as_mut_ptr());
            for options in &mut options {
                ffi::av_dict_free(options);
            }
            code
        };
        match code {
            code if code < 0 => Err(Failure::Corrupt(format!(
                "the video's streams cannot be read: {}",
                described(code)
            ))),
            _ => Ok(()),
        }
    }

    /// Takes the best video stream, and lets the demuxer skip the others. A cover of a song is no video.
    fn choose_stream(&mut self) -> Result<(), Failure> {
        let mut codec = ptr::null();
        // SAFETY: the format is alive; FFmpeg writes the decoder that it found.
        let best = unsafe {
            ffi::av_find_best_stream(self.format, ffi::AVMediaType::AVMEDIA_TYPE_VIDEO, -1, -1, &mut codec, 0)
        };
        let pictures = (ffi::AV_DISPOSITION_ATTACHED_PIC | ffi::AV_DISPOSITION_TIMED_THUMBNAILS) as c_int;
        let streams = self.streams();
        let best = match usize::try_from(best) {
            // SAFETY: the streams live as long as the container.
            Ok(best) if unsafe { (*streams[best]).disposition } & pictures == 0 => best,
            Err(_) if best == ffi::AVERROR_DECODER_NOT_FOUND => return Err(self.undecodable()),
            _ => return Err(self.without_video()),
        };
        for (index, stream) in streams.iter().enumerate() {
            // SAFETY: the streams live as long as the container, and nobody else has it.
            unsafe {
                (**stream).discard = match index == best {
                    true => ffi::AVDiscard::AVDISCARD_DEFAULT,
                    false => ffi::AVDiscard::AVDISCARD_ALL,
                }
            }
        }
        (self.stream, self.codec) = (best, codec);
        Ok(())
    }

    fn has(&self, kind: ffi::AVMediaType) -> Option<&ffi::AVCodecParameters> {
        // SAFETY: streams and their parameters live as long as the container.
        let mut parameters = self.streams().iter().map(|stream| unsafe { &*(**stream).codecpar });
        parameters.find(|parameters| parameters.codec_type == kind)
    }

    fn without_video(&self) -> Failure {
        match self.has(ffi::AVMediaType::AVMEDIA_TYPE_AUDIO) {
            Some(_) => formats::only_sound(),
            None => Failure::Unsupported("it is a container of media, but holds no video".into()),
        }
    }

    fn undecodable(&self) -> Failure {
        let codec = self
            .has(ffi::AVMediaType::AVMEDIA_TYPE_VIDEO)
            .map_or_else(String::new, |parameters| codec_name(parameters.codec_id));
        Failure::Unsupported(format!(
            "its video is {codec}, for which the installed FFmpeg has no decoder"
        ))
    }

    fn streams(&self) -> &[*mut ffi::AVStream] {
        // SAFETY: the format is alive, and has an array of so many streams, or none.
        unsafe {
            match ((*self.format).streams, (*self.format).nb_streams as usize) {
                (_, 0) => &[],
                (streams, count) => std::slice::from_raw_parts(streams, count),
            }
        }
    }

    /// The stream that is read.
    fn stream(&self) -> &ffi::AVStream {
        // SAFETY: streams are never taken away from a container that is open.
        unsafe { &*self.streams()[self.stream] }
    }

    pub(super) fn parameters(&self) -> &ffi::AVCodecParameters {
        // SAFETY: a stream has parameters as long as its container lives.
        unsafe { &*self.stream().codecpar }
    }

    pub(super) fn codec(&self) -> *const ffi::AVCodec {
        self.codec
    }

    pub(super) fn codec_name(&self) -> String {
        codec_name(self.parameters().codec_id)
    }

    /// The pixels of a frame, as far as the container knows them.
    pub(super) fn pixels(&self) -> u64 {
        let side = |side: c_int| u64::try_from(side).unwrap_or(0);
        side(self.parameters().width) * side(self.parameters().height)
    }

    /// The seconds that a tick of times lasts.
    pub(super) fn time_base(&self) -> ffi::AVRational {
        match self.stream().time_base {
            base if base.num > 0 && base.den > 0 => base,
            _ => ffi::AVRational { num: 1, den: 1_000_000 },
        }
    }

    /// How long a frame lasts on average, in ticks, as far as the container says so.
    pub(super) fn frame_ticks(&self) -> i64 {
        let (rate, base) = (self.stream().avg_frame_rate, self.time_base());
        match (
            i64::from(rate.num) * i64::from(base.num),
            i64::from(rate.den) * i64::from(base.den),
        ) {
            (per_tick, ticks) if per_tick > 0 && ticks > 0 => ticks / per_tick,
            _ => 0,
        }
    }

    /// Whether times may jump in this format, as where parts of a broadcast were joined, so that a jump is no length of time.
    pub(super) fn has_jumps(&self) -> bool {
        self.format_flags() & ffi::AVFMT_TS_DISCONT as c_int != 0
    }

    fn format_flags(&self) -> c_int {
        // SAFETY: an open context has a format, which lives as long as the process.
        unsafe { (*(*self.format).iformat).flags }
    }

    /// Whether the file ends before the container's own index does, or the sizes in it say.
    pub(super) fn is_cut(&self, content: &Content) -> bool {
        // SAFETY: an open context has a format, which has a name; both live as long as the process.
        let format = unsafe { CStr::from_ptr((*(*self.format).iformat).name) };
        self.indexed_end() > content.length() || extent::is_cut(content, &format.to_string_lossy())
    }

    /// The file's end as the container's own index has it, in bytes.
    fn indexed_end(&self) -> u64 {
        let stream = self.streams()[self.stream];
        // SAFETY: the stream is alive, and the entries are read before anything else is done with it.
        unsafe {
            let entry = match ffi::avformat_index_get_entries_count(stream) {
                count if count > 0 => ffi::avformat_index_get_entry(stream, count - 1),
                _ => ptr::null(),
            };
            match entry.is_null() {
                true => 0,
                false => u64::try_from((*entry).pos + i64::from((*entry).size())).unwrap_or(0),
            }
        }
    }

    /// How the stream's frames are to be turned, as a display matrix.
    pub(super) fn display_matrix(&self) -> Option<[i32; 9]> {
        let mut size = 0;
        // SAFETY: the stream is alive; side data of so many bytes live as long as it does.
        unsafe {
            let data = ffi::av_stream_get_side_data(
                self.stream(),
                ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
                &mut size,
            );
            (!data.is_null() && size >= size_of::<[i32; 9]>()).then(|| data.cast::<[i32; 9]>().read_unaligned())
        }
    }

    /// Reads the next packet of the video. `false` at the end, or where nothing can be read any more.
    pub(super) fn read(&mut self, packet: &mut Packet) -> bool {
        let mut failures = 0;
        while failures < FAILURES {
            packet.clear();
            // SAFETY: format and packet are alive.
            match unsafe { ffi::av_read_frame(self.format, packet.as_ptr()) } {
                code if code >= 0 => {
                    if usize::try_from(packet.get().stream_index) == Ok(self.stream) {
                        return true;
                    }
                }
                ffi::AVERROR_EOF => return false,
                code if code == ffi::AVERROR_INVALIDDATA || code == ffi::AVERROR(libc::EAGAIN) => failures += 1,
                code => {
                    tracing::debug!(error = described(code), "a video ends early");
                    failures = FAILURES;
                }
            }
        }
        self.ends_early = true;
        false
    }

    /// Whether reading failed for good before the end.
    pub(super) fn ends_early(&self) -> bool {
        self.ends_early
    }

    /// Goes to a time, or rather to a place before it that the container knows. Where that is the next packet tells.
    pub(super) fn seek_to_time(&mut self, ticks: i64) -> bool {
        // SAFETY: the format is alive.
        unsafe {
            ffi::av_seek_frame(
                self.format,
                self.stream as c_int,
                ticks,
                ffi::AVSEEK_FLAG_BACKWARD as c_int,
            ) >= 0
        }
    }

    /// Goes to a byte of the file, where the format can be read from the middle.
    pub(super) fn seek_to_byte(&mut self, position: i64) -> bool {
        let can_seek = self.has_jumps() && self.format_flags() & ffi::AVFMT_NO_BYTE_SEEK as c_int == 0;
        let (stream, flags) = (self.stream as c_int, ffi::AVSEEK_FLAG_BYTE as c_int);
        // SAFETY: the format is alive.
        can_seek && unsafe { ffi::av_seek_frame(self.format, stream, position, flags) >= 0 }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // SAFETY: the format was opened by `avformat_open_input` and is not used again; its input is freed after it.
        unsafe { ffi::avformat_close_input(&mut self.format) }
    }
}

/// The format of a content, if it is one that is read here.
fn probe(input: &Input) -> Result<*const ffi::AVInputFormat, Failure> {
    let mut format: *const ffi::AVInputFormat = ptr::null();
    // SAFETY: the input is alive; FFmpeg reads its beginning and goes back.
    let code = unsafe {
        ffi::av_probe_input_buffer2(
            input.as_ptr(),
            &mut format,
            ptr::null(),
            ptr::null_mut::<c_void>(),
            0,
            0,
        )
    };
    if code < 0 || format.is_null() {
        return Err(Failure::Corrupt("it is no video that FFmpeg knows".into()));
    }
    // SAFETY: formats and their names live as long as the process.
    let (name, long_name) = unsafe {
        let text = |text: *const c_char| match text.is_null() {
            true => String::new(),
            false => CStr::from_ptr(text).to_string_lossy().into_owned(),
        };
        (text((*format).name), text((*format).long_name))
    };
    match formats::held_by(&name) {
        Holds::Video => Ok(format),
        Holds::Sound => Err(formats::only_sound()),
        Holds::Other => Err(Failure::Unsupported(format!(
            "FFmpeg takes it for {long_name}, which is not read here"
        ))),
    }
}

fn codec_name(id: ffi::AVCodecID) -> String {
    // SAFETY: FFmpeg has a name for every number, which lives as long as the process.
    unsafe { CStr::from_ptr(ffi::avcodec_get_name(id)) }
        .to_string_lossy()
        .into_owned()
}
