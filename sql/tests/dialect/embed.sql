-- embed and segments, by an embedder of these tests: [length of the url, length of the instruction]. On Arroyo they are this
-- project's UDFs.

==== a vector in a BYTEA column is little-endian floats
-- 3.0 and 4.0: 00004040 00008040.
CREATE TABLE input (id TEXT NOT NULL, url TEXT NOT NULL) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, vector BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, embed(url, 'text') AS vector FROM input;
---- input
{"id": "a", "url": "abc"}
---- output
{"id":"a","vector":"AABAQAAAgEA="}

==== a NULL url has a NULL vector, a NULL instruction is the model's own
CREATE TABLE input (id TEXT, url TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, vector BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, embed(url, CAST(NULL AS TEXT)) AS vector FROM input;
---- input
{"id": "a", "url": "abc"}
{"id": "b", "url": null}
---- output
{"id":"a","vector":"AABAQAAAAAA="}
{"id":"b","vector":null}

==== here: a row that fails is a dead letter
-- On Arroyo its vector is NULL, and the reason in the plugin's log and dead letters.
CREATE TABLE input (id TEXT, url TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, vector BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, embed(url, '') FROM input;
---- input
{"id": "a", "url": "abc"}
{"id": "b", "url": "bad"}
---- output
{"id":"a","vector":"AABAQAAAAAA="}
---- dead letters
1: bad cannot be read

==== the parts of media, by a view
-- As it was seen to run on Arroyo 0.15.
CREATE TABLE input (id TEXT NOT NULL, url TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, part TEXT, vector BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW parts AS SELECT id, unnest(string_to_array(segments(url), chr(10))) AS part FROM input;
INSERT INTO output SELECT id, part, embed(part, '') FROM parts;
---- input
{"id": "a", "url": "a.pdf"}
{"id": "b", "url": null}
---- output
{"id":"a","part":"a.pdf#page=1","vector":"AABAQQAAAAA="}
{"id":"a","part":"a.pdf#page=2","vector":"AABAQQAAAAA="}
{"id":"b","part":null,"vector":null}
