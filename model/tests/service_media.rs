//! The service with the real fetcher, decoders and demo checkpoint: what comes out is what the parts give one by one.

use std::fs;
use std::path::Path;

use futures::future::join_all;
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::{FetchOptions, Fetcher};
use sightstream_model::media::{DecodeLimits, Media, decode};
use sightstream_model::service::{EmbeddingService, ServiceOptions};

fn encoder() -> Encoder {
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    Encoder::load(&options).expect("the demo checkpoint is built in")
}

fn service() -> EmbeddingService {
    let fetcher = Fetcher::new(FetchOptions::default()).expect("a fetcher");
    EmbeddingService::start(encoder(), fetcher, ServiceOptions::default()).expect("the service starts")
}

fn format(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name);
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// The vector without a service: read, decode, process, encode alone.
fn alone(encoder: &Encoder, media: &Media, instruction: Option<&str>) -> Vec<f32> {
    let input = encoder
        .processor()
        .process(media, instruction)
        .expect("a usable medium");
    encoder.encode(&[input]).expect("encoded").remove(0)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_text_in_flight_together_give_what_each_gives_alone() {
    let (service, encoder) = (service(), encoder());
    let images = ["420.jpg", "grey.png", "555.bmp", "animated.gif"].map(format);
    let texts = ["red bicycle", "a dog at the sea", "sunset"];
    let instruction = Some("Find an image:");

    let mut expected: Vec<Vec<f32>> = Vec::new();
    for path in &images {
        let bytes = fs::read(path).expect("a committed file");
        let media = decode(&bytes, None, &DecodeLimits::default(), path).expect("a readable image");
        expected.push(alone(&encoder, &media, None));
    }
    expected.extend(
        texts
            .iter()
            .map(|text| alone(&encoder, &Media::Text((*text).to_owned()), instruction)),
    );

    let text_urls = texts.map(|text| format!("data:text/plain,{}", text.replace(' ', "%20")));
    let requests = images
        .iter()
        .map(|url| (url, None))
        .chain(text_urls.iter().map(|url| (url, instruction)));
    let vectors = join_all(requests.map(|(url, instruction)| service.embed(url, instruction))).await;
    assert_eq!(vectors.len(), expected.len());
    for (vector, expected) in vectors.into_iter().zip(&expected) {
        let vector = vector.expect("embedded");
        assert_eq!(vector.len(), service.dimension());
        let cosine = cosine(&vector, expected);
        assert!(cosine >= 0.99999, "{cosine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_fails_with_its_reason_beside_what_can() {
    let service = service();
    let broken = tempfile::NamedTempFile::with_suffix(".png").expect("a temporary file");
    fs::write(
        broken.path(),
        &fs::read(format("grey.png")).expect("a committed file")[..60],
    )
    .expect("written");
    let broken = broken.path().to_str().expect("a UTF-8 path").to_owned();
    let page = format!("{}#page=3", format("grey.png"));
    let urls = [
        format("no-such-file.png"),
        broken,
        page,
        "gopher://host/a.png".to_owned(),
        format("grey.png"),
    ];

    let outcomes = join_all(urls.iter().map(|url| service.embed(url, None))).await;
    let reasons: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map_or_else(|error| error.reason(), |_| "ok"))
        .collect();
    assert_eq!(
        reasons,
        ["not_found", "corrupt", "unsupported", "invalid_reference", "ok"]
    );
}

#[test]
fn the_service_says_which_encoder_it_is() {
    let (service, encoder) = (service(), encoder());
    assert_eq!(service.dimension(), encoder.dimension());
    assert_eq!(service.fingerprint(), encoder.fingerprint());
    assert_eq!(service.model_name(), encoder.model_name());
}
