//! Calls to Arroyo's REST API.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::ClusterArgs;
use crate::error::UsageError;

/// How long Arroyo may take for an answer that needs no build.
const TIMEOUT: Duration = Duration::from_secs(60);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer that is no JSON is shown.
const SHOWN_CHARS: usize = 300;

/// A call: what is sent, and nothing about where.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub method: Method,
    /// The path below `/api/v1/`, with its query.
    pub path: String,
    pub body: Option<Value>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /api/v1/{}", self.method, self.path)
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error(
        "cannot reach Arroyo at {address}: {reason}; is it running, and is this the address of its API, as in \
         http://HOST:5115 (--arroyo)?"
    )]
    Unreachable { address: String, reason: String },
    /// The connection broke, or no answer came in time: whether the call was done is not known.
    #[error("{call}: no answer from Arroyo at {address}: {reason}")]
    Lost {
        call: String,
        address: String,
        reason: String,
    },
    /// Arroyo's own error, in its words.
    #[error("{call}: Arroyo answers {status}: {message}{hint}")]
    Refused {
        call: String,
        status: StatusCode,
        message: String,
        hint: &'static str,
    },
    /// Not what Arroyo answers.
    #[error(
        "{call}: {address} answers {status} with what is not Arroyo's: {shown}; is this the address of its API \
         (--arroyo)?"
    )]
    Foreign {
        call: String,
        address: String,
        status: StatusCode,
        shown: String,
    },
}

impl CallError {
    /// Whether the same call may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Refused { status, .. } | Self::Foreign { status, .. } => status.is_server_error(),
        }
    }

    /// Whether it may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::Lost { .. } => true,
            Self::Refused { status, .. } | Self::Foreign { status, .. } => status.is_server_error(),
        }
    }

    /// Whether Arroyo refused the call because of what was sent.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::BAD_REQUEST)
    }

    /// Whether the call would make what is there already. Where Arroyo does not see that itself, its database does.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Refused { message, .. }
            if message.contains("already exists") || message.contains("UNIQUE constraint"))
    }

    /// Whether what the call named is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// An Arroyo cluster's API.
#[derive(Debug)]
pub struct Arroyo {
    client: Client,
    base: Url,
    token: Option<String>,
}

impl Arroyo {
    /// The cluster that `args` name. Nothing is called.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(args: &ClusterArgs) -> anyhow::Result<Self> {
        let wrong = |reason: String| UsageError(format!("--arroyo: {reason}; write it as http://HOST:5115"));
        let mut base = Url::parse(&args.arroyo).map_err(|error| wrong(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("this is no http address".to_string()).into());
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = base
            .path()
            .trim_end_matches('/')
            .trim_end_matches("/api/v1")
            .to_string();
        base.set_path(&path);
        // A redirect would turn a POST into a GET.
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self {
            client,
            base,
            token: args.arroyo_token.clone(),
        })
    }

    /// The address of `path` on the cluster, without a password.
    pub fn address(&self, path: &str) -> String {
        let mut shown = self.base.clone();
        // An http address can be without either.
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        format!("{}{path}", shown.as_str().trim_end_matches('/'))
    }

    /// The address of a pipeline in Arroyo's own pages.
    pub fn page(&self, pipeline: &str) -> String {
        self.address(&format!("/pipelines/{pipeline}"))
    }

    /// Makes `call` and reads its result.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        self.call_within(call, TIMEOUT).await
    }

    /// [`Arroyo::call`] of one that may take as long as `timeout`.
    pub async fn call_within<T: DeserializeOwned>(&self, call: &Call, timeout: Duration) -> Result<T, CallError> {
        let (status, text) = self.answer(call, timeout).await?;
        serde_json::from_str(&text).map_err(|error| self.foreign(call, status, &format!("{error} in {text}")))
    }

    /// Makes `call`, whose answer says nothing.
    pub async fn tell(&self, call: &Call) -> Result<(), CallError> {
        self.answer(call, TIMEOUT).await.map(|_| ())
    }

    async fn answer(&self, call: &Call, timeout: Duration) -> Result<(StatusCode, String), CallError> {
        let address = format!("{}/api/v1/{}", self.base.as_str().trim_end_matches('/'), call.path);
        let mut request = self.client.request(call.method.clone(), address).timeout(timeout);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &call.body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let lost = |error: reqwest::Error| {
            let address = self.address("");
            match error.is_connect() {
                true => CallError::Unreachable {
                    address,
                    reason: cause(&error),
                },
                false => CallError::Lost {
                    call: call.to_string(),
                    address,
                    reason: match error.is_timeout() {
                        true => format!("it took longer than {} s", timeout.as_secs_f64()),
                        false => cause(&error),
                    },
                },
            }
        };
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let location = response.headers().get(reqwest::header::LOCATION).cloned();
        let text = response.text().await.map_err(lost)?;
        if status.is_success() {
            return Ok((status, text));
        }
        if status.is_redirection()
            && let Some(location) = location.as_ref().and_then(|location| location.to_str().ok())
        {
            return Err(self.foreign(call, status, &format!("a redirect to {location}")));
        }
        // Every error of Arroyo's is {"error": "…"}.
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body["error"].as_str().map(ToString::to_string));
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (--arroyo-token gives a token)",
            _ => "",
        };
        Err(match message {
            Some(message) => CallError::Refused {
                call: call.to_string(),
                status,
                message,
                hint,
            },
            None => self.foreign(call, status, &format!("{text}{hint}")),
        })
    }

    fn foreign(&self, call: &Call, status: StatusCode, text: &str) -> CallError {
        let shown = match text.trim() {
            "" => "nothing".to_string(),
            text => text.chars().take(SHOWN_CHARS).collect(),
        };
        CallError::Foreign {
            call: call.to_string(),
            address: self.address(""),
            status,
            shown,
        }
    }
}

/// The innermost reason of `error`: reqwest's own sentence only names the address.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
