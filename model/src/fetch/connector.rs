//! The HTTP client of object stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, NoProxy, Proxy, StatusCode};

use super::guard::{GuardedResolver, Resolver};
use super::http::retry_after;

/// Makes clients that follow no redirects: a store's answer leads no request, and no signature, to another host.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    read_timeout: Duration,
    resolver: Arc<dyn Resolver>,
}

impl Connector {
    pub(super) fn new(read_timeout: Duration, resolver: Arc<dyn Resolver>) -> Self {
        Self { read_timeout, resolver }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        use ClientConfigKey as Key;
        let text = |key: Key| options.get_config_value(&key);
        let holds = |key: Key| {
            let value = text(key).unwrap_or_default().to_ascii_lowercase();
            ["1", "true", "on", "yes", "y"].contains(&value.as_str())
        };
        let duration = |key: Key| text(key).and_then(|value| humantime::parse_duration(&value).ok());
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("sightstream/", env!("CARGO_PKG_VERSION")))
            .read_timeout(self.read_timeout)
            .dns_resolver(Arc::new(GuardedResolver::open(Arc::clone(&self.resolver))))
            // A store tells sizes of what it keeps, not of what it would compress.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .https_only(!holds(Key::AllowHttp))
            .danger_accept_invalid_certs(holds(Key::AllowInvalidCertificates));
        if let Some(timeout) = duration(Key::Timeout) {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = duration(Key::ConnectTimeout) {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(timeout) = duration(Key::PoolIdleTimeout) {
            builder = builder.pool_idle_timeout(timeout);
        }
        if holds(Key::Http1Only) {
            builder = builder.http1_only();
        }
        if holds(Key::Http2Only) {
            builder = builder.http2_prior_knowledge();
        }
        if let Some(proxy) = text(Key::ProxyUrl) {
            let excluded = text(Key::ProxyExcludes).and_then(|hosts| NoProxy::from_string(&hosts));
            builder = builder.proxy(Proxy::all(proxy).map_err(refused)?.no_proxy(excluded));
        }
        if let Some(certificate) = text(Key::ProxyCaCertificate) {
            let certificate = Certificate::from_pem(certificate.as_bytes()).map_err(refused)?;
            builder = builder.add_root_certificate(certificate);
        }
        Ok(HttpClient::new(Service(builder.build().map_err(refused)?)))
    }
}

fn refused(error: reqwest::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "HTTP client",
        source: Box::new(error.without_url()),
    }
}

/// The status of an answer that is no success.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    /// How long the store asks to wait.
    pub(super) retry_after: Option<Duration>,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP status {}", self.status.as_u16())
    }
}

impl std::error::Error for Answered {}

/// Turns statuses that the stores do not tell apart into errors that say which they were.
#[derive(Debug)]
struct Service(Client);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.call(request).await?;
        let status = response.status();
        // The stores' clients act on these themselves.
        let known = matches!(status.as_u16(), 401 | 403 | 404);
        if status.is_success() || known {
            return Ok(response);
        }
        let retry_after = retry_after(response.headers());
        // Of a kind that the store's client does not try again by itself.
        Err(HttpError::new(HttpErrorKind::Unknown, Answered { status, retry_after }))
    }
}
