//! The service with the real fetcher, decoders and demo checkpoint: what comes out is what the parts give one by one.

use std::fs;
use std::path::Path;

use futures::future::join_all;
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::{FetchOptions, Fetcher};
use sightstream_model::media::{DecodeLimits, Media, decode};
use sightstream_model::service::{EmbeddingService, ServiceOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn encoder() -> Encoder {
    let options = EncoderOptions {
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    };
    Encoder::load(&options).expect("the demo checkpoint is built in")
}

fn service() -> EmbeddingService {
    let options = FetchOptions {
        allow_network: vec!["127.0.0.0/8".parse().expect("a network")],
        allow_directories: vec!["/".into()],
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(options).expect("a fetcher");
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
        .process(media, instruction, "alone")
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
    let images = ["420.jpg", "grey.png", "555.bmp", "grey.gif"].map(format);
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

/// The address of a server that answers one request with this text.
async fn served(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.expect("a reader");
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_too_long_is_named_by_its_address() {
    for (text, reason) in [
        ("red bicycle ".repeat(20_000), "tokens; the limit is 32768"),
        (
            "red bicycle ".repeat(200_000),
            "2400000 bytes of text; the limit is 1048576",
        ),
    ] {
        let address = served(text).await;
        let url = format!("http://{address}/long.txt?token=secret");
        let error = service().embed(&url, None).await.expect_err("too long").to_string();
        let name = format!("http://{address}/long.txt?token=…: too large: ");
        assert!(error.starts_with(&name) && error.ends_with(reason), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_url_that_is_too_long_is_refused_as_too_large() {
    let options = FetchOptions {
        max_bytes: 1000,
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(options).expect("a fetcher");
    let service = EmbeddingService::start(encoder(), fetcher, ServiceOptions::default()).expect("the service starts");
    // Its base64 is broken, which nobody looks at.
    let url = format!("data:text/plain;base64,{}", "*".repeat(5000));
    let error = service.embed(&url, None).await.expect_err("too long").to_string();
    let limit = "too large: a data: URL of 5023 bytes; the limit is 1000, decoded";
    assert!(
        error.starts_with("data:text/plain;base64,***") && error.ends_with(limit),
        "{error}"
    );

    // Every byte escaped is as long as the medium can be.
    let url = format!("data:text/plain,{}", "%61".repeat(1000));
    assert!(service.embed(&url, None).await.is_ok());
    let url = format!("data:text/plain,{}", "a".repeat(1001));
    let error = service.embed(&url, None).await.expect_err("too long").to_string();
    assert!(error.ends_with("too large: 1001 bytes; the limit is 1000"), "{error}");
}

#[test]
fn the_service_says_which_encoder_it_is() {
    let (service, encoder) = (service(), encoder());
    assert_eq!(service.dimension(), encoder.dimension());
    assert_eq!(service.fingerprint(), encoder.fingerprint());
    assert_eq!(service.model_name(), encoder.model_name());
}
