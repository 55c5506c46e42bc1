-- Times in records and out: timestamp_array.rs of Arroyo's arrow-json, arroyo-formats/src/json/encoders.rs, and the
-- golden outputs of arroyo-sql-testing, which show that a time is written without an offset.

==== texts that are times
CREATE TABLE input (at TIMESTAMP) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (at TIMESTAMP) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT at FROM input;
---- input
{"at": "2025-01-31T12:00:00Z"}
{"at": "2025-01-31T13:00:00+01:00"}
{"at": "2025-01-31T12:00:00"}
{"at": "2025-01-31 12:00:00"}
{"at": "2025-01-31T12:00:00.5Z"}
{"at": "2025-01-31T12:00:00.000001"}
{"at": "2025-01-31T12:00:00.000000001Z"}
{"at": "2025-01-31"}
{"at": null}
{"at": "31.1.2025"}
{"at": " 2025-01-31T12:00:00Z"}
{"at": ""}
{"at": "2500-01-01T00:00:00Z"}
{"at": true}
---- output
{"at":"2025-01-31T12:00:00"}
{"at":"2025-01-31T12:00:00"}
{"at":"2025-01-31T12:00:00"}
{"at":"2025-01-31T12:00:00"}
{"at":"2025-01-31T12:00:00.500"}
{"at":"2025-01-31T12:00:00.000001"}
{"at":"2025-01-31T12:00:00.000000001"}
{"at":"2025-01-31T00:00:00"}
{"at":null}
---- dead letters
9: column `at`: expected TIMESTAMP, found the string "31.1.2025"
10: column `at`: expected TIMESTAMP
11: column `at`: expected TIMESTAMP
12: column `at`: expected TIMESTAMP
13: column `at`: expected TIMESTAMP, found the boolean true

==== a number is in the unit of its column
-- types.rs: TIMESTAMP is in nanoseconds, TIMESTAMP(0), (3), (6) and (9) say their unit. A point is cut off.
CREATE TABLE input (n TIMESTAMP, s TIMESTAMP(0), ms TIMESTAMP(3), us TIMESTAMP(6), ns TIMESTAMP(9)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n TIMESTAMP, s TIMESTAMP(0), ms TIMESTAMP(3), us TIMESTAMP(6), ns TIMESTAMP(9)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, s, ms, us, ns FROM input;
---- input
{"n": 1738324800000000000, "s": 1738324800, "ms": 1738324800123, "us": 1738324800123456, "ns": 1738324800123456789}
{"n": 1, "s": 1.9, "ms": 1.9, "us": -1, "ns": 1e3}
{"s": "2025-01-31T12:00:00.9Z", "ms": "2025-01-31T12:00:00.1239Z", "us": "2025-01-31T12:00:00Z"}
---- output
{"n":"2025-01-31T12:00:00","s":"2025-01-31T12:00:00","ms":"2025-01-31T12:00:00.123","us":"2025-01-31T12:00:00.123456","ns":"2025-01-31T12:00:00.123456789"}
{"n":"1970-01-01T00:00:00.000000001","s":"1970-01-01T00:00:01","ms":"1970-01-01T00:00:00.001","us":"1969-12-31T23:59:59.999999","ns":"1970-01-01T00:00:00.000001"}
{"n":null,"s":"2025-01-31T12:00:00","ms":"2025-01-31T12:00:00.123","us":"2025-01-31T12:00:00","ns":null}

==== milliseconds, where the sink asks for them
CREATE TABLE input (n TIMESTAMP, s TIMESTAMP(0)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n TIMESTAMP, s TIMESTAMP(0)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json', 'json.timestamp_format' = 'unix_millis'
);
INSERT INTO output SELECT n, s FROM input;
---- input
{"n": "2025-01-31T12:00:00.123456Z", "s": "2025-01-31T12:00:00Z"}
---- output
{"n":1738324800123,"s":1738324800000}

==== functions of times
CREATE TABLE input (at TIMESTAMP, ms BIGINT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TIMESTAMP, b TIMESTAMP, c DOUBLE, d TEXT, e TIMESTAMP, f BIGINT, g TIMESTAMP, h TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT to_timestamp_millis(ms), date_trunc('hour', at), extract(minute FROM at), to_char(at, '%Y/%m/%d'),
  at + INTERVAL '1 hour', to_unixtime(at), to_timestamp('2025-01-31T12:00:00Z'), CAST(at AS TEXT)
FROM input;
---- input
{"at": "2025-01-31T12:34:56Z", "ms": 1738324800500}
---- output
{"a":"2025-01-31T12:00:00.500","b":"2025-01-31T12:00:00","c":34.0,"d":"2025/01/31","e":"2025-01-31T13:34:56","f":1738326896,"g":"2025-01-31T12:00:00","h":"2025-01-31T12:34:56"}

==== here: a number beyond all calendars is a bad record
-- Arroyo keeps it, and writes an error in the place of a time.
CREATE TABLE input (s TIMESTAMP(0), n TIMESTAMP) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (s TIMESTAMP(0)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT s FROM input;
---- input
{"s": 9223372036854775807}
{"n": 1e300}
---- dead letters
0: column `s`: expected TIMESTAMP
1: column `n`: expected TIMESTAMP
