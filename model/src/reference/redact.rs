//! Addresses as messages show them: without credentials, and short.

use std::borrow::Cow;

use url::Url;

use super::Location;

/// How much of a `data:` URL, or of a reference that does not parse, a message shows, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// Parts of a query field's name that say its value is a credential (presigned URLs, SAS tokens, API keys).
const CREDENTIAL_FIELDS: [&str; 9] = [
    "sig",
    "token",
    "secret",
    "key",
    "passw",
    "pwd",
    "credential",
    "auth",
    "session",
];

/// The address as messages show it.
pub(super) fn shown(reference: &str, location: &Location, has_fragment: bool) -> String {
    match location {
        Location::File(_) => reference.to_owned(),
        Location::Data { .. } => shortened(reference),
        Location::Http(url) | Location::Object(url) => {
            // Only one of ours: what else follows the `#` of an http URL is none of our business, and may be a token.
            let fragment = reference.rsplit_once('#').filter(|_| has_fragment);
            redacted_url(url) + &fragment.map(|(_, fragment)| format!("#{fragment}")).unwrap_or_default()
        }
    }
}

/// `url` without user name and password, and with `…` for the values of query fields that look like credentials.
pub(super) fn redacted_url(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs without a host, which carry no user name.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let Some(query) = url.query().map(str::to_owned) else {
        return url.to_string();
    };
    url.set_query(None);
    let fields: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|field| match field.split_once('=') {
            Some((name, _)) if is_credential(name) => Cow::Owned(format!("{name}=…")),
            _ => Cow::Borrowed(field),
        })
        .collect();
    format!("{url}?{}", fields.join("&"))
}

fn is_credential(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    CREDENTIAL_FIELDS.iter().any(|part| field.contains(part))
}

/// A reference that does not parse: cut, and without what may be a password or a signature.
pub(super) fn shown_raw(reference: &str) -> String {
    let is_data = is_data(reference);
    match reference.split_once("://") {
        Some((scheme, _)) if !is_data && reference.contains('@') => shortened(&format!("{scheme}://…")),
        Some(_) if !is_data => shortened(reference.split('?').next().unwrap_or_default()),
        _ => shortened(reference),
    }
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
    use crate::reference::MediaReference;

    fn parse(reference: &str) -> MediaReference {
        MediaReference::parse(reference).expect(reference)
    }

    fn error(reference: &str) -> String {
        MediaReference::parse(reference).expect_err(reference).to_string()
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
        let long = format!("data:,{}", "é".repeat(100));
        assert_eq!(shown(&long), format!("data:,{}…", "é".repeat(54)));
        assert_eq!(shown("https://h/a.png#access_token=abc"), "https://h/a.png");
        let refused = "not a media reference: invalid port number";
        assert_eq!(error("http://me:p/w?@h:port/a"), format!("http://…: {refused}"));
        assert_eq!(error("http://h:port/a?sig=abc"), format!("http://h:port/a: {refused}"));
        let debugged = format!("{:?}", parse("https://me:pw@h/a?token=abc").location());
        assert!(!debugged.contains("pw") && !debugged.contains("abc"), "{debugged}");
    }
}
