//! Addresses as messages show them: without credentials, and short.

use percent_encoding::percent_decode_str;
use url::Url;

use super::{Location, scheme};

/// How much of a `data:` URL, or of a reference that does not parse, a message shows, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// Parts of a query field's name that say its value is a credential (presigned URLs, SAS tokens, CDN tokens, API keys).
const CREDENTIAL_FIELDS: [&str; 17] = [
    "sig",
    "token",
    "secret",
    "key",
    "pass",
    "pwd",
    "credential",
    "auth",
    "session",
    "hmac",
    "hdnt",
    "jwt",
    "policy",
    "code",
    "md5",
    "hash",
    "verify",
];

/// A value of so many characters is rather a token than a number or a word.
const TOKEN_CHARACTERS: usize = 20;

/// `…` in a URL: what is shown of one, and read again, is shown as before.
const HIDDEN: &str = "%E2%80%A6";

/// The address as messages show it.
pub(super) fn shown(reference: &str, location: &Location, has_fragment: bool) -> String {
    match location {
        Location::File(_) => match Url::parse(&format!("https:{reference}")) {
            // A URL that has lost its scheme is a path, but has what it had of credentials.
            Ok(url) if reference.starts_with("//") && reference.contains(['?', '@']) => {
                redacted_url(&url).trim_start_matches("https:").to_owned()
            }
            _ => reference.to_owned(),
        },
        Location::Data { .. } => shortened(reference),
        Location::Http(url) | Location::Object(url) => {
            // Only one of ours: what else follows the `#` of an http URL is none of our business, and may be a token.
            let fragment = reference.rsplit_once('#').filter(|_| has_fragment);
            redacted_url(url) + &fragment.map(|(_, fragment)| format!("#{fragment}")).unwrap_or_default()
        }
    }
}

/// `url` without user name and password, with `…` for what in its query looks like a credential, and for a path that holds
/// another URL.
pub(crate) fn redacted_url(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs without a host, which carry no user name.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let query = url.query().map(str::to_owned);
    url.set_query(None);
    let mut shown = url.to_string();
    if holds_url(url.path()) || url.path().strip_prefix('/') == Some(HIDDEN) {
        shown.truncate(shown.len() - url.path().len());
        shown.push_str("/…");
    }
    if let Some(query) = query {
        let separated = query.split_inclusive(['&', ';']);
        let fields = separated.map(|field| match field.strip_suffix(['&', ';']) {
            Some(name) => redacted_field(name) + &field[name.len()..],
            None => redacted_field(field),
        });
        shown.push('?');
        shown.extend(fields);
    }
    shown
}

/// A field of a query, with `…` for a value that looks like a credential.
fn redacted_field(field: &str) -> String {
    let is_token = |value: &str| value.chars().count() >= TOKEN_CHARACTERS || holds_url(value) || value == HIDDEN;
    match field.split_once('=') {
        Some((name, value)) if is_credential(name) || is_token(value) => format!("{name}=…"),
        None if is_token(field) => "…".to_owned(),
        _ => field.to_owned(),
    }
}

/// Whether a path or a value may hold a URL with a password.
fn holds_url(text: &str) -> bool {
    let text = percent_decode_str(text).decode_utf8_lossy();
    text.contains("://") || text.contains("//") && text.contains('@')
}

fn is_credential(field: &str) -> bool {
    let field = percent_decode_str(field).decode_utf8_lossy().to_ascii_lowercase();
    CREDENTIAL_FIELDS.iter().any(|part| field.contains(part))
}

/// A reference that does not parse: cut, and without what may be a password, a signature or a token.
pub(super) fn shown_raw(reference: &str) -> String {
    if reference.is_empty() {
        return "\"\"".to_owned();
    }
    let (scheme, rest) = match scheme(reference) {
        Some((scheme, rest)) if is_url(&scheme, rest) => (scheme, rest),
        _ => return shortened(reference),
    };
    if rest.contains('@') {
        let slashes = if rest.starts_with("//") { "//" } else { "" };
        return shortened(&format!("{scheme}:{slashes}…"));
    }
    shortened(reference.split(['?', '#']).next().unwrap_or_default())
}

/// Whether what `scheme` and a colon begin is a URL with a place for credentials. `http:` needs no slashes for that.
fn is_url(scheme: &str, rest: &str) -> bool {
    scheme != "data" && (rest.starts_with("//") || matches!(scheme, "http" | "https" | "s3" | "gs" | "az"))
}

/// `text`, which may hold URLs anywhere, with each of them as messages show it: for messages of others about values that
/// may be references.
pub fn without_credentials(text: &str) -> String {
    let ends_url = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c);
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(ends_url) {
        let word = piece.trim_end_matches(ends_url);
        let Some(start) = url_start(word) else {
            shown.push_str(piece);
            continue;
        };
        let (before, url) = word.split_at(start);
        // What a sentence puts behind a URL is not the last value of its query.
        let url = url.trim_end_matches([':', ',', ';', '.', ')']);
        shown.push_str(before);
        match Url::parse(url) {
            Ok(mut parsed) if url.contains(['@', '?', '#']) => {
                parsed.set_fragment(None);
                shown.push_str(&redacted_url(&parsed));
            }
            Ok(_) => shown.push_str(url),
            Err(_) => shown.push_str(&shown_raw(url)),
        }
        shown.push_str(&piece[before.len() + url.len()..]);
    }
    shown
}

