//! Clips of videos, compared frame by frame with what the ffmpeg command gives when it decodes them whole.

mod animations;
mod codecs;
mod colours;
mod containers;
mod failures;
mod kit;
mod plain;
mod reader;
mod telling;
mod times;
