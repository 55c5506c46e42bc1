//! The whole way from a medium to a vector against transformers' vectors, on checkpoints of several shapes.

mod kits;

use kits::{Case, Kind, Kit, cosine};
use sightstream_model::encoder::{DtypeChoice, Encoder, EncoderOptions};

/// So close must a vector be to the reference's …
const SAME: f64 = 0.99999;
/// … where the pixels come from another JPEG decoder …
const SAME_JPEG: f64 = 0.9995;
/// … or the frames from another FFmpeg's H.264 decoder and colours …
const SAME_H264: f64 = 0.999;
/// … and no two inputs of a kit may be closer than this, or the bars would mean nothing.
const DIFFERENT: f64 = 0.98;

#[test]
fn different_inputs_of_a_kit_have_different_vectors() {
    for kit in kits::all() {
        for (i, first) in kit.cases.iter().enumerate() {
            for second in &kit.cases[..i] {
                let cosine = cosine(
                    &kit.reference_f32(first, "vector"),
                    &kit.reference_f32(second, "vector"),
                );
                assert!(
                    cosine < DIFFERENT,
                    "{}: {} and {}: {cosine}",
                    kit.name,
                    first.name,
                    second.name
                );
            }
        }
    }
}

#[test]
fn vectors_are_the_references() {
    for kit in kits::all() {
        for case in &kit.cases {
            let vectors = kit.encoder.encode(&[kit.input(case)]).expect("encoded");
            let cosine = cosine(&vectors[0], &kit.reference_f32(case, "vector"));
            let bar = match (case.is_jpeg(), case.is_h264()) {
                (true, _) => SAME_JPEG,
                (_, true) => SAME_H264,
                _ => SAME,
            };
            assert!(cosine >= bar, "{} {}: {cosine}", kit.name, case.name);
        }
    }
}

/// Lossless films in RGB and in YUV, and one with B-frames: PyAV decodes them for the reference, all to the same frames.
#[test]
fn films_of_each_kind_are_compared() {
    let films: Vec<String> = kits::all()
        .flat_map(|kit| kit.cases)
        .filter_map(|case| case.film)
        .collect();
    for film in ["film.mkv", "film_yuv.mkv", "film.mp4"] {
        assert!(films.iter().filter(|&name| name == film).count() >= 2, "{films:?}");
    }
}

#[test]
fn a_mixed_batch_gives_what_one_by_one_gives() {
    for kit in kits::all() {
        let mut inputs = kit.inputs();
        let alone: Vec<_> = inputs
            .iter()
            .flat_map(|input| kit.encoder.encode(std::slice::from_ref(input)))
            .flatten()
            .collect();
        assert_eq!(alone.len(), inputs.len());
        let together = kit.encoder.encode(&inputs).expect("encoded");
        inputs.reverse();
        let mut backwards = kit.encoder.encode(&inputs).expect("encoded");
        backwards.reverse();
        for (index, case) in kit.cases.iter().enumerate() {
            for batch in [&together, &backwards] {
                let cosine = cosine(&batch[index], &alone[index]);
                assert!(cosine >= SAME, "{} {}: {cosine}", kit.name, case.name);
            }
        }
    }
}

/// Half precision keeps 10 or 7 bits, and the kits' random weights amplify what is lost more than trained ones do; what has
/// to hold is that a vector stays close to its own reference, and nearer to it than to any other case's.
#[test]
fn half_precision_stays_close() {
    for (dtype, bar) in [(DtypeChoice::F16, 0.9995), (DtypeChoice::Bf16, 0.98)] {
        for name in kits::KITS {
            let kit = Kit::load(name, Some(dtype));
            let vectors = kit.encoder.encode(&kit.inputs()).expect("encoded");
            for (index, (case, vector)) in kit.cases.iter().zip(&vectors).enumerate() {
                let to_reference = |case: &Case| cosine(vector, &kit.reference_f32(case, "vector"));
                let own = to_reference(case);
                assert!(own >= bar, "{dtype} {name} {}: {own}", case.name);
                for (_, other) in kit.cases.iter().enumerate().filter(|(other, _)| *other != index) {
                    let cosine = to_reference(other);
                    assert!(cosine < own, "{dtype} {name} {}: {cosine} to {}", case.name, other.name);
                }
            }
        }
    }
}

#[test]
fn vectors_have_the_hidden_size_and_length_one() {
    for (name, dimension) in [("grouped", 64), ("wide_heads", 160), ("single_kv", 84)] {
        let kit = Kit::load(name, None);
        assert_eq!(kit.encoder.dimension(), dimension);
        for vector in kit.encoder.encode(&kit.inputs()).expect("encoded") {
            assert_eq!(vector.len(), dimension);
            let length: f32 = vector.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
        assert!(kit.encoder.encode(&[]).expect("nothing to do").is_empty());
    }
}

#[test]
fn pixel_limits_change_the_vectors_and_the_fingerprint() {
    let kit = Kit::load("grouped", None);
    let limited = EncoderOptions {
        max_pixels: Some(6 * 784),
        ..kits::options("grouped")
    };
    let limited = Encoder::load(&limited).expect("loads");
    assert_ne!(limited.fingerprint(), kit.encoder.fingerprint());
    let case = kit
        .cases
        .iter()
        .find(|case| case.name == "image_large")
        .expect("in the kit");
    let image = kits::media(case);
    let vectors = [&kit.encoder, &limited].map(|encoder| {
        let input = encoder.processor().process(&image, None, "large").expect("processed");
        encoder.encode(&[input]).expect("encoded").remove(0)
    });
    assert!(cosine(&vectors[0], &vectors[1]) < 0.999);
}

#[test]
fn the_fingerprint_follows_the_pixel_limits_and_not_how_they_are_set() {
    let kit = Kit::load("grouped", None);
    let own = kit.encoder.processor().config().clone();
    let fingerprint = |min_pixels, max_pixels| {
        let options = EncoderOptions {
            min_pixels,
            max_pixels,
            ..kits::options("grouped")
        };
        Encoder::load(&options).expect("loads").fingerprint().to_string()
    };
    assert_eq!(fingerprint(None, Some(own.max_pixels)), kit.encoder.fingerprint());
    assert_eq!(
        fingerprint(Some(own.min_pixels), Some(own.max_pixels)),
        kit.encoder.fingerprint()
    );
    let fewer = fingerprint(None, Some(own.max_pixels - 784));
    assert_eq!(fingerprint(Some(own.min_pixels), Some(own.max_pixels - 784)), fewer);
    let more = fingerprint(Some(own.min_pixels + 784), None);
    assert!(fewer != more && kit.encoder.fingerprint() != fewer && kit.encoder.fingerprint() != more);
}

#[test]
fn the_demo_checkpoint_tells_texts_images_and_clips_apart() {
    let kit = Kit::load("grouped", None);
    let demo = Encoder::load(&EncoderOptions::default()).expect("built in");
    assert_eq!(demo.model_name(), "demo");
    let processor = demo.processor();
    let inputs: Vec<_> = kit
        .cases
        .iter()
        .filter(|case| !matches!(case.kind, Kind::Video | Kind::Tokens))
        .map(|case| processor.process(&kits::media(case), None, "case").expect("processed"))
        .collect();
    let vectors = demo.encode(&inputs).expect("encoded");
    for (i, first) in vectors.iter().enumerate() {
        for (j, second) in vectors[..i].iter().enumerate() {
            let cosine = cosine(first, second);
            assert!(cosine < 0.995 || inputs[i] == inputs[j], "inputs {i} and {j}: {cosine}");
        }
    }
}
