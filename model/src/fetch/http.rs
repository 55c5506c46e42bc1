//! `http:` and `https:`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Response, StatusCode};
use url::Url;

use super::cache::Validator;
use super::guard::{ForbiddenAddress, GuardedResolver, NetworkGuard, Resolver};
use super::landing::{Body, Landing, Stop};
use super::media_type::media_type_or_extension;
use super::place::Trip;
use super::retry::Failure;
use super::{FetchOptions, Fetched};
use crate::error::{MediaError, ModelError};
use crate::reference::redacted_url;

/// A pool of connections, and the limits.
pub(super) struct HttpClient {
    /// A client cannot be built where, for example, the machine has no root certificates. Files still work there, so the
    /// reason is told when a URL is first asked for.
    client: Result<Client, String>,
    guard: NetworkGuard,
    max_redirects: usize,
}

/// What one request gave.
enum Answer {
    Content(Body<BoxStream<'static, reqwest::Result<Bytes>>>),
    /// What is here already.
    Same(Fetched),
    Redirect(Url),
    /// What the request built on is of no use: ask without it.
    Again,
}

impl HttpClient {
    /// # Errors
    /// [`ModelError::Option`] where the proxy is no URL.
    pub(super) fn new(options: &FetchOptions, resolver: Arc<dyn Resolver>) -> Result<Self, ModelError> {
        let guard = NetworkGuard::new(&options.allow_network, options.proxy.is_some());
        let builder = Client::builder()
            .user_agent(concat!("sightstream/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .dns_resolver(Arc::new(GuardedResolver::guarded(resolver, &guard)))
            // Redirects are followed here, where each of them is judged and takes its place at its host.
            .redirect(Policy::none())
            // A proxy of the environment would connect to addresses that nobody judged.
            .no_proxy();
        let builder = match &options.proxy {
            // The text may hold a password.
            Some(proxy) => builder.proxy(Proxy::all(proxy).map_err(|_| ModelError::Option {
                option: "fetch_proxy".into(),
                message: "it is no URL; write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT".into(),
            })?),
            None => builder,
        };
        Ok(Self {
            client: builder.build().map_err(|error| causes(&error)),
            guard,
            max_redirects: options.max_redirects,
        })
    }

    /// One attempt, redirects included.
    pub(super) async fn get(&self, url: &Url, trip: &mut Trip<'_>, landing: &mut Landing<'_>) -> Result<Fetched, Stop> {
        let client = self.client.as_ref().map_err(|reason| MediaError::Unsupported {
            name: trip.name.to_owned(),
            message: format!("the HTTP client cannot be set up: {reason}"),
        })?;
        let mut visited = vec![url.clone()];
        loop {
            let url = &visited[visited.len() - 1];
            self.guard
                .judge(url)
                .map_err(|forbidden| not_allowed(&forbidden, trip.name, &visited))?;
            let _place = trip.enter(&host(url)).await;
            let name = trip.name;
            match trip.spend(self.request(client, &visited, name, landing)).await?? {
                Answer::Content(body) => {
                    let failed = |error| failed(error, name, &visited);
                    return landing.receive(body, trip, failed).await;
                }
                Answer::Same(fetched) => return Ok(fetched),
                Answer::Again => {}
                Answer::Redirect(next) => {
                    let refused = if visited.contains(&next) {
                        Some("it redirects in a circle".to_owned())
                    } else if visited.len() > self.max_redirects {
                        Some(format!("it redirects more than {} times", self.max_redirects))
                    } else {
                        None
                    };
                    if let Some(message) = refused {
                        let name = name.to_owned();
                        return Err(MediaError::Unsupported { name, message }.into());
                    }
                    visited.push(next);
                }
            }
        }
    }

    /// One request, for the last of the `visited` URLs.
    async fn request(
        &self,
        client: &Client,
        visited: &[Url],
        name: &str,
        landing: &mut Landing<'_>,
    ) -> Result<Answer, Failure> {
        let url = &visited[visited.len() - 1];
        let resumes = landing.resumable();
        let mut request = client.get(url.clone());
        match (&resumes, landing.validator()) {
            (Some((length, tag)), _) => {
                request = request.header(RANGE, format!("bytes={length}-")).header(IF_RANGE, tag);
            }
            (None, Some(validator)) => {
                let conditions = [
                    (IF_NONE_MATCH, &validator.etag),
                    (IF_MODIFIED_SINCE, &validator.last_modified),
                ];
                for (condition, value) in conditions {
                    if let Some(value) = value {
                        request = request.header(condition, value);
                    }
                }
            }
            (None, None) => {}
        }
        let response = request.send().await.map_err(|error| failed(error, name, visited))?;
        if let Some(next) = redirect(&response, url, name)? {
            return Ok(Answer::Redirect(next));
        }
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && landing.validator().is_some() {
            // It may have been let go meanwhile. Then it is not asked for by what it was any more.
            return Ok(landing.not_modified().map_or(Answer::Again, Answer::Same));
        }
        let header = |header: HeaderName| {
            let value = response.headers().get(header)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let validator = Validator {
            etag: header(ETAG),
            last_modified: header(LAST_MODIFIED),
        };
        if let Some((length, tag)) = resumes {
            let range = header(CONTENT_RANGE);
            let goes_on = status == StatusCode::PARTIAL_CONTENT
                && range.as_deref().is_some_and(|range| starts_at(range, length))
                && validator.etag.as_ref().is_none_or(|etag| *etag == tag);
            if goes_on {
                return Ok(Answer::Content(Body {
                    expected: range.as_deref().and_then(whole_length),
                    stream: response.bytes_stream().boxed(),
                    media_type: None,
                    validator,
                    resumed: true,
                }));
            }
            if matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
                landing.restart();
                return Ok(Answer::Again);
            }
        }
        if let Some(failure) = refused(&response, name) {
            return Err(failure);
        }
        Ok(Answer::Content(Body {
            media_type: media_type_or_extension(header(CONTENT_TYPE).as_deref(), url.path()),
            expected: response.content_length(),
            stream: response.bytes_stream().boxed(),
            validator,
            resumed: false,
        }))
    }
}

/// Whether a `Content-Range` begins where it was asked to: `bytes 100-199/200`.
fn starts_at(range: &str, length: u64) -> bool {
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
    start.and_then(|start| start.trim().parse().ok()) == Some(length)
}

/// The length of the whole medium that a `Content-Range` names, where it does.
fn whole_length(range: &str) -> Option<u64> {
    range.rsplit('/').next()?.trim().parse().ok()
}

/// What requests are counted by.
pub(super) fn host(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// Where a redirect of the server at `url` leads.
fn redirect(response: &Response, url: &Url, name: &str) -> Result<Option<Url>, MediaError> {
    let (301 | 302 | 303 | 307 | 308, Some(location)) = (response.status().as_u16(), response.headers().get(LOCATION))
    else {
        return Ok(None);
    };
    let unsupported = |message: &str| MediaError::Unsupported {
        name: name.to_owned(),
        message: message.to_owned(),
    };
    let mut next = std::str::from_utf8(location.as_bytes())
        .ok()
        .and_then(|location| url.join(location).ok())
        .ok_or_else(|| unsupported("it redirects to what is no URL"))?;
    next.set_fragment(None);
    if !matches!(next.scheme(), "http" | "https") {
        return Err(unsupported(&format!(
            "it redirects to a URL of the scheme `{}`; only http and https are followed",
            next.scheme()
        )));
    }
    // User name and password are for the server that they were given for, and go to no other.
    if next.origin() == url.origin() && next.username().is_empty() && next.password().is_none() {
        // These fail only for URLs without a host.
        let _ = next.set_username(url.username());
        let _ = next.set_password(url.password());
    }
    Ok(Some(next))
}

/// The failure that a status means, if it is no success.
fn refused(response: &Response, name: &str) -> Option<Failure> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    Some(Failure {
        error: status_error(status, name, "server", None),
        retry_after: retry_after(response.headers()),
    })
}

/// What a status that is no success means. `says`: a word of the other side for it.
pub(super) fn status_error(status: StatusCode, name: &str, side: &str, says: Option<&str>) -> MediaError {
    let name = name.to_owned();
    let says = says.map(|word| format!(" ({word})")).unwrap_or_default();
    let message = format!("the {side} answered with HTTP status {}{says}", status.as_u16());
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => MediaError::NotFound { name, message },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            MediaError::Denied { name, message }
        }
        _ => MediaError::Http {
            name,
            status: status.as_u16(),
        },
    }
}

/// `Retry-After`: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .ok(),
    }
}

