//! What reading media counts. Names stand here alone, because workers send what they count by them.

/// Videos and documents that were opened: once for all their parts, if they come to a reader that has them open.
pub(crate) const OPENED: &str = "sightstream_media_opened_total";

/// Packets of videos that their decoders took.
pub(crate) const FRAMES_DECODED: &str = "sightstream_video_frames_decoded_total";

/// Frames of videos that became pixels.
pub(crate) const FRAMES_USED: &str = "sightstream_video_frames_used_total";

/// Videos whose end is missing, or of which some frames do not decode, that were used all the same.
pub(crate) const TRUNCATED: &str = "sightstream_videos_truncated_total";

/// All, with what they mean. None has labels.
pub(crate) const COUNTERS: &[(&str, &str)] = &[
    (OPENED, "Videos and documents that were opened to be decoded."),
    (FRAMES_DECODED, "Packets of videos that were decoded."),
    (FRAMES_USED, "Frames of videos that became pixels."),
    (
        TRUNCATED,
        "Videos whose end is missing, or of which some frames do not decode, that were used all the same.",
    ),
];
