-- WITH options: arroyo-rpc/src/lib.rs (ConnectorOptions), arroyo-planner/src/tables.rs, arroyo-connectors/src/kafka/mod.rs.

==== an unknown option is an error
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.unstructurd' = 'true'
);
SELECT n FROM input;
---- refused
test.sql:2:
unknown option 'json.unstructurd'; did you mean 'json.unstructured'?

==== an option may be a truth value without quotes
CREATE TABLE input (value JSON) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.unstructured' = true
);
CREATE TABLE output (value JSON) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT value FROM input;
---- input
{"n":1}
---- output
{"value":{"n":1}}

==== an option that is missing
CREATE TABLE input (n INT) WITH (connector = 'kafka', bootstrap_servers = 'localhost:1', type = 'source', format = 'json');
SELECT n FROM input;
---- refused
'topic'

==== a word that source.offset does not know
CREATE TABLE input (n INT) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'first'
);
SELECT n FROM input;
---- refused
'source.offset' is 'earliest', 'latest' or 'group' and cannot be 'first'

==== a word that type does not know
CREATE TABLE input (n INT) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'table', format = 'json'
);
SELECT n FROM input;
---- refused
type = 'table'
write type = 'source'

==== all options of a source that both take
-- The rest of the file is read where the group has committed nothing.
CREATE TABLE input (n INT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest',
  'source.group_id' = 'indexer', 'source.group_id_prefix' = 'p', 'source.read_mode' = 'read_committed',
  client_configs = 'session.timeout.ms=4000', 'auth.type' = 'none', bad_data = 'drop', 'json.timestamp_format' = 'RFC3339',
  'json.decimal_encoding' = 'number', 'json.unstructured' = 'false'
);
CREATE TABLE output (n INT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json',
  'sink.commit_mode' = 'at_least_once', client_configs = 'linger.ms=0'
);
INSERT INTO output SELECT n FROM input;
---- input
- @1700000000000 {"n": 1}
---- output
- @now {"n":1}

==== a format that only Arroyo has
CREATE TABLE input (n INT) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'debezium_json'
);
SELECT n FROM input;
---- refused
test.sql:2:
the option 'format' cannot be 'debezium_json' here; it can be 'json'

==== exactly once is only Arroyo's
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'output', type = 'sink', format = 'json',
  'sink.commit_mode' = 'exactly_once'
);
INSERT INTO output SELECT n FROM input;
---- refused
test.sql:6:
run the query on Arroyo
