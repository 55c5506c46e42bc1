//! Where dead letters go: what a flag says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use url::form_urlencoded;

use super::{DeadLetterFile, DeadLetterTopic, DeadLetters};
use crate::kafka::Connection;
use crate::{ConnectorError, Waits};

/// Where dead letters go.
///
/// | text | target |
/// | --- | --- |
/// | `none` | nowhere: the job stops at the first bad row |
/// | `kafka://host:9092,host:9092/topic` | a Kafka topic, which must exist; settings of librdkafka may follow: `?security.protocol=SASL_SSL&sasl.username=…` |
/// | anything else | a file of JSON lines at that path, appended to |
#[derive(Debug, Clone)]
pub enum DeadLetterTarget {
    /// Nowhere.
    None,
    /// A file.
    File(PathBuf),
    /// A Kafka topic.
    Topic(Connection),
}

impl DeadLetterTarget {
    /// Reads the text of a flag.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, without the settings, which may hold passwords.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(rest) = text.strip_prefix("kafka://") {
            return parse_topic(rest).map(Self::Topic);
        }
        // A slash that is missing must not make a password the name of a file.
        if text.is_empty() || text.contains("://") || text.starts_with("kafka:") {
            return Err(format!(
                "dead letters go to 'none', to 'kafka://host:port/topic' or to a file, not to '{}'",
                Self::shown(text)
            ));
        }
        Ok(Self::File(text.into()))
    }

    /// The text of a flag without what may be a password in it: the settings behind `?`, and what stands before `@`.
    pub fn shown(text: &str) -> String {
        let place = text.split_once('?').map_or(text, |(place, _)| place);
        match (place.split_once("://"), place.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => place.to_string(),
        }
    }

    /// Opens the target; `None` for [`DeadLetterTarget::None`]. Brokers that are away and a full disk are waited for,
    /// now and later; `waits` shows it.
    pub async fn open(&self, waits: &Waits) -> Result<Option<Arc<dyn DeadLetters>>, ConnectorError> {
        Ok(match self {
            Self::None => None,
            Self::File(path) => Some(Arc::new(DeadLetterFile::open(path.clone(), waits)?)),
            Self::Topic(connection) => Some(Arc::new(DeadLetterTopic::open(connection.clone(), waits).await?)),
        })
    }
}

impl std::fmt::Display for DeadLetterTarget {
    /// The target without settings, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Topic(connection) => write!(f, "kafka://{}/{}", connection.servers, connection.topic),
        }
    }
}

fn parse_topic(rest: &str) -> Result<Connection, String> {
    let connection = parse_connection(rest)?;
    if connection.topic.is_empty() {
        let servers = connection.servers;
        return Err(format!(
            "'kafka://{servers}' names no topic; write kafka://host:port/topic"
        ));
    }
    Ok(connection)
}

/// What stands behind `kafka://`: servers, perhaps a topic, perhaps settings.
pub(super) fn parse_connection(rest: &str) -> Result<Connection, String> {
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    if place.contains('@') {
        return Err(
            "a user and a password are settings: kafka://host:port/topic?sasl.username=…&sasl.password=…".into(),
        );
    }
    let (servers, topic) = place.split_once('/').unwrap_or((place, ""));
    if servers.is_empty() {
        return Err(format!(
            "'kafka://{place}' names no server; write kafka://host:port/topic"
        ));
    }
    // Looked at here, because the error for an unknown setting would tell the second half of a password with a `&`.
    if settings
        .split('&')
        .any(|setting| !setting.is_empty() && !setting.contains('='))
    {
        return Err("what follows '?' is name=value&name=value; an '&' in a value is written %26".into());
    }
    let client: BTreeMap<String, String> = form_urlencoded::parse(settings.as_bytes()).into_owned().collect();
    let connection = Connection {
        servers: servers.to_string(),
        topic: topic.to_string(),
        client,
    };
    connection.check()?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_none_a_topic_or_a_file() {
        assert!(matches!(DeadLetterTarget::parse("none"), Ok(DeadLetterTarget::None)));
        assert!(
            matches!(DeadLetterTarget::parse("state/dead.jsonl"), Ok(DeadLetterTarget::File(path)) if path.ends_with("dead.jsonl"))
        );
        let target = DeadLetterTarget::parse("kafka://a:9092,b:9092/dead?client.id=x%20y").expect("it is well formed");
        let DeadLetterTarget::Topic(connection) = target else {
            panic!("it names a topic")
        };
        assert_eq!(
            (connection.servers.as_str(), connection.topic.as_str()),
            ("a:9092,b:9092", "dead")
        );
        assert_eq!(connection.client["client.id"], "x y");
    }

    #[test]
    fn a_target_that_is_none_of_them_is_refused_with_the_way_to_write_it() {
        for wrong in [
            "",
            "s3://bucket/dead",
            "kafka://localhost:9092",
            "kafka:///dead",
            "kafka://a/b?no.such=1",
        ] {
            let reason = DeadLetterTarget::parse(wrong).expect_err(wrong);
            assert!(reason.contains("kafka://") || reason.contains("no.such"), "{reason}");
        }
    }

    #[test]
    fn the_error_of_a_target_holds_no_password() {
        for wrong in [
            "kafka://h/t?sasl.password=s3cret&bad=1",
            "kafka://h/t?sasl.password=x&s3cret",
            "kafka://h?sasl.password=s3cret",
            "kafka:/h/t?sasl.password=s3cret",
            "KAFKA://h/t?sasl.password=s3cret",
            "kafka://user:s3cret@h/t",
            "s3://key:s3cret@bucket/dead",
        ] {
            let reason = DeadLetterTarget::parse(wrong).expect_err(wrong);
            assert!(!reason.contains("s3cret"), "{reason}");
            let shown = DeadLetterTarget::shown(wrong);
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        assert_eq!(DeadLetterTarget::shown("kafka://h:1/t?a=b"), "kafka://h:1/t");
        assert_eq!(DeadLetterTarget::shown("dead@home.jsonl"), "dead@home.jsonl");
    }

    #[test]
    fn a_target_is_shown_without_its_settings() {
        let target = DeadLetterTarget::parse("kafka://a:9092/dead?sasl.password=secret").expect("it is well formed");
        assert_eq!(target.to_string(), "kafka://a:9092/dead");
    }
}
