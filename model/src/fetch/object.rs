//! Object stores: `s3:`, `gs:` and `az:`. Credentials come from the environment, or from what the machine's provider gives
//! (instance roles, workload identity).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{Attribute, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use url::Url;

use super::{FetchOptions, Fetched, collect, media_type_or_extension};
use crate::error::MediaError;

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
    retry: RetryConfig,
    max_bytes: usize,
}

impl ObjectStores {
    pub(super) fn new(options: &FetchOptions) -> Self {
        Self {
            stores: Mutex::default(),
            settings: options.object_store.clone(),
            client: ClientOptions::new()
                .with_connect_timeout(options.connect_timeout)
                .with_timeout(options.total_timeout),
            retry: RetryConfig {
                max_retries: options.retries as usize,
                retry_timeout: options.total_timeout,
                backoff: object_store::BackoffConfig {
                    init_backoff: Duration::from_millis(250),
                    max_backoff: Duration::from_secs(20),
                    base: 2.0,
                },
            },
            max_bytes: options.max_bytes,
        }
    }

    pub(super) async fn get(&self, url: &Url, name: &str) -> Result<Fetched, MediaError> {
        let failed = |error| failed(error, name);
        let path = Path::from_url_path(url.path()).map_err(|error| MediaError::InvalidReference {
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        let store = self.store(url).map_err(failed)?;
        let object = store.get(&path).await.map_err(failed)?;
        let stated = object.attributes.get(&Attribute::ContentType).map(AsRef::as_ref);
        let media_type = media_type_or_extension(stated, url.path());
        let expected = object.meta.size;
        let bytes = collect(object.into_stream(), Some(expected), self.max_bytes, name, failed).await?;
        Ok(Fetched { bytes, media_type })
    }

    fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        let bucket = url[..url::Position::BeforePath].to_owned();
        // A panic while the lock is held leaves a valid map.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&bucket) {
            return Ok(store.clone());
        }
        let store = self.build(&bucket, url.scheme())?;
        if stores.len() >= KEPT_STORES {
            stores.clear();
        }
        stores.insert(bucket, store.clone());
        Ok(store)
    }

    fn build(&self, bucket: &str, scheme: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        // The builders share their methods but no trait.
        macro_rules! build {
            ($builder:ty) => {{
                let builder = <$builder>::new()
                    .with_client_options(self.client.clone())
                    .with_retry(self.retry.clone())
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

fn failed(error: object_store::Error, name: &str) -> MediaError {
    use object_store::Error as E;
    let (name, message) = (name.to_owned(), error.to_string());
    match error {
        E::NotFound { .. } => MediaError::NotFound { name, message },
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => MediaError::Denied { name, message },
        E::InvalidPath { .. } => MediaError::InvalidReference { name, message },
        E::NotSupported { .. } | E::NotImplemented { .. } | E::UnknownConfigurationKey { .. } => {
            MediaError::Unsupported { name, message }
        }
        _ => MediaError::Unavailable { name, message },
    }
}
