-- The names of types: arroyo-planner/src/types.rs (convert_data_type). A table of records takes fewer of them:
-- arroyo-rpc/src/api_types/connections.rs (TryFrom<Field> for SourceField).

==== each name that both take
CREATE TABLE input (
  a1 BOOLEAN, a2 BOOL, b1 INT, b2 INTEGER, b3 INT4, c1 BIGINT, c2 INT8, d1 INT UNSIGNED, e1 BIGINT UNSIGNED,
  f1 FLOAT, f2 REAL, f3 FLOAT4, f4 FLOAT(53), g1 DOUBLE, g2 DOUBLE PRECISION, g3 FLOAT8,
  h1 TEXT, h2 VARCHAR, h3 VARCHAR(2), h4 STRING, h5 CHAR(2), i1 BYTEA
) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (types TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT concat_ws(' ', arrow_typeof(a1), arrow_typeof(a2), arrow_typeof(b1), arrow_typeof(b2), arrow_typeof(b3),
  arrow_typeof(c1), arrow_typeof(c2), arrow_typeof(d1), arrow_typeof(e1), arrow_typeof(f1), arrow_typeof(f2),
  arrow_typeof(f3), arrow_typeof(f4), arrow_typeof(g1), arrow_typeof(g2), arrow_typeof(g3), arrow_typeof(h1),
  arrow_typeof(h2), arrow_typeof(h3), arrow_typeof(h4), arrow_typeof(h5), arrow_typeof(i1))
FROM input;
---- input
{}
---- output
{"types":"Boolean Boolean Int32 Int32 Int32 Int64 Int64 UInt32 UInt64 Float32 Float32 Float32 Float32 Float64 Float64 Float64 Utf8 Utf8 Utf8 Utf8 Utf8 Binary"}

==== the length of a text is not kept to
CREATE TABLE input (v VARCHAR(2), c CHAR(2)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (v VARCHAR(2), c CHAR(2)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT v, c FROM input;
---- input
{"v": "abc", "c": "a"}
---- output
{"v":"abc","c":"a"}

==== the digits of a decimal
-- types.rs, make_decimal_type: DECIMAL alone has 38 digits, 10 of them behind the point.
CREATE TABLE input (a DECIMAL, b DECIMAL(10), c DECIMAL(10, 2), d NUMERIC(4, 3)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a DECIMAL, b DECIMAL(10), c DECIMAL(10, 2), d NUMERIC(4, 3)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a, b, c, d FROM input;
---- input
{"a": 1.5, "b": 7, "c": 12.5, "d": "0.125"}
{"a": "123456789012345678.0123456789", "b": "7", "c": -0.01, "d": 1}
---- output
{"a":1.5000000000,"b":7,"c":12.50,"d":0.125}
{"a":123456789012345678.0123456789,"b":7,"c":-0.01,"d":1.000}

==== a decimal of too many digits
CREATE TABLE input (a DECIMAL(39, 2)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
SELECT a FROM input;
---- refused
test.sql:1:
DECIMAL has 1 to 38 digits

==== a precision that no timestamp has
CREATE TABLE input (at TIMESTAMP(4)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
SELECT at FROM input;
---- refused
test.sql:1:
TIMESTAMP(3) for milliseconds

==== a type that neither has
CREATE TABLE input (a MONEY) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
SELECT a FROM input;
---- refused
test.sql:1:
the type MONEY is not known here
FLOAT[]

==== here: a declared length of a list is kept to
-- Arroyo reads FLOAT[2] as FLOAT[]. A vector of another length is of another model, and worth telling.
CREATE TABLE input (v FLOAT[2]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT v FROM input;
---- input
{"v": [1, 2]}
{"v": [1, 2, 3]}
{"v": null}
---- output
{"v":[1.0,2.0]}
{"v":null}
---- dead letters
1: column `v`: expected 2 items, found 3

==== here: types that Arroyo knows in queries only, or not at all
CREATE TABLE input (a TINYINT, b SMALLINT, c DATE, d JSONB, e VARBINARY, f INT[][], g SMALLINT UNSIGNED, h TINYINT UNSIGNED) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TINYINT, b SMALLINT, c DATE, d JSONB, e VARBINARY, f INT[][], g SMALLINT UNSIGNED, h TINYINT UNSIGNED) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a, b, c, d, e, f, g, h FROM input;
---- input
{"a": -128, "b": 32767, "c": "2025-01-31", "d": {"x": 1}, "e": "AAE=", "f": [[1], []], "g": 65535, "h": 255}
{"a": 128}
{"g": -1}
---- output
{"a":-128,"b":32767,"c":"2025-01-31","d":{"x":1},"e":"AAE=","f":[[1],[]],"g":65535,"h":255}
---- dead letters
1: column `a`: expected TINYINT, found the number 128, which is out of its range
2: column `g`: expected SMALLINT UNSIGNED, found the number -1, which is out of its range
