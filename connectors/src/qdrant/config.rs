//! The options of a Qdrant table.

use std::path::PathBuf;
use std::time::Duration;

use super::collection::{Distance, name_problem};
use super::points::PointReader;
use crate::{ConnectorError, TableDefinition};

/// The port on which Qdrant answers gRPC.
const GRPC_PORT: u16 = 6334;

/// Where a Qdrant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A server, with the port in the URL.
    Server {
        /// The URL: `http://localhost:6334`.
        url: String,
    },
    /// A folder, opened in this process.
    Embedded {
        /// The folder.
        path: PathBuf,
    },
}

impl Location {
    /// The location in the option `url`: `http(s)://HOST[:PORT]` (the port is 6334 if none is said) or
    /// `embedded:PATH`.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("embedded:") {
            return if path.is_empty() {
                Err("'embedded:' needs a folder behind it: embedded:./qdrant".to_string())
            } else {
                Ok(Self::Embedded {
                    path: PathBuf::from(path),
                })
            };
        }
        // Said without the text: what stands before the `@` is a password, and this is printed and logged.
        if url.contains('@') {
            return Err(format!(
                "a URL with '@' cannot be used; write http(s)://HOST:{GRPC_PORT} without a user or a password, and \
                 use the option api_key for the server's key"
            ));
        }
        let parsed = url::Url::parse(url).map_err(|error| format!("'{url}' is no URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(format!(
                "'{url}' is neither http(s)://HOST:{GRPC_PORT} nor embedded:PATH"
            ));
        }
        let authority = url
            .split_once("://")
            .map_or("", |(_, rest)| rest)
            .split(['/', '?', '#'])
            .next()
            .unwrap_or("");
        // The parser drops a port that is the scheme's own, so it is looked for in the text.
        let says_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = if says_port {
            String::new()
        } else {
            format!(":{GRPC_PORT}")
        };
        Ok(Self::Server {
            url: format!("{}://{authority}{port}", parsed.scheme()),
        })
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionOptions {
    /// The key that the server asks for.
    pub api_key: Option<String>,
    /// The longest wait for an answer, before the request is tried again.
    pub timeout: Duration,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            api_key: None,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What a user may set for a Qdrant table.
#[derive(Debug, Clone)]
pub(crate) struct SinkConfig {
    /// The table's name.
    pub table: String,
    /// `url`: where the Qdrant is.
    pub location: Location,
    /// `collection`: the alias (or collection) that rows go to. May be left out only where the rows name it.
    pub collection: Option<String>,
    /// `distance`: cosine, dot, euclid or manhattan. A collection that is made gets cosine unless this says
    /// otherwise; one that exists keeps its own, and must agree with this.
    pub distance: Option<Distance>,
    /// `api_key`, `timeout_seconds` (60) and `connect_timeout_seconds` (10).
    pub connection: ConnectionOptions,
    /// `batch_points`: the most points in one request (256).
    pub batch_points: usize,
}

impl SinkConfig {
    /// Takes the options of `table` and looks at its columns.
    ///
    /// # Errors
    /// [`ConnectorError::Option`] that names the option or column at fault.
    pub fn new(table: &TableDefinition) -> Result<(Self, PointReader), ConnectorError> {
        let mut options = table.options();
        options.take("connector");
        options.take("type");
        options.take("format");
        let location = options.attempt(|options| {
            let url = options.require("url")?;
            Location::parse(&url).map_err(|problem| options.error_at("url", format!("the option 'url': {problem}")))
        });
        let collection = options.take("collection");
        if let Some(problem) = collection.as_deref().and_then(name_problem) {
            options.attempt(|options| {
                Err::<(), _>(options.error_at("collection", format!("the option 'collection': {problem}")))
            });
        }
        let distance = options.attempt(|options| options.parse::<Distance>("distance"));
        let api_key = options.take("api_key").filter(|key| !key.is_empty());
        let timeout = options.attempt(|options| seconds(options, "timeout_seconds"));
        let connect_timeout = options.attempt(|options| seconds(options, "connect_timeout_seconds"));
        let batch_points = options.attempt(batch_points);
        let reader =
            options.attempt(|options| PointReader::new(&table.schema).map_err(|problem| options.error(problem)));
        if collection.is_none() && reader.as_ref().is_some_and(|reader| !reader.rows_name_collections()) {
            options.attempt(|options| {
                Err::<(), _>(options.missing(
                    "collection",
                    "the option 'collection' is missing; only a table of the columns collection_name TEXT, id, vector \
                     and payload JSON can do without",
                ))
            });
        }
        options.finish(|| {
            let defaults = ConnectionOptions::default();
            let connection = ConnectionOptions {
                api_key,
                timeout: timeout?.unwrap_or(defaults.timeout),
                connect_timeout: connect_timeout?.unwrap_or(defaults.connect_timeout),
            };
            let config = Self {
                table: table.name.clone(),
                location: location?,
                collection,
                distance: distance?,
                connection,
                batch_points: batch_points?,
            };
            Some((config, reader?))
        })
    }
}

fn batch_points(options: &mut crate::Options) -> Result<usize, ConnectorError> {
    match options.parse::<usize>("batch_points")?.unwrap_or(256) {
        0 => Err(options.error_at("batch_points", "the option 'batch_points' must be at least 1")),
        points => Ok(points),
    }
}

fn seconds(options: &mut crate::Options, key: &str) -> Result<Option<Duration>, ConnectorError> {
    let Some(value) = options.parse::<f64>(key)? else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
        _ => Err(options.error_at(key, format!("the option '{key}' must be a number of seconds above 0"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Location {
        Location::Server { url: url.to_string() }
    }

    #[test]
    fn a_url_without_a_port_means_the_grpc_port() {
        assert_eq!(Location::parse("http://localhost"), Ok(server("http://localhost:6334")));
        assert_eq!(
            Location::parse("http://localhost:7000/"),
            Ok(server("http://localhost:7000"))
        );
        assert_eq!(
            Location::parse("https://example.org:443"),
            Ok(server("https://example.org:443"))
        );
        assert_eq!(Location::parse("http://[::1]"), Ok(server("http://[::1]:6334")));
        assert_eq!(Location::parse("http://[::1]:80"), Ok(server("http://[::1]:80")));
    }

    #[test]
    fn an_embedded_url_names_a_folder() {
        assert_eq!(
            Location::parse("embedded:./db"),
            Ok(Location::Embedded { path: "./db".into() })
        );
        assert!(Location::parse("embedded:").is_err());
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_being_told() {
        for url in [
            "http://user:s3cret@localhost:6334",
            "https://s3cret@localhost",
            "http://user:s3cret@localhost:no-port",
            "user:s3cret@localhost",
        ] {
            let problem = Location::parse(url).expect_err(url);
            assert!(
                problem.contains("use the option api_key") && !problem.contains("s3cret"),
                "{problem}"
            );
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["localhost:6334", "ftp://localhost", "", "./db"] {
            assert!(Location::parse(url).is_err(), "{url:?}");
        }
    }
}
