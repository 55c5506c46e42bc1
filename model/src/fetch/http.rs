//! `http:` and `https:`.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::retry::Failure;
use super::{FetchOptions, Fetched, collect, media_type_or_extension};
use crate::error::MediaError;

/// A pool of connections, and the limits.
pub(super) struct HttpClient {
    /// A client cannot be built where, for example, the machine has no root certificates. Files still work there, so the
    /// reason is told when a URL is first asked for.
    client: Result<Client, String>,
    max_bytes: usize,
    max_redirects: usize,
}

impl HttpClient {
    pub(super) fn new(options: &FetchOptions) -> Self {
        let client = Client::builder()
            .user_agent(concat!("sightstream/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .redirect(Policy::limited(options.max_redirects))
            .build()
            .map_err(|error| causes(&error));
        Self {
            client,
            max_bytes: options.max_bytes,
            max_redirects: options.max_redirects,
        }
    }

    /// One attempt.
    pub(super) async fn get(&self, url: &Url, name: &str) -> Result<Fetched, Failure> {
        let client = self.client.as_ref().map_err(|reason| MediaError::Unsupported {
            name: name.to_owned(),
            message: format!("the HTTP client cannot be set up: {reason}"),
        })?;
        let response = client
            .get(url.clone())
            .send()
            .await
            .map_err(|error| self.failed(error, name))?;
        if let Some(failure) = refused(&response, name) {
            return Err(failure);
        }
        let stated = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = media_type_or_extension(stated, response.url().path());
        let expected = response.content_length();
        let bytes = collect(response.bytes_stream(), expected, self.max_bytes, name, |error| {
            self.failed(error, name)
        })
        .await?;
        Ok(Fetched { bytes, media_type })
    }

    fn failed(&self, error: reqwest::Error, name: &str) -> MediaError {
        let name = name.to_owned();
        if error.is_redirect() {
            let message = format!("it redirects more than {} times, or in circles", self.max_redirects);
            return MediaError::Unsupported { name, message };
        }
        // Without the URL: it may hold credentials, and `name` says which it was.
        let timed_out = error.is_timeout();
        let message = causes(&error.without_url());
        if timed_out {
            MediaError::Timeout { name, message }
        } else {
            MediaError::Unavailable { name, message }
        }
    }
}

/// The failure that a status means, if it is no success.
fn refused(response: &Response, name: &str) -> Option<Failure> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    let name = name.to_owned();
    let message = format!("the server answered with HTTP status {}", status.as_u16());
    let error = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => MediaError::NotFound { name, message },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            MediaError::Denied { name, message }
        }
        _ => MediaError::Http {
            name,
            status: status.as_u16(),
        },
    };
    Some(Failure {
        error,
        retry_after: retry_after(response.headers()),
    })
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(SystemTime::now())
            .ok(),
    }
}

/// The error and what caused it: reqwest's own message is often only "error sending request".
fn causes(error: &dyn Error) -> String {
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
}
