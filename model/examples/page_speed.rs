//! How many pages of a PDF are drawn and made patches of in a second:
//! `cargo run --release --example page_speed -- FILE [SECONDS]`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, Identity, MediaFile};
use sightstream_model::media::{Answer, DecodeLimits, Parts, Question, Reader, Reading, Segmentation};
use sightstream_model::processor::{Processor, ProcessorConfig, ProcessorOverrides};
use sightstream_model::reference::Fragment;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("page_speed FILE [SECONDS]");
        return ExitCode::FAILURE;
    };
    let seconds = arguments
        .next()
        .map_or(10.0, |seconds| seconds.parse().expect("SECONDS is a number"));
    let file = std::fs::File::open(&path).expect("a readable file");
    let content = Content::File(MediaFile {
        length: file.metadata().expect("a readable file").len(),
        file: std::sync::Arc::new(file),
        identity: Identity([0; 16]),
    });
    match measure(&content, Duration::from_secs_f64(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(content: &Content, time: Duration) -> Result<(), MediaError> {
    let config = ProcessorConfig::read(None, &ProcessorOverrides::default()).expect("the defaults");
    let processor = Processor::new(include_bytes!("../demo/tokenizer.json"), config).expect("the demo's tokenizer");
    let target = processor.target();
    let segmentation = Segmentation::default();
    let limits = DecodeLimits::default();
    let read = |reader: &mut Reader, question, fragment: Option<&Fragment>| {
        let reading = Reading {
            media_type: None,
            fragment,
            question,
            limits: &limits,
            segmentation: &segmentation,
            name: "the document",
        };
        reader.read(content, &reading, &|image| target.fit_image(image))
    };
    let start = Instant::now();
    let mut drawn = 0u32;
    while drawn == 0 || start.elapsed() < time {
        let mut reader = Reader::default();
        let Answer::Parts(Parts::Pages(pages)) = read(&mut reader, Question::Parts, None)? else {
            panic!("it is no document");
        };
        for page in 1..=pages {
            let Answer::Media(media) = read(&mut reader, Question::Input, Some(&Fragment::Page(page)))? else {
                panic!("a page has no parts");
            };
            let page = target.accept(media).expect("it was fitted");
            drop(processor.pack(&page, None, "a page")?);
            drawn += 1;
        }
    }
    println!("{:.2} pages a second", f64::from(drawn) / start.elapsed().as_secs_f64());
    Ok(())
}
