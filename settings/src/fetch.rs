//! What may be fetched, and how: one group, shared by every command that encodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sightstream_model::fetch::{FetchOptions, IpNet};

use crate::{Fallback, values};

/// What references may lead to. What is left out here may be `SET` in a SQL file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchArgs {
    /// Networks that http: and https: references may lead to although they are not public: 10.1.0.0/16,127.0.0.1
    /// [default: none: no loopback, link-local, private or metadata address]
    #[arg(long, env = "SIGHTSTREAM_ALLOW_NETWORK", value_name = "CIDR", value_delimiter = ',', value_parser = values::network)]
    pub allow_network: Option<Vec<IpNet>>,

    /// Directories below which files may be read, symbolic links resolved; several flags, or DIR:DIR [default: for `run`
    /// the current one; for `train` and `eval` also those of the pairs; for `embed`, `search` and `quickstart`, where you
    /// name the media, all]
    #[arg(long, env = "SIGHTSTREAM_ALLOW_DIRECTORY", value_name = "DIR", value_delimiter = ':')]
    pub allow_directory: Option<Vec<PathBuf>>,

    /// References fetched at the same time [default: 64]
    #[arg(long, env = "SIGHTSTREAM_FETCH_CONCURRENCY", value_name = "COUNT", value_parser = values::count)]
    pub fetch_concurrency: Option<usize>,

    /// References fetched at the same time from one host, or one bucket of an object store [default: 16]
    #[arg(long, env = "SIGHTSTREAM_FETCH_CONCURRENCY_PER_HOST", value_name = "COUNT", value_parser = values::count)]
    pub fetch_concurrency_per_host: Option<usize>,

    /// How long one reference may take to fetch, retries included: 30s, 2m [default: 2m]
    #[arg(long, env = "SIGHTSTREAM_FETCH_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub fetch_timeout: Option<Duration>,

    /// How often a fetch is tried again after what may pass: timeouts, lost connections, HTTP 408, 425, 429 and 5xx
    /// [default: 3]
    #[arg(long, env = "SIGHTSTREAM_FETCH_RETRIES", value_name = "COUNT")]
    pub fetch_retries: Option<u32>,

    /// Redirects that are followed [default: 5]
    #[arg(long, env = "SIGHTSTREAM_MAX_REDIRECTS", value_name = "COUNT")]
    pub max_redirects: Option<usize>,

    /// A proxy for http: and https: references, http://HOST:PORT; it has to judge the names that it resolves. HTTP_PROXY
    /// and its kin are not heeded for them [default: none]
    #[arg(long, env = "SIGHTSTREAM_FETCH_PROXY", value_name = "URL", hide_env_values = true)]
    pub fetch_proxy: Option<String>,

    /// The largest image or text: 64MiB [default: 64MiB]
    #[arg(long, env = "SIGHTSTREAM_MAX_MEDIA_BYTES", value_name = "BYTES", value_parser = values::bytes)]
    pub max_media_bytes: Option<usize>,

    /// The largest video or document, which is read from a file: 8GiB [default: 8GiB]
    #[arg(long, env = "SIGHTSTREAM_MAX_FILE_BYTES", value_name = "BYTES", value_parser = values::file_bytes)]
    pub max_file_bytes: Option<u64>,

    /// How long one video or document may take to fetch, retries included: 30m [default: 60m]
    #[arg(long, env = "SIGHTSTREAM_FILE_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub file_timeout: Option<Duration>,

    /// Where videos and documents of other machines are kept, in files without names that end with the process
    /// [default: $TMPDIR, or /var/tmp]
    #[arg(long, env = "SIGHTSTREAM_CACHE_DIRECTORY", value_name = "DIR")]
    pub cache_directory: Option<PathBuf>,

    /// How many bytes of them are kept; those that were not used for the longest time go first: 50GiB [default: 10GiB]
    #[arg(long, env = "SIGHTSTREAM_CACHE_BYTES", value_name = "BYTES", value_parser = values::file_bytes)]
    pub cache_bytes: Option<u64>,

    /// How long what is kept is used without asking whether it has changed: 0s, 10m [default: 10m]
    #[arg(long, env = "SIGHTSTREAM_CACHE_FRESH_FOR", value_name = "DURATION", value_parser = values::duration)]
    pub cache_fresh_for: Option<Duration>,
}

