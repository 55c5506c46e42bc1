-- Rows as JSON: arroyo-formats/src/ser.rs and json/encoders.rs.

==== every column stands in the record, in the order of the table, NULL as null
CREATE TABLE input (a TEXT, b INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (b INT, a TEXT, c BOOLEAN) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output (a, b) SELECT a, b FROM input;
---- input
{"a": "x", "b": 1}
{}
---- output
{"b":1,"a":"x","c":null}
{"b":null,"a":null,"c":null}

==== numbers that JSON lacks are null
CREATE TABLE input (n DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a DOUBLE, b FLOAT, c DOUBLE[]) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n / 0, CAST('NaN' AS FLOAT), make_array(n, -n / 0) FROM input;
---- input
{"n": 1}
---- output
{"a":null,"b":null,"c":[1.0,null]}

==== decimals as texts
CREATE TABLE input (c DECIMAL(10, 2)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (c DECIMAL(10, 2)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json', 'json.decimal_encoding' = 'string'
);
INSERT INTO output SELECT c FROM input;
---- input
{"c": 12.5}
{"c": null}
---- output
{"c":"12.50"}
{"c":null}

==== decimals as bytes
-- 1250, unscaled, in 16 bytes, the highest first.
CREATE TABLE input (c DECIMAL(10, 2)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (c DECIMAL(10, 2)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json', 'json.decimal_encoding' = 'bytes'
);
INSERT INTO output SELECT c FROM input;
---- input
{"c": 12.5}
---- output
{"c":"AAAAAAAAAAAAAAAAAAAE4g=="}

==== here: a date in milliseconds
-- Arroyo's encoder writes DATE so too, but its tables take none.
CREATE TABLE input (d DATE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (d DATE) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json', 'json.timestamp_format' = 'UnixMillis'
);
INSERT INTO output SELECT d FROM input;
---- input
{"d": "2025-01-31"}
---- output
{"d":1738281600000}

==== here: a text in a JSON column that is not JSON is written as a string
-- Arroyo writes nothing in its place, and so a record that nobody can read.
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (j JSON) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT t FROM input;
---- input
{"t": "{broken"}
{"t": "[1, 2]"}
---- output
{"j":"{broken"}
{"j":[1, 2]}
