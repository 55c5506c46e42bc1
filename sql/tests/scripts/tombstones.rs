//! Which statements may follow a topic whose tombstones delete.

const TOPIC: &str = "CREATE TABLE media (id TEXT, url TEXT, n BIGINT, parts TEXT)
    WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 't', type = 'source', format = 'json',
          'source.tombstones' = 'delete');
  CREATE TABLE names (id TEXT, name TEXT)
    WITH (connector = 'single_file', path = '{{ NAMES }}', type = 'source', format = 'json');
  CREATE TABLE points (id TEXT, vector FLOAT[]) WITH (connector = 'qdrant', url = 'embedded:x', collection = 'c');
  CREATE TABLE topic (id TEXT, url TEXT) WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'o',
          type = 'sink', format = 'json', 'sink.key_field' = 'id');
  CREATE TABLE keyless (id TEXT) WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'o',
          type = 'sink', format = 'json');
  CREATE TABLE anywhere (collection_name TEXT, id TEXT, vector FLOAT[], payload JSON)
    WITH (connector = 'qdrant', url = 'embedded:x');
  CREATE TABLE file (id TEXT) WITH (connector = 'single_file', path = '{{ OUT }}', type = 'sink', format = 'json');";

/// What planning says; `None` if it finds nothing wrong.
async fn refusal(query: &str) -> Option<String> {
    let sql = format!("{TOPIC}\n{query}");
    let script = sightstream_sql::Script::parse_with_environment(&sql, "test.sql", &|name| Some(name.to_lowercase()));
    let script = script.expect("it can be parsed");
    sightstream_sql::Plan::new(script)
        .await
        .err()
        .map(|error| error.to_string())
}

#[tokio::test]
async fn the_id_must_be_a_column_of_the_topic_as_it_is() {
    for query in [
        "INSERT INTO points SELECT id, embed(url) FROM media;",
        "INSERT INTO points SELECT n, embed(url) FROM media WHERE n > 1;",
        "CREATE VIEW v AS SELECT id AS key, embed(url) AS e FROM media; INSERT INTO points SELECT key, e FROM v;",
        "INSERT INTO points SELECT m.id, embed(name) FROM media m JOIN names ON m.id = names.id;",
        "INSERT INTO points SELECT id, embed(url) FROM (SELECT * FROM media) UNION ALL SELECT id, embed(url) FROM media;",
        "INSERT INTO topic SELECT id, upper(url) FROM media;",
        "INSERT INTO file SELECT id FROM names;",
    ] {
        assert_eq!(refusal(query).await, None, "{query}");
    }
    for query in [
        "INSERT INTO points SELECT 'media/' || id, embed(url) FROM media;",
        "INSERT INTO points SELECT 'one', embed(url) FROM media;",
        "CREATE VIEW v AS SELECT upper(id) AS key, url FROM media; INSERT INTO points SELECT key, embed(url) FROM v;",
        "INSERT INTO points SELECT unnest(string_to_array(parts, ',')), embed(url) FROM media;",
        "INSERT INTO points (vector) SELECT embed(url) FROM media;",
        "INSERT INTO topic SELECT upper(id), url FROM media;",
    ] {
        let refusal = refusal(query).await.unwrap_or_else(|| panic!("{query} is planned"));
        assert!(
            refusal.contains("by its column id, which this query computes"),
            "{query}: {refusal}"
        );
    }
}

#[tokio::test]
async fn what_cannot_delete_is_refused_with_the_reason() {
    for (query, reason) in [
        (
            "INSERT INTO file SELECT id FROM media;",
            "a 'single_file' table cannot delete any",
        ),
        ("SELECT id FROM media;", "a 'stdout' table cannot delete any"),
        ("INSERT INTO keyless SELECT id FROM media;", "no key to delete them by"),
        (
            "INSERT INTO anywhere SELECT 'c', id, embed(url), '{}' FROM media;",
            "in which collection",
        ),
    ] {
        let refusal = refusal(query).await.unwrap_or_else(|| panic!("{query} is planned"));
        assert!(refusal.contains(reason), "{query}: {refusal}");
        assert!(refusal.starts_with("test.sql:"), "{refusal}");
    }
}

#[tokio::test]
async fn a_default_holds_for_kafka_sources_that_say_nothing() {
    let sql = "CREATE TABLE media (id TEXT)
        WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 't', type = 'source', format = 'json' MORE);
      SELECT id FROM media;";
    for (more, refused) in [("", true), (", 'source.tombstones' = 'ignore'", false)] {
        let sql = sql.replace(" MORE", more);
        let mut script = sightstream_sql::Script::parse(&sql, "test.sql").expect("it can be parsed");
        script.set_source_default("kafka", "source.tombstones", "delete");
        assert_eq!(sightstream_sql::Plan::new(script).await.is_err(), refused, "{sql}");
    }
}