/// Where a URL begins in `word`: at the scheme before `://`, or at an `http:`, which does without slashes.
fn url_start(word: &str) -> Option<usize> {
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let before_slashes = word
        .find("://")
        .map(|colon| word[..colon].trim_end_matches(in_scheme).len());
    let lower = word.to_ascii_lowercase();
    let without_slashes = ["http:", "https:"].into_iter().filter_map(|scheme| lower.find(scheme));
    without_slashes.chain(before_slashes).min()
}

/// Whether the reference is a `data:` URL, well-formed or not.
pub(crate) fn is_data(reference: &str) -> bool {
    let scheme = reference.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// The first characters of `text`, with `…` where more follow.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;
    use crate::reference::MediaReference;

    fn parse(reference: &str) -> MediaReference {
        MediaReference::parse(reference).expect(reference)
    }

    fn error(reference: &str) -> String {
        MediaReference::parse(reference).expect_err(reference).to_string()
    }

    #[test]
    fn the_urls_in_a_text_lose_their_credentials_and_the_text_stays() {
        let cast = "Cannot cast string 'https://me:pw@h/a.png?id=5&sig=abc#x' to value of Int64 type (s3://b/c) ü";
        assert_eq!(
            without_credentials(cast),
            "Cannot cast string 'https://h/a.png?id=5&sig=…' to value of Int64 type (s3://b/c) ü"
        );
        let reason = "https://h/a?sig=abc: not found (see http://h/b?token=c), or http://h:port/?token=c.";
        assert_eq!(
            without_credentials(reason),
            "https://h/a?sig=…: not found (see http://h/b?token=…), or http://h:port/."
        );
        assert_eq!(without_credentials("https://a/b,https://me:pw@h/c x"), "https://a/… x");
        for same in ["", "no url: 1/2 // 3", "://", "é://", "http://h/a", "a://b c://d"] {
            assert_eq!(without_credentials(same), same, "{same}");
        }
        assert_eq!(without_credentials("ßhttp://me:p/w?@h:port/a x"), "ßhttp://… x");
        assert_eq!(without_credentials("no 'HTTP:/me:pw@h/a'"), "no 'http://h/a'");
        assert_eq!(without_credentials("no 'https:/me:pw@://b'"), "no 'https:…'");
    }

    #[test]
    fn what_is_shown_is_shown_the_same_when_it_is_read_again() {
        for reference in [
            "https://h/x?a=b&sig=c&[::1]:8aaaaaaaaaaaaaaaaaaaa/%00",
            "https://h/x?v=aaaaaaaaaaaaaaaaaaaaaaaa&w=5",
            "https://proxy/https://me:pw@h/a.png?w=5",
        ] {
            let shown = parse(reference).to_string();
            assert!(shown.contains('…'), "{shown}");
            assert_eq!(parse(&shown).to_string(), shown);
        }
    }

    #[test]
    fn nothing_shown_holds_a_credential() {
        let shown = |reference| parse(reference).to_string();
        assert_eq!(
            shown("https://me:pw@h/a.png?id=5&X-Amz-Signature=abc#t=1"),
            "https://h/a.png?id=5&X-Amz-Signature=…#t=1"
        );
        assert_eq!(
            shown("https://h/a?sv=1&sig=abc&access_token=q"),
            "https://h/a?sv=1&sig=…&access_token=…"
        );
        assert_eq!(
            shown("https://h/a?hdnts=exp~hmac&X%2DAmz%2DSignature=abc&code=c&w=5"),
            "https://h/a?hdnts=…&X%2DAmz%2DSignature=…&code=…&w=5"
        );
        assert_eq!(
            shown("https://proxy/image?url=https://me:pw@h/a&w=5"),
            "https://proxy/image?url=…&w=5"
        );
        assert_eq!(
            shown("https://proxy/x/https://me:pw@h/a.png#t=1"),
            "https://proxy/…#t=1"
        );
        assert_eq!(
            shown("https://proxy/https%3A%2F%2Fme%3Apw%40h/a.png"),
            "https://proxy/…"
        );
        assert_eq!(shown("https://h/a?v=1;sig=abc;w=5"), "https://h/a?v=1;sig=…;w=5");
        assert_eq!(shown("https://h/a?eyJhbGciOiJIUzI1NiJ9.e30.abc"), "https://h/a?…");
        assert_eq!(shown("https://h/a?w=5&md5=abc&h"), "https://h/a?w=5&md5=…&h");
        assert_eq!(
            shown("//bucket.example/k.png?X-Amz-Signature=abc"),
            "//bucket.example/k.png?X-Amz-Signature=…"
        );
        let long = format!("data:,{}", "é".repeat(100));
        assert_eq!(shown(&long), format!("data:,{}…", "é".repeat(54)));
        assert_eq!(shown("https://h/a.png#access_token=abc"), "https://h/a.png");
        let refused = "not a media reference: invalid port number";
        assert_eq!(error("http://me:p/w?@h:port/a"), format!("http://…: {refused}"));
        assert_eq!(error("http://h:port/a?sig=abc"), format!("http://h:port/a: {refused}"));
        assert_eq!(error("http:me:p@h:port/a"), format!("http:…: {refused}"));
        assert_eq!(error("https:/me:p@h:port/a"), format!("https:…: {refused}"));
        assert_eq!(error("http:h:port?sig=abc"), format!("http:h:port: {refused}"));
        assert_eq!(
            error("http://h:port/a#token=abc"),
            format!("http://h:port/a: {refused}")
        );
        let debugged = format!("{:?}", parse("https://me:pw@h/a?token=abc").location());
        assert!(!debugged.contains("pw") && !debugged.contains("abc"), "{debugged}");
    }
}
