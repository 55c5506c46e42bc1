//! Media references: whatever is parsed is shown in a way that reads back as the same, and no password or signature is
//! ever shown, also not by an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightstream_model::error::MediaError;
use sightstream_model::reference::{Location, MediaReference, without_credentials};

/// Longer than any message that a person can read; dead letters carry it in a header.
const MOST_CHARACTERS: usize = 500;

/// What `data:` URLs are cut to, with the ellipsis.
const MOST_CHARACTERS_OF_DATA: usize = 61;

const ENDS_A_URL_IN_A_TEXT: fn(char) -> bool = |c| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c);

const SECRET: &str = "hunter2hunter2";

fuzz_target!(|text: &str| {
    drop(check(text));
    // Of any text: no panic.
    without_credentials(text);
    // The fuzzer learns the word, and puts it where anybody may see it.
    if text.contains(SECRET) {
        return;
    }
    for reference in with_secrets(text) {
        let (shown, debugged) = match check(&reference) {
            Ok(parsed) => (parsed.to_string(), format!("{parsed:?} {:?}", parsed.location())),
            Err(error) => (error.to_string(), format!("{error:?}")),
        };
        assert!(!shown.contains(SECRET), "{reference:?} is shown as {shown:?}");
        assert!(!debugged.contains(SECRET), "{reference:?} is debugged as {debugged:?}");
        // In a text, a blank or a quotation mark ends a URL.
        if !reference.contains(ENDS_A_URL_IN_A_TEXT) {
            let told = without_credentials(&format!("told of '{reference}', it said no"));
            assert!(!told.contains(SECRET), "{reference:?} is told of as {told:?}");
        }
    }
});

/// URLs around `text` that carry a password or a signature where there can be one.
fn with_secrets(text: &str) -> Vec<String> {
    let Some((user, rest)) = text.split_once('|') else {
        return Vec::new();
    };
    // These end the part of a URL in which a user name can stand, or begin a field of the query.
    let is_user = !user.contains(['/', '\\', '?', '#', '|']);
    let is_field = !rest.contains(['?', '#']);
    let mut references = Vec::new();
    for scheme in ["https", "HTTP", "s3"] {
        if is_user {
            references.push(format!("{scheme}://{user}:{SECRET}@{rest}"));
            references.push(format!("{scheme}://{SECRET}@{rest}"));
        }
        if is_user && scheme != "s3" {
            // The URL standard takes one slash, or none, for two.
            references.push(format!("{scheme}:/{user}:{SECRET}@{rest}"));
            references.push(format!("{scheme}:{user}:{SECRET}@{rest}"));
        }
        if is_field {
            references.push(format!("{scheme}://{rest}?X-Amz-Signature={SECRET}"));
            references.push(format!("{scheme}://h/{user}?a=b&sig={SECRET}&{rest}"));
        }
    }
    references
}

fn check(reference: &str) -> Result<MediaReference, MediaError> {
    let parsed = match MediaReference::parse(reference) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(
                matches!(error, MediaError::InvalidReference { .. }),
                "{reference:?} gives {error:?}"
            );
            let length = error.to_string().chars().count();
            assert!(
                length <= MOST_CHARACTERS,
                "{reference:?} is refused in {length} characters"
            );
            return Err(error);
        }
    };
    let shown = parsed.to_string();
    match parsed.location() {
        Location::Data { .. } => assert!(shown.chars().count() <= MOST_CHARACTERS_OF_DATA, "{shown}"),
        Location::File(path) => {
            // What has lost its scheme is shown as a URL is.
            assert!(
                shown == reference || reference.starts_with("//"),
                "{reference:?} is shown as {shown:?}"
            );
            assert!(!path.as_os_str().is_empty());
        }
        Location::Http(url) | Location::Object(url) => {
            let again = MediaReference::parse(&shown);
            let again = again.unwrap_or_else(|error| panic!("{reference:?} is shown as {shown:?}: {error}"));
            assert_eq!(again.to_string(), shown, "{reference:?}");
            assert_eq!(again.fragment(), parsed.fragment(), "{reference:?}");
            let (Location::Http(shown) | Location::Object(shown)) = again.location() else {
                panic!("{reference:?} is shown as {shown:?}, which is no URL");
            };
            assert_eq!((shown.username(), shown.password()), ("", None), "{reference:?}");
            assert_eq!(
                (shown.scheme(), shown.host(), shown.port()),
                (url.scheme(), url.host(), url.port()),
                "{reference:?}"
            );
            let is_hidden = shown.path() == "/%E2%80%A6";
            assert!(is_hidden || shown.path() == url.path(), "{reference:?}");
        }
    }
    Ok(parsed)
}