impl FetchArgs {
    /// Fills what neither a flag nor an environment variable says from the settings of a SQL file.
    pub fn fill(&mut self, settings: &mut impl Fallback) {
        settings.fill("allow_network", &mut self.allow_network, |text| {
            text.split(',').map(values::network).collect()
        });
        settings.fill("allow_directory", &mut self.allow_directory, |text| {
            Ok(text.split(':').map(PathBuf::from).collect())
        });
        settings.fill("fetch_concurrency", &mut self.fetch_concurrency, values::count);
        settings.fill(
            "fetch_concurrency_per_host",
            &mut self.fetch_concurrency_per_host,
            values::count,
        );
        settings.fill("fetch_timeout", &mut self.fetch_timeout, values::duration);
        settings.fill("fetch_retries", &mut self.fetch_retries, values::number);
        settings.fill("max_redirects", &mut self.max_redirects, values::number);
        let proxy = |text: &str| Ok(text.to_string());
        settings.fill_shown("fetch_proxy", &mut self.fetch_proxy, proxy, |_| "…".to_string());
        settings.fill("max_media_bytes", &mut self.max_media_bytes, values::bytes);
        settings.fill("max_file_bytes", &mut self.max_file_bytes, values::file_bytes);
        settings.fill("file_timeout", &mut self.file_timeout, values::duration);
        settings.fill("cache_directory", &mut self.cache_directory, |text| {
            Ok(PathBuf::from(text))
        });
        settings.fill("cache_bytes", &mut self.cache_bytes, values::file_bytes);
        settings.fill("cache_fresh_for", &mut self.cache_fresh_for, values::duration);
    }

    /// Allows all directories, unless some are named: for commands whose media a person names.
    pub fn trust_paths(&mut self) {
        self.allow_directory.get_or_insert_with(|| vec![PathBuf::from("/")]);
    }

    /// Allows `directory` too.
    pub fn also_allow(&mut self, directory: &Path) {
        self.trust_paths();
        self.allow_directory
            .iter_mut()
            .for_each(|allowed| allowed.push(directory.to_path_buf()));
    }

    /// The options of the fetcher.
    pub fn options(&self) -> FetchOptions {
        let defaults = FetchOptions::default();
        FetchOptions {
            max_bytes: self.max_media_bytes.unwrap_or(defaults.max_bytes),
            max_file_bytes: self.max_file_bytes.unwrap_or(defaults.max_file_bytes),
            cache_directory: self.cache_directory.clone(),
            cache_bytes: self.cache_bytes.unwrap_or(defaults.cache_bytes),
            cache_fresh_for: self.cache_fresh_for.unwrap_or(defaults.cache_fresh_for),
            total_timeout: self.fetch_timeout.unwrap_or(defaults.total_timeout),
            file_timeout: self.file_timeout.unwrap_or(defaults.file_timeout),
            retries: self.fetch_retries.unwrap_or(defaults.retries),
            max_redirects: self.max_redirects.unwrap_or(defaults.max_redirects),
            concurrency_per_host: self.fetch_concurrency_per_host.unwrap_or(defaults.concurrency_per_host),
            allow_network: self.allow_network.clone().unwrap_or(defaults.allow_network),
            allow_directories: self.allow_directory.clone().unwrap_or(defaults.allow_directories),
            proxy: self.fetch_proxy.clone(),
            ..defaults
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_names_may_lie_anywhere_unless_directories_are_given() {
        let mut args = FetchArgs::default();
        assert_eq!(args.options().allow_directories, [PathBuf::from(".")]);
        args.trust_paths();
        assert_eq!(args.options().allow_directories, [PathBuf::from("/")]);
        let mut args = FetchArgs {
            allow_directory: Some(vec!["a".into()]),
            ..FetchArgs::default()
        };
        args.also_allow(Path::new("b"));
        assert_eq!(args.options().allow_directories, [PathBuf::from("a"), "b".into()]);
    }
}