fn failed(error: reqwest::Error, name: &str, visited: &[Url]) -> MediaError {
    match source::<ForbiddenAddress>(&error) {
        Some(forbidden) => not_allowed(forbidden, name, visited),
        // Without the URL: it may hold credentials, and `name` says which it was.
        None => transport_error(&error.without_url(), name),
    }
}

/// A request that got no answer, or not all of it. `error` holds no URL.
pub(super) fn transport_error(error: &reqwest::Error, name: &str) -> MediaError {
    let (name, message) = (name.to_owned(), causes(error));
    if error.is_builder() {
        MediaError::InvalidReference { name, message }
    } else if error.is_timeout() {
        MediaError::Timeout { name, message }
    } else if source::<rustls::Error>(error).is_some_and(is_lasting) {
        MediaError::Tls { name, message }
    } else {
        MediaError::Unavailable { name, message }
    }
}

/// Whether a server will fail to be trusted the next time too. An alert may be a server in trouble.
fn is_lasting(error: &rustls::Error) -> bool {
    use rustls::Error as E;
    matches!(
        error,
        E::InvalidCertificate(_)
            | E::InvalidMessage(_)
            | E::NoCertificatesPresented
            | E::UnsupportedNameType
            | E::PeerIncompatible(_)
            | E::PeerMisbehaved(_)
    )
}

fn not_allowed(forbidden: &ForbiddenAddress, name: &str, visited: &[Url]) -> MediaError {
    let message = match visited {
        [] | [_] => forbidden.to_string(),
        [.., last] => format!("it redirects to {}, and {forbidden}", redacted_url(last)),
    };
    MediaError::NotAllowed {
        name: name.to_owned(),
        message,
    }
}

/// The first of the causes of `error` that is a `T`. An [`std::io::Error`] hides what it wraps from `source`.
pub(super) fn source<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

/// The error and what caused it: reqwest's own message is often only "error sending request".
pub(super) fn causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a header value"));
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        let soon = SystemTime::now() + Duration::from_secs(3600);
        let waits = after(&httpdate::fmt_http_date(soon)).expect("a date");
        assert!(waits > Duration::from_secs(3000) && waits <= Duration::from_secs(3600));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_range_goes_on_where_it_was_asked_to() {
        assert!(starts_at("bytes 100-199/200", 100) && starts_at("bytes 100-199/*", 100));
        for other in ["bytes 0-199/200", "bytes */200", "items 100-199/200", ""] {
            assert!(!starts_at(other, 100), "{other}");
        }
    }

    #[test]
    fn a_host_is_its_name_and_port() {
        let host = |url: &str| host(&Url::parse(url).expect(url));
        assert_eq!(host("https://a.example/x"), "a.example:443");
        assert_eq!(host("http://me:pw@a.example:8080/x"), "a.example:8080");
    }
}
