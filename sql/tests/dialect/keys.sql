-- The records that a Kafka sink writes: arroyo-connectors/src/kafka/sink/mod.rs.

==== a TEXT column is the key, and stays in the value
CREATE TABLE input (id TEXT, n INT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (id TEXT, n INT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.key_field' = 'id'
);
INSERT INTO output SELECT id, n FROM input;
---- input
- @1700000000123 {"id": "a", "n": 1}
---- output
a @now {"id":"a","n":1}

==== a TIMESTAMP column is the record's time, in milliseconds
CREATE TABLE input (at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.timestamp_field' = 'at'
);
INSERT INTO output SELECT at FROM input;
---- input
- @1700000000123 {"at": "2020-09-13T12:26:40.1239Z"}
---- output
- @1600000000123 {"at":"2020-09-13T12:26:40.123900"}

==== the time of the record that was read is handed on by name
-- On Arroyo it would be without: its event time. Written so, the file gives the same on both.
CREATE TABLE input (n INT, millis BIGINT METADATA FROM 'timestamp') WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (n INT, at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.timestamp_field' = 'at'
);
INSERT INTO output SELECT n, to_timestamp_millis(millis) FROM input;
---- input
- @1700000000123 {"n": 1}
---- output
- @1700000000123 {"n":1,"at":"2023-11-14T22:13:20.123"}

==== here: a key that is NULL is none
-- Arroyo writes an empty one.
CREATE TABLE input (id TEXT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (id TEXT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.key_field' = 'id'
);
INSERT INTO output SELECT id FROM input;
---- input
- @1700000000123 {"id": null}
---- output
- @now {"id":null}

==== here: a key may be a number
-- Arroyo leaves the key out, and says so in its log.
CREATE TABLE input (id BIGINT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (id BIGINT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.key_field' = 'id'
);
INSERT INTO output SELECT id FROM input;
---- input
- @1700000000123 {"id": 7}
---- output
7 @now {"id":7}

==== a column that there is not
-- Arroyo says so in its log only.
CREATE TABLE input (id TEXT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (id TEXT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json', 'sink.key_field' = 'key'
);
INSERT INTO output SELECT id FROM input;
---- refused
'sink.key_field' names the column `key`, which the table does not have
