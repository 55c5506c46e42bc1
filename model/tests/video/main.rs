//! Clips of videos, compared frame by frame with what the ffmpeg command gives when it decodes them whole.

mod kit;
mod plain;
