//! What a worker may do costs the medium that it did it on, and nothing else.

use std::time::Duration;

use sightstream_model::error::MediaError;
use sightstream_model::isolation::{Decoder, DecoderIsolation, WorkerOptions};
use sightstream_model::media::{DecodeLimits, Media, Segmentation};

use crate::support::{POISON, Test, all_images, decode, decoder, decoder_of, good_image, target, workers};

pub const TESTS: &[Test] = &[
    (
        "every_image_is_the_same_in_a_worker_to_the_bit",
        every_image_is_the_same_in_a_worker_to_the_bit,
    ),
    (
        "a_crash_costs_one_medium_and_is_told_by_its_signal",
        a_crash_costs_one_medium_and_is_told_by_its_signal,
    ),
    (
        "memory_without_end_costs_one_medium",
        memory_without_end_costs_one_medium,
    ),
    ("a_hang_costs_one_medium", a_hang_costs_one_medium),
    (
        "an_answer_that_cannot_be_costs_one_medium",
        an_answer_that_cannot_be_costs_one_medium,
    ),
    (
        "a_panic_costs_one_medium_and_the_worker_goes_on",
        a_panic_costs_one_medium_and_the_worker_goes_on,
    ),
    (
        "a_worker_that_talks_without_end_is_heard_out",
        a_worker_that_talks_without_end_is_heard_out,
    ),
    (
        "a_worker_reads_no_file_and_opens_no_connection",
        a_worker_reads_no_file_and_opens_no_connection,
    ),
    (
        "a_worker_that_does_not_start_is_no_mediums_fault",
        a_worker_that_does_not_start_is_no_mediums_fault,
    ),
    (
        "options_that_cannot_work_are_refused",
        options_that_cannot_work_are_refused,
    ),
];

fn every_image_is_the_same_in_a_worker_to_the_bit() {
    let (here, there) = (decoder_of(DecoderIsolation::InProcess), decoder(workers("sound")));
    let mut images = 0;
    for path in all_images() {
        let bytes = std::fs::read(&path).expect("a committed file");
        // The whole, and a half, which is corrupt in one way or another.
        for bytes in [&bytes[..], &bytes[..bytes.len() / 2]] {
            let (here, there) = (decode(&here, bytes), decode(&there, bytes));
            images += usize::from(matches!(here, Ok(Media::Image(_))));
            assert!(here == there, "{}: {:?}", path.display(), here.err().zip(there.err()));
        }
    }
    assert!(images > 60, "only {images} images were read");
}

/// Has a worker of this kind decode a good image, the poison and a good image again: what became of the poison.
fn poisoned(decoder: &Decoder) -> MediaError {
    let image = decode(decoder, &good_image()).expect("a good image");
    let error = decode(decoder, POISON).expect_err("the worker shows its fault");
    assert!(
        decode(decoder, &good_image()).as_ref() == Ok(&image),
        "the image after the poison"
    );
    error
}

fn a_crash_costs_one_medium_and_is_told_by_its_signal() {
    for (kind, told) in [
        ("aborts", "by signal 6, SIGABRT"),
        ("exits", "with exit code 3"),
        ("overflows-its-stack", "has overflowed its stack"),
        ("stops-in-the-middle", "with exit code 0"),
    ] {
        let error = poisoned(&decoder(workers(kind)));
        assert_eq!(error.reason(), "crashed", "{kind}: {error}");
        assert!(error.to_string().contains(told), "{kind}: {error}");
    }
}

fn memory_without_end_costs_one_medium() {
    let options = WorkerOptions {
        memory: 128 << 20,
        ..workers("takes-memory")
    };
    let error = poisoned(&decoder(options));
    assert_eq!(
        error.to_string(),
        "it: decoding takes too much memory: the limit is 134217728 bytes"
    );
    assert_eq!(error.reason(), "decode_memory");
}

fn a_hang_costs_one_medium() {
    for kind in ["hangs", "drips"] {
        // The good image's worker has to start in this time as well, on a machine that may be busy.
        let options = WorkerOptions {
            timeout: Duration::from_secs(5),
            ..workers(kind)
        };
        let error = poisoned(&decoder(options));
        assert_eq!(error.to_string(), "it: decoding took too long: no result after 5 s");
        assert_eq!(error.reason(), "decode_timeout");
    }
}

fn an_answer_that_cannot_be_costs_one_medium() {
    for (kind, told) in [
        ("sends-garbage", "a header of 4294967295 bytes"),
        ("sends-too-many-pixels", "an image of 2800000 x 2800000 pixels"),
        ("sends-too-few-bytes", "7 bytes for 1 of 280 x 280 pixels"),
    ] {
        let error = poisoned(&decoder(workers(kind)));
        assert_eq!(error.reason(), "crashed", "{kind}: {error}");
        assert!(
            error.to_string().contains("broke the protocol") && error.to_string().contains(told),
            "{error}"
        );
    }
}

fn a_panic_costs_one_medium_and_the_worker_goes_on() {
    let error = poisoned(&decoder(workers("panics")));
    assert_eq!(error.to_string(), "it: the decoder panicked: the decoder's bug");
}

fn a_worker_that_talks_without_end_is_heard_out() {
    let decoder = decoder(workers("talks"));
    let error = decode(&decoder, POISON).expect_err("it is no image");
    assert_eq!(error.reason(), "corrupt", "{error}");
}

fn a_worker_reads_no_file_and_opens_no_connection() {
    let error = poisoned(&decoder(workers("starts-another")));
    assert_eq!(error.reason(), "corrupt", "{error}");
}

fn a_worker_that_does_not_start_is_no_mediums_fault() {
    let missing = WorkerOptions::new(vec!["/no/such/executable".into()]);
    let refused = decoder(missing)
        .warm_up()
        .expect_err("there is no such file")
        .to_string();
    assert!(
        refused.starts_with("/no/such/executable cannot be started: No such file"),
        "{refused}"
    );

    let refused = decoder(workers("dies-at-once"))
        .warm_up()
        .expect_err("it ends")
        .to_string();
    assert!(
        refused.contains("does not work as a decode worker: it ended with exit code 127 (a library is missing)"),
        "{refused}"
    );

    let other = WorkerOptions::new(["/bin/sh", "-c", "head -c 64 /dev/zero >&0"].map(Into::into).to_vec());
    let refused = decoder(other).warm_up().expect_err("it is no worker").to_string();
    assert!(
        refused.starts_with("/bin/sh does not work as a decode worker: it sent"),
        "{refused}"
    );
}

fn options_that_cannot_work_are_refused() {
    let refused = |options| {
        Decoder::new(
            DecoderIsolation::Workers(options),
            DecodeLimits::default(),
            Segmentation::default(),
            target(),
        )
        .expect_err("refused")
        .to_string()
    };
    let sound = || workers("sound");
    assert!(
        refused(WorkerOptions {
            memory: 1000,
            ..sound()
        })
        .starts_with("decode_memory: 1000 bytes; write 16 MiB")
    );
    assert!(
        refused(WorkerOptions {
            timeout: Duration::ZERO,
            ..sound()
        })
        .starts_with("decode_timeout: ")
    );
    assert!(refused(WorkerOptions::new(vec![])).starts_with("decode_worker: "));
    assert!(refused(WorkerOptions::new(vec!["sightstream".into()])).starts_with("decode_worker: "));
}
