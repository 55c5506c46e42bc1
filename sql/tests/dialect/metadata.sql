-- METADATA FROM: arroyo-connectors/src/kafka/mod.rs (metadata_defs) and source/mod.rs.

==== each that both have, in the type that Arroyo asks for
CREATE TABLE input (
  n INT,
  place BIGINT METADATA FROM 'offset_id',
  part INT METADATA FROM 'partition',
  origin TEXT METADATA FROM 'topic',
  millis BIGINT METADATA FROM 'timestamp',
  key BYTEA METADATA FROM 'key'
) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (n INT, place BIGINT, part INT, origin TEXT, millis BIGINT, key BYTEA) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, place, part, origin, millis, key FROM input;
---- input
ab @1700000000123 {"n": 1, "place": 99, "key": "not this"}
- @1700000000124 {"n": 2}
---- output
- @now {"n":1,"place":0,"part":0,"origin":"input","millis":1700000000123,"key":"YWI="}
- @now {"n":2,"place":1,"part":0,"origin":"input","millis":1700000000124,"key":null}

==== beside a record as a whole
CREATE TABLE input (value JSON, place BIGINT METADATA FROM 'offset_id') WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest', 'json.unstructured' = 'true'
);
CREATE TABLE output (value JSON, place BIGINT) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json'
);
INSERT INTO output SELECT value, place FROM input;
---- input
- @1700000000123 {"n":1}
- @1700000000124 {"n":2}
---- output
- @now {"value":{"n":1},"place":0}
- @now {"value":{"n":2},"place":1}

==== of a name that there is not
CREATE TABLE input (n INT, o BIGINT METADATA FROM 'offset') WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT n FROM input;
---- refused
column `o`: there is no metadata 'offset'

==== in a type that cannot hold it
CREATE TABLE input (n INT, o TEXT METADATA FROM 'offset_id') WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT n FROM input;
---- refused
column `o`: the metadata 'offset_id' needs the type BIGINT or INT, not TEXT

==== here: of a file, where it is a line
-- Arroyo's single_file has none.
CREATE TABLE input (n INT, o BIGINT METADATA FROM 'offset_id') WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, o BIGINT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, o FROM input;
---- input
{"n": 1}
{"n": 2}
---- output
{"n":1,"o":0}
{"n":2,"o":1}

==== here: keys as TEXT, times as TIMESTAMP, and headers
CREATE TABLE input (
  key TEXT METADATA FROM 'key', at TIMESTAMP METADATA FROM 'timestamp', headers JSON METADATA FROM 'headers'
) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
CREATE TABLE output (key TEXT, at TIMESTAMP, headers JSON) WITH (
  connector = 'kafka', bootstrap_servers = '{{ KAFKA }}', topic = 'output', type = 'sink', format = 'json'
);
INSERT INTO output SELECT key, at, headers FROM input;
---- input
ab @1700000000123 {}
---- output
- @now {"key":"ab","at":"2023-11-14T22:13:20.123","headers":{}}
