-- Numbers in records: primitive_array.rs and decimal_array.rs of Arroyo's arrow-json.

==== an integer loses what is behind its point
-- ParseJsonNumber: first as the integer, then as a DOUBLE that is cut off.
CREATE TABLE input (n INT, l BIGINT, u BIGINT UNSIGNED) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, l BIGINT, u BIGINT UNSIGNED) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, l, u FROM input;
---- input
{"n": 7, "l": 9223372036854775807, "u": 18446744073709551615}
{"n": 1.0, "l": 1.9, "u": 0.5}
{"n": -1.9, "l": -9223372036854775808, "u": -0.5}
{"n": 1e3, "l": 1.5e3, "u": 1.8e19}
---- output
{"n":7,"l":9223372036854775807,"u":18446744073709551615}
{"n":1,"l":1,"u":0}
{"n":-1,"l":-9223372036854775808,"u":0}
{"n":1000,"l":1500,"u":18000000000000000000}

==== an integer out of its range is a bad record
CREATE TABLE input (n INT, l BIGINT, u INT UNSIGNED) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input;
---- input
{"n": 2147483647}
{"n": 2147483648}
{"n": -2147483649}
{"l": 9223372036854775808}
{"l": 1e19}
{"u": -1}
{"u": 4294967296}
---- output
{"n":2147483647}
---- dead letters
1: column `n`: expected INT, found the number 2147483648, which is out of its range
2: column `n`: expected INT
3: column `l`: expected BIGINT
4: column `l`: expected BIGINT
5: column `u`: expected INT UNSIGNED
6: column `u`: expected INT UNSIGNED

==== a string may hold a number, an integer without a point
-- arrow_cast's Parser, as primitive_array.rs calls it for strings.
CREATE TABLE input (n INT, d DOUBLE, f FLOAT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, d DOUBLE, f FLOAT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n, d, f FROM input;
---- input
{"n": "12", "d": "1.5", "f": "1e-3"}
{"n": "-12", "d": "-7", "f": ".5"}
{"n": "1.0"}
{"n": "1e3"}
{"n": " 1"}
{"n": ""}
{"d": "one"}
{"f": ""}
---- output
{"n":12,"d":1.5,"f":0.001}
{"n":-12,"d":-7.0,"f":0.5}
---- dead letters
2: column `n`: expected INT, found the string "1.0"
3: column `n`: expected INT
4: column `n`: expected INT
5: column `n`: expected INT
6: column `d`: expected DOUBLE, found the string "one"
7: column `f`: expected FLOAT

==== what is no number is a bad record
CREATE TABLE input (n INT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input;
---- input
{"n": true}
{"n": [1]}
{"n": {}}
{"d": false}
{"n": 0x10}
{"d": NaN}
---- dead letters
0: column `n`: expected INT, found the boolean true
1: column `n`: expected INT, found the array
2: column `n`: expected INT, found the object
3: column `d`: expected DOUBLE, found the boolean false
4: the value is not JSON
5: the value is not JSON

==== floats keep what their type holds
CREATE TABLE input (f FLOAT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (f FLOAT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT f, d FROM input;
---- input
{"f": 0.1, "d": 0.1}
{"f": 16777217, "d": 16777217}
{"f": 1e-50, "d": 1e300}
{"f": -0.0, "d": 5}
---- output
{"f":0.1,"d":0.1}
{"f":16777216.0,"d":16777217.0}
{"f":0.0,"d":1.0e300}
{"f":-0.0,"d":5.0}

==== decimals are cut off behind their last digit
-- decimal_array.rs: parse_decimal.
CREATE TABLE input (c DECIMAL(6, 2)) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (c DECIMAL(6, 2)) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT c FROM input;
---- input
{"c": 12.509}
{"c": "-12.509"}
{"c": 1.25e2}
{"c": 10000}
{"c": "ten"}
{"c": true}
---- output
{"c":12.50}
{"c":-12.50}
{"c":125.00}
---- dead letters
3: column `c`: expected DECIMAL(6, 2)
4: column `c`: expected DECIMAL(6, 2)
5: column `c`: expected DECIMAL(6, 2)

==== here: a float that its type cannot hold is a bad record
-- Arroyo makes 1e39 an infinite FLOAT, takes "NaN" and "inf" in strings, and writes null for all of them: the value is lost
-- without a word.
CREATE TABLE input (f FLOAT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (f FLOAT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT f FROM input;
---- input
{"f": 1e39}
{"d": 1e309}
{"d": "NaN"}
{"f": "-inf"}
---- dead letters
0: column `f`: expected FLOAT, found the number 1e39, which is out of its range
1: column `d`: expected DOUBLE, found the number 1e309
2: column `d`: expected DOUBLE, found the string "NaN"
3: column `f`: expected FLOAT
