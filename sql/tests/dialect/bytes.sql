-- BYTEA: arroyo-formats/src/json/encoders.rs (BinaryEncoder, base64 since October 2025, hexadecimal before).

==== bytes are written in base64 with padding
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (b BYTEA, c BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT arrow_cast(t, 'Binary'), decode('00ff10', 'hex') FROM input;
---- input
{"t": "ab"}
{"t": ""}
{"t": null}
---- output
{"b":"YWI=","c":"AP8Q"}
{"b":"","c":"AP8Q"}
{"b":null,"c":"AP8Q"}

==== here: bytes are read, in base64 with padding or without
-- Arroyo reads no BYTEA from JSON: it ends at such a source.
CREATE TABLE input (b BYTEA) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (b BYTEA, hex TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT b, encode(b, 'hex') FROM input;
---- input
{"b": "AP8Q"}
{"b": "YWI="}
{"b": "YWI"}
{"b": ""}
{"b": "not base64!"}
{"b": [1, 2]}
---- output
{"b":"AP8Q","hex":"00ff10"}
{"b":"YWI=","hex":"6162"}
{"b":"YWI=","hex":"6162"}
{"b":"","hex":""}
---- dead letters
4: column `b`: expected BYTEA, found the string "not base64!"
5: column `b`: expected BYTEA, found the array

==== here: hexadecimal by option
CREATE TABLE input (b BYTEA) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.bytes_encoding' = 'hex'
);
CREATE TABLE output (b BYTEA) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json', 'json.bytes_encoding' = 'hex'
);
INSERT INTO output SELECT b FROM input;
---- input
{"b": "00ff10"}
{"b": "00FF10"}
{"b": "0"}
---- output
{"b":"00ff10"}
{"b":"00ff10"}
---- dead letters
2: column `b`: expected BYTEA

==== here: a vector is a list of numbers, or the bytes that embed gives
-- 1.0 and -2.5 are 0000803f and 000020c0 in little-endian bytes, as either engine writes them into a BYTEA column.
CREATE TABLE input (v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT v FROM input;
---- input
{"v": [1.0, -2.5]}
{"v": "AACAPwAAIMA="}
{"v": null}
{"v": "AACAPwAAIA=="}
{"v": "AADAfw=="}
{"v": "0000803f000020c"}
{"v": [1.0, "x"]}
---- output
{"v":[1.0,-2.5]}
{"v":[1.0,-2.5]}
{"v":null}
---- dead letters
3: column `v`: 7 bytes are no whole number of 4-byte floats
4: column `v`: the vector in the bytes holds NaN at position 0
5: column `v`: 
6: column `v[1]`: expected FLOAT, found the string "x"

==== here: a vector in hexadecimal, as Arroyo wrote it until October 2025
CREATE TABLE input (v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.bytes_encoding' = 'hex'
);
CREATE TABLE output (v FLOAT[]) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT v FROM input;
---- input
{"v": "0000803f000020c0"}
{"v": [1.0, -2.5]}
{"v": "AACAPwAAIMA="}
---- output
{"v":[1.0,-2.5]}
{"v":[1.0,-2.5]}
---- dead letters
2: column `v`: expected FLOAT[], found the string
