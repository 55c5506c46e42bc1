-- Arithmetic is DataFusion's on both. A row that cannot be computed is a dead letter here; on Arroyo it ends the pipeline.

==== whole numbers stay whole
CREATE TABLE input (a INT, b INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (sum INT, difference INT, product INT, quotient INT, rest INT, negative INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a + b, a - b, a * b, a / b, a % b, -a FROM input;
---- input
{"a": 7, "b": 2}
{"a": -7, "b": 2}
{"a": null, "b": 2}
---- output
{"sum":9,"difference":5,"product":14,"quotient":3,"rest":1,"negative":-7}
{"sum":-5,"difference":-9,"product":-14,"quotient":-3,"rest":-1,"negative":7}
{"sum":null,"difference":null,"product":null,"quotient":null,"rest":null,"negative":null}

==== a division by zero fails, of floats it is infinite and written as null
CREATE TABLE input (n INT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT 12 / n, 12 / d FROM input;
---- input
{"n": 5, "d": 5}
{"n": 0, "d": 1}
{"n": 1, "d": 0}
---- output
{"n":2,"d":2.4}
{"n":12,"d":null}
---- dead letters
1: Divide by zero

==== types that meet
CREATE TABLE input (i INT, l BIGINT, f FLOAT, d DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b TEXT, c TEXT, d TEXT, e DOUBLE, f DOUBLE) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT arrow_typeof(i + l), arrow_typeof(i + f), arrow_typeof(f + d), arrow_typeof(i / 2), i / 2.0, f + d FROM input;
---- input
{"i": 7, "l": 1, "f": 0.5, "d": 0.25}
---- output
{"a":"Int64","b":"Float32","c":"Float64","d":"Int64","e":3.5,"f":0.75}

==== functions of numbers
CREATE TABLE input (x DOUBLE) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, f DOUBLE, g DOUBLE) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT abs(x), ceil(x), floor(x), round(x), sqrt(x * x), power(x, 2), greatest(x, 0) FROM input;
---- input
{"x": -2.5}
---- output
{"a":2.5,"b":-2.0,"c":-3.0,"d":-3.0,"e":2.5,"f":6.25,"g":0.0}
