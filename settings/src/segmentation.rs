//! How videos and documents become inputs: options that decide the vectors.

use std::time::Duration;

use clap::Args;
use sightstream_model::media::Segmentation;

use crate::{Fallback, values};

/// The parts of media. What is left out here may be `SET` in a SQL file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Videos and documents")]
pub struct SegmentationArgs {
    /// The frames that stand for a video, or for each window of a long one [default: 8]
    #[arg(long, env = "SIGHTSTREAM_VIDEO_FRAMES", value_name = "COUNT", value_parser = values::frames)]
    pub video_frames: Option<u32>,

    /// A longer video is embedded in windows: 90s, 3m [default: 3m]
    #[arg(long, env = "SIGHTSTREAM_LONGEST_CLIP", value_name = "DURATION", value_parser = values::duration)]
    pub longest_clip: Option<Duration>,

    /// How long the windows of a longer one are [default: 30s]
    #[arg(long, env = "SIGHTSTREAM_VIDEO_WINDOW", value_name = "DURATION", value_parser = values::window)]
    pub video_window: Option<Duration>,

    /// How finely pages of documents are drawn, in dots per inch [default: 300]
    #[arg(long, env = "SIGHTSTREAM_PAGE_DPI", value_name = "DPI", value_parser = values::dpi)]
    pub page_dpi: Option<f32>,
}

impl SegmentationArgs {
    /// Fills what neither a flag nor an environment variable says from the settings of a SQL file.
    pub fn fill(&mut self, settings: &mut impl Fallback) {
        settings.fill("video_frames", &mut self.video_frames, values::frames);
        settings.fill("longest_clip", &mut self.longest_clip, values::duration);
        settings.fill("video_window", &mut self.video_window, values::window);
        settings.fill("page_dpi", &mut self.page_dpi, values::dpi);
    }

    /// What they say together.
    pub fn segmentation(&self) -> Segmentation {
        let defaults = Segmentation::default();
        let seconds = |given: Option<Duration>, default| given.map_or(default, |given| given.as_secs_f64());
        Segmentation {
            frames: self.video_frames.unwrap_or(defaults.frames),
            longest_clip: seconds(self.longest_clip, defaults.longest_clip),
            window: seconds(self.video_window, defaults.window),
            page_dpi: self.page_dpi.unwrap_or(defaults.page_dpi),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_the_reference_has_it() {
        assert_eq!(SegmentationArgs::default().segmentation(), Segmentation::default());
        let args = SegmentationArgs {
            longest_clip: Some(Duration::from_millis(1500)),
            ..SegmentationArgs::default()
        };
        let expected = Segmentation {
            longest_clip: 1.5,
            ..Segmentation::default()
        };
        assert_eq!(args.segmentation(), expected);
    }
}
