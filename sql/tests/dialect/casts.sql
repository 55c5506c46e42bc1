-- CAST, and the casts to a sink's columns: DataFusion's INSERT on both (arroyo-sql-testing: cast_to_sink_type).

==== values take the type of the sink's columns
CREATE TABLE input (n BIGINT, t TEXT, d DOUBLE, b BOOLEAN, at TIMESTAMP) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n TEXT, t INT, d INT, b TEXT, at TEXT, f FLOAT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, t, d, b, at, n AS f FROM input;
---- input
{"n": 155, "t": "12", "d": 1.9, "b": true, "at": "2025-01-31T12:00:00.5Z"}
{}
---- output
{"n":"155","t":12,"d":1,"b":"true","at":"2025-01-31T12:00:00.500","f":155.0}
{"n":null,"t":null,"d":null,"b":null,"at":null,"f":null}

==== a value that cannot be cast fails
-- Here its row is a dead letter, on Arroyo the pipeline ends. TRY_CAST gives NULL on both.
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, m INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT CAST(t AS INT) AS n, TRY_CAST(t AS INT) AS m FROM input;
---- input
{"t": "1"}
{"t": "one"}
---- output
{"n":1,"m":1}
---- dead letters
1: Cannot cast string 'one' to value of Int32 type

==== TRY_CAST gives NULL
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT TRY_CAST(t AS INT) FROM input;
---- input
{"t": "one"}
---- output
{"n":null}

==== casts by name and by ::
CREATE TABLE input (t TEXT, n INT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a BIGINT, b TEXT, c INT, d DOUBLE, e BOOLEAN, f TIMESTAMP, g FLOAT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT t::BIGINT, n::TEXT AS b, d::INT, n::DOUBLE AS d, CAST(n AS BOOLEAN) AS e, CAST('2025-01-31T12:00:00Z' AS TIMESTAMP), CAST('0.5' AS FLOAT)
FROM input;
---- input
{"t": "7", "n": 3, "d": -2.9}
---- output
{"a":7,"b":"3","c":-2,"d":3.0,"e":true,"f":"2025-01-31T12:00:00","g":0.5}

==== a query of another number of columns
CREATE TABLE input (a TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a FROM input;
---- refused
test.sql:7:
needs 2 columns
