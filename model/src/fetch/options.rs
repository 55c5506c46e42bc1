//! What a user may set on fetching.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::object;
use crate::error::ModelError;

/// What a [`Fetcher`](super::Fetcher) allows.
#[derive(Clone)]
pub struct FetchOptions {
    /// The largest medium that is read into memory, in bytes: images and text. It is enforced while reading, so a body
    /// without end costs no more memory than this.
    pub max_bytes: usize,
    /// The largest medium that is in a file, in bytes: videos and documents.
    pub max_file_bytes: u64,
    /// Where videos and documents from other machines are kept, in files without names. By default `TMPDIR`, or `/var/tmp`.
    pub cache_directory: Option<PathBuf>,
    /// The most bytes that these take together. Those that were not used for the longest time go first.
    pub cache_bytes: u64,
    /// How long what is there is used without asking whether it has changed.
    pub cache_fresh_for: Duration,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long the other side may say nothing in the middle of an answer.
    pub read_timeout: Duration,
    /// How long one medium may take in all: retries and redirects included, waits for a place at its host not.
    pub total_timeout: Duration,
    /// The same for a video or a document, which may be gigabytes.
    pub file_timeout: Duration,
    /// How often a transient failure is tried again. Object stores that throttle are waited for, however long it takes, unless
    /// this is 0.
    pub retries: u32,
    /// How many redirects are followed.
    pub max_redirects: usize,
    /// How many requests one host is sent at the same time; of object stores each bucket is one.
    pub concurrency_per_host: usize,
    /// Networks that requests may go to although their addresses are not public. By default none.
    pub allow_network: Vec<IpNet>,
    /// Directories below which files may be read, symbolic links resolved. By default the current one.
    pub allow_directories: Vec<PathBuf>,
    /// A proxy for `http:` and `https:`, as `http://HOST:PORT`. It resolves the names, so that it has to judge them too.
    /// Proxies of the environment (`HTTPS_PROXY`) are for object stores alone.
    pub proxy: Option<String>,
    /// Settings of the object stores under the names of their environment variables in lower case, such as
    /// `aws_region` or `aws_endpoint`. By default what the environment holds (`AWS_*`, `GOOGLE_*`, `AZURE_*`).
    pub object_store: Vec<(String, String)>,
}

/// Without the proxy's password and the object stores' keys.
impl fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<&str> = self.object_store.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("FetchOptions")
            .field("max_bytes", &self.max_bytes)
            .field("max_file_bytes", &self.max_file_bytes)
            .field("cache_directory", &self.cache_directory)
            .field("cache_bytes", &self.cache_bytes)
            .field("allow_network", &self.allow_network)
            .field("allow_directories", &self.allow_directories)
            .field("has_proxy", &self.proxy.is_some())
            .field("object_store", &settings)
            .finish_non_exhaustive()
    }
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_file_bytes: 8 << 30,
            cache_directory: None,
            cache_bytes: 10 << 30,
            cache_fresh_for: Duration::from_secs(600),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(120),
            file_timeout: Duration::from_secs(3600),
            retries: 3,
            max_redirects: 5,
            concurrency_per_host: 16,
            allow_network: Vec::new(),
            allow_directories: vec![PathBuf::from(".")],
            proxy: None,
            object_store: object::environment(),
        }
    }
}

impl FetchOptions {
    /// Refuses limits that would let nothing through.
    pub(super) fn validate(&self) -> Result<(), ModelError> {
        let zeros = [
            ("max_bytes", self.max_bytes == 0),
            ("max_file_bytes", self.max_file_bytes == 0),
            ("cache_bytes", self.cache_bytes == 0),
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("read_timeout", self.read_timeout.is_zero()),
            ("total_timeout", self.total_timeout.is_zero()),
            ("file_timeout", self.file_timeout.is_zero()),
            ("fetch_concurrency_per_host", self.concurrency_per_host == 0),
        ];
        match zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((option, _)) => Err(ModelError::Option {
                option: option.into(),
                message: "it must be above zero".into(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_zero_are_refused() {
        let options = FetchOptions {
            total_timeout: Duration::ZERO,
            ..FetchOptions::default()
        };
        let error = options.validate().expect_err("refused").to_string();
        assert_eq!(error, "total_timeout: it must be above zero");
    }
}
