//! Object stores: `s3:`, `gs:` and `az:`. Credentials come from the environment, or from what the machine's provider gives
//! (instance roles, workload identity). So do endpoints: they are the operator's, and may be at any address. A reference
//! names a bucket and a key in them, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{Attribute, ClientOptions, GetOptions, GetRange, ObjectStore, RetryConfig};
use reqwest::StatusCode;
use url::Url;

use super::cache::Validator;
use super::connector::{Answered, Connector};
use super::http::{source, status_error, transport_error};
use super::landing::{Body, Landing, Stop};
use super::media_type::media_type_or_extension;
use super::place::Trip;
use super::retry::Failure;
use super::{FetchOptions, Fetched, Resolver};
use crate::error::MediaError;
use crate::reference::without_credentials;

/// The variables that stores read. Others are left alone: the stores would take a `REGION` or a `TOKEN` as well.
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// How many buckets keep their client. More than a pipeline names; a bound, because rows name them.
const KEPT_STORES: usize = 64;

/// The settings of object stores in this process's environment, in lower case.
pub(super) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| VARIABLES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// One client a bucket, made when first asked for.
pub(super) struct ObjectStores {
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    settings: Vec<(String, String)>,
    client: ClientOptions,
    connector: Connector,
}

impl ObjectStores {
    pub(super) fn new(options: &FetchOptions, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            stores: Mutex::default(),
            settings: options.object_store.clone(),
            client: ClientOptions::new()
                .with_connect_timeout(options.connect_timeout)
                // Fetches have their own timeouts; this one holds for the longest.
                .with_timeout(options.total_timeout.max(options.file_timeout)),
            connector: Connector::new(options.read_timeout, resolver),
        }
    }

    /// One attempt.
    pub(super) async fn get(&self, url: &Url, trip: &mut Trip<'_>, landing: &mut Landing<'_>) -> Result<Fetched, Stop> {
        let name = trip.name;
        let path = Path::from_url_path(url.path()).map_err(|error| MediaError::InvalidReference {
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        let store = self.store(url).map_err(|error| MediaError::Unsupported {
            name: name.to_owned(),
            message: format!(
                "the object store cannot be set up: {}",
                without_credentials(&error.to_string())
            ),
        })?;
        let _place = trip.enter(bucket(url)).await;
        loop {
            let resumes = landing.resumable();
            let known = landing.validator().and_then(|validator| validator.etag.clone());
            let options = match &resumes {
                Some((length, tag)) => GetOptions {
                    range: Some(GetRange::Offset(*length)),
                    if_match: Some(tag.clone()),
                    ..GetOptions::default()
                },
                None => GetOptions {
                    if_none_match: known.clone(),
                    ..GetOptions::default()
                },
            };
            let object = match trip.spend(store.get_opts(&path, options)).await? {
                Ok(object) => object,
                Err(error) => match source::<Answered>(&error).map(|answered| answered.status) {
                    Some(StatusCode::NOT_MODIFIED) if known.is_some() => match landing.not_modified() {
                        Some(fetched) => return Ok(fetched),
                        // It was let go meanwhile.
                        None => continue,
                    },
                    Some(StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE) if resumes.is_some() => {
                        landing.restart();
                        continue;
                    }
                    _ => return Err(failed(error, name).into()),
                },
            };
            let stated = object.attributes.get(&Attribute::ContentType).map(AsRef::as_ref);
            let body = Body {
                media_type: media_type_or_extension(stated, url.path()),
                expected: Some(object.meta.size),
                validator: Validator {
                    etag: object.meta.e_tag.clone(),
                    last_modified: None,
                },
                resumed: resumes.is_some(),
                stream: object.into_stream(),
            };
            return landing.receive(body, trip, |error| failed(error, name).error).await;
        }
    }

    fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        let bucket = bucket(url);
        // A panic while the lock is held leaves a valid map.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(bucket) {
            return Ok(store.clone());
        }
        let store = self.build(bucket, url.scheme())?;
        if stores.len() >= KEPT_STORES {
            stores.clear();
        }
        stores.insert(bucket.to_owned(), store.clone());
        Ok(store)
    }

    fn build(&self, bucket: &str, scheme: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        // The builders share their methods but no trait.
        macro_rules! build {
            ($builder:ty) => {{
                let builder = <$builder>::new()
                    .with_client_options(self.client.clone())
                    .with_http_connector(self.connector.clone())
                    // Retries are made by whoever fetches, by one rule for every server.
                    .with_retry(RetryConfig {
                        max_retries: 0,
                        ..RetryConfig::default()
                    })
                    .with_url(bucket);
                let builder = self
                    .settings
                    .iter()
                    .fold(builder, |builder, (name, value)| match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        // A variable for something else.
                        Err(_) => builder,
                    });
                Arc::new(builder.build()?) as Arc<dyn ObjectStore>
            }};
        }
        Ok(match scheme {
            "gs" => build!(GoogleCloudStorageBuilder),
            "az" => build!(MicrosoftAzureBuilder),
            _ => build!(AmazonS3Builder),
        })
    }
}

/// `s3://bucket`: what has a client and places of its own.
pub(super) fn bucket(url: &Url) -> &str {
    &url[..url::Position::BeforePath]
}

/// The stores' own messages hold URLs (signed ones, with a SAS token) and the body of the answer (with signatures), so that
/// only what is known to be none of these is told.
fn failed(error: object_store::Error, name: &str) -> Failure {
    use object_store::Error as E;
    if let Some(answered) = source::<Answered>(&error) {
        return Failure {
            error: status_error(answered.status, name, "store", None),
            retry_after: answered.retry_after,
        };
    }
    let text = error.to_string();
    let status = |status| status_error(status, name, "store", code(&text));
    let (name, message) = (name.to_owned(), without_credentials(&text));
    match error {
        E::NotFound { .. } => status(StatusCode::NOT_FOUND),
        E::PermissionDenied { .. } => status(StatusCode::FORBIDDEN),
        E::Unauthenticated { .. } => status(StatusCode::UNAUTHORIZED),
        E::InvalidPath { .. } => MediaError::InvalidReference { name, message },
        E::NotSupported { .. } | E::NotImplemented { .. } | E::UnknownConfigurationKey { .. } => {
            MediaError::Unsupported { name, message }
        }
        other => match source::<reqwest::Error>(&other) {
            Some(error) => transport_error(error, &name),
            None => MediaError::Unavailable { name, message },
        },
    }
    .into()
}

/// The word in the body of a store's answer that says what is wrong, such as `AccessDenied`.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
    is_word.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_answer_is_a_word() {
        assert_eq!(
            code("403: <Error><Code>AccessDenied</Code><Key>x"),
            Some("AccessDenied")
        );
        assert_eq!(code("<Code>sig=abc&x</Code>"), None);
        assert_eq!(code("nothing"), None);
    }
}
