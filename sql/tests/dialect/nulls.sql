-- NULL, missing fields, and fields that no column names: struct_array.rs of Arroyo's arrow-json.

==== a field that is not there is NULL, one too many is ignored
CREATE TABLE input (a TEXT, b INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a, b FROM input;
---- input
{}
{"a": null, "b": null}
{"a": "x", "c": {"deep": [1, 2]}, "b": 1}
{"a": "x", "a": "y"}
---- output
{"a":null,"b":null}
{"a":null,"b":null}
{"a":"x","b":1}
{"a":"y","b":null}

==== a NOT NULL column has a value
CREATE TABLE input (a TEXT NOT NULL, b INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a, b FROM input;
---- input
{"a": "x"}
{"a": null}
{"b": 1}
---- output
{"a":"x","b":null}
---- dead letters
1: column `a` is NOT NULL and is null
2: column `a` is NOT NULL and is missing

==== NULL in conditions and functions
CREATE TABLE input (n INT, t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a BOOLEAN, b BOOLEAN, c INT, d INT, e BOOLEAN, f BOOLEAN, g TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT n = 1, n IS NULL, coalesce(n, 7), nullif(n, 1), n IS DISTINCT FROM 1, n > 0 OR t = 'x', nvl(t, 'none') FROM input;
---- input
{"n": 1, "t": "x"}
{"n": null, "t": "x"}
{}
---- output
{"a":true,"b":false,"c":1,"d":null,"e":false,"f":true,"g":"x"}
{"a":null,"b":true,"c":7,"d":null,"e":true,"f":true,"g":"x"}
{"a":null,"b":true,"c":7,"d":null,"e":true,"f":null,"g":"none"}

==== WHERE keeps rows whose condition is true
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input WHERE n > 1;
---- input
{"n": 1}
{"n": 2}
{"n": null}
---- output
{"n":2}

==== a NULL literal has the type of its column
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, t TEXT, v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, NULL AS t, NULL AS v FROM input;
---- input
{"n": 1}
---- output
{"n":1,"t":null,"v":null}
