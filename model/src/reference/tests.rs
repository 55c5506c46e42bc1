//! What is read as a reference, and what is not.

use super::*;

fn parse(reference: &str) -> MediaReference {
    MediaReference::parse(reference).expect(reference)
}

fn error(reference: &str) -> String {
    MediaReference::parse(reference).expect_err(reference).to_string()
}

fn path(reference: &str) -> PathBuf {
    match parse(reference).location {
        Location::File(path) => path,
        other => panic!("{other:?}"),
    }
}

fn data(reference: &str) -> (String, Bytes) {
    match parse(reference).location {
        Location::Data { media_type, bytes } => (media_type, bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_in_one_line_names_the_same() {
    for reference in [
        "data:,first line\nsecond\r\nline",
        "data:text/plain;base64,aGkh\nIQ==",
        "https://h/a\n.png",
        "file:///data/a\n.png",
        "plain.png",
    ] {
        let line = one_line(reference).expect(reference);
        assert!(!line.contains(['\n', '\r']));
        assert_eq!(parse(&line).location, parse(reference).location, "{reference:?}");
    }
    let error = one_line("a\nb.png").expect_err("a path").to_string();
    assert!(error.contains("line break"), "{error}");
}

#[test]
fn paths_and_file_urls_name_files() {
    assert_eq!(path("photos/a b.jpg"), PathBuf::from("photos/a b.jpg"));
    assert_eq!(
        path("100%25.png"),
        PathBuf::from("100%25.png"),
        "a path is not a URL: nothing is decoded"
    );
    assert_eq!(path("file:///data/a%20b.jpg"), PathBuf::from("/data/a b.jpg"));
    assert_eq!(path("FILE://localhost/data/a.jpg"), PathBuf::from("/data/a.jpg"));
    assert_eq!(path("a:b.png"), PathBuf::from("a:b.png"));
    assert_eq!(path("12:30.png"), PathBuf::from("12:30.png"));
}

#[test]
fn a_number_sign_that_is_no_fragment_belongs_to_the_name() {
    assert_eq!(path("C#/take #2.png"), PathBuf::from("C#/take #2.png"));
    assert_eq!(path("file:///a%23b#c.png"), PathBuf::from("/a#b#c.png"));
    assert_eq!(data("data:,C# in depth").1, "C# in depth");
    let Location::Object(url) = parse("s3://bucket/take#2.png").location else {
        panic!()
    };
    assert_eq!(url.path(), "/take%232.png");
}

#[test]
fn a_reference_splits_into_an_address_and_a_part() {
    let span = Some(Fragment::Time {
        start: 30.0,
        end: Some(60.0),
    });
    for (reference, address, part) in [
        ("a.mp4#t=30,60", "a.mp4", span),
        ("a.mp4#t=npt:0:30,1:00", "a.mp4", span),
        ("data:video/mp4;base64,AAAA#t=30,60", "data:video/mp4;base64,AAAA", span),
        ("take #2.pdf#page=3", "take #2.pdf", Some(Fragment::Page(3))),
        ("take #2.pdf", "take #2.pdf", None),
        ("HTTPS://h/a.mp4?x=1#top", "HTTPS://h/a.mp4?x=1", None),
        ("https://h/a.mp4#top#t=30,60", "https://h/a.mp4", span),
        ("a.mp4#t=x", "a.mp4#t=x", None),
    ] {
        assert_eq!(split_part(reference), (address, part), "{reference}");
    }
}

#[test]
fn a_part_of_a_whole_is_what_its_own_address_names() {
    let page = Fragment::Page(3);
    for whole in [
        "a.pdf",
        "take #2.pdf",
        "https://me:pw@h/a.pdf?sig=abc#top",
        "s3://bucket/take#2.pdf",
        "a.pdf#page=2#top",
    ] {
        let (address, _) = split_part(whole);
        assert_eq!(
            parse(whole).with_fragment(page),
            parse(&part_address(address, &page)),
            "{whole}"
        );
    }
    let shown = parse("https://me:pw@h/a.pdf?sig=abc").with_fragment(page).to_string();
    assert_eq!(shown, "https://h/a.pdf?sig=…#page=3");
    assert_eq!(parse("data:,abc").with_fragment(page).to_string(), "data:,abc#page=3");
}

#[test]
fn data_urls_carry_their_medium() {
    assert_eq!(
        data("data:text/plain,red%20bicycle"),
        ("text/plain".into(), "red bicycle".into())
    );
    assert_eq!(
        data("data:,red bicycle, blue"),
        ("text/plain;charset=us-ascii".into(), "red bicycle, blue".into())
    );
    assert_eq!(data("data:;charset=utf-8,%C3%A9").0, "text/plain;charset=utf-8");
    assert_eq!(data("data:,100% é").1, "100% é");
    assert_eq!(data("data:text/plain;base64,aGkhIQ==").1, "hi!!");
    assert_eq!(
        data("DATA:Text/Plain;Base64,aGkhIQ").1,
        "hi!!",
        "padding may be left out"
    );
    assert_eq!(
        data("data:image/png;base64,aGkh%0A IQ==").1,
        "hi!!",
        "white space is not data"
    );
    assert!(error("data:image/png;base64,a*b").contains("base64 does not decode"));
    assert!(error("data:text/plain").contains("comma"));
}

#[test]
fn what_is_no_reference_is_refused_with_a_way_out() {
    assert!(error("").contains("it is empty"));
    assert!(error("#page=2").contains("it is empty"));
    assert!(error("ftp://h/a.png").contains("https:"));
    assert!(error("s3://bucket").contains("bucket and a key"));
    for steering in [
        "az://media@evil/cat.jpg",
        "az://media@evil.blob.core.windows.net/cat.jpg",
        "s3://user:pw@bucket/cat.jpg",
        "s3://bucket:8080/cat.jpg",
        "s3://evil.example%2Fbucket/cat.jpg",
        "gs://bucket%23/cat.jpg",
        "s3://../cat.jpg",
        "s3://.evil/cat.jpg",
    ] {
        assert!(error(steering).contains("name of a bucket alone"), "{steering}");
    }
    parse("az://$web/cat.jpg");
    parse("s3://media.example.org-2024_a/cat.jpg");
    assert!(error("file://host/a.png").contains("localhost"));
    assert!(error("http://").contains("empty host"));
    assert!(error("a\0b").contains("NUL"));
    assert!(error("file:///a%00b").contains("NUL"));
}
