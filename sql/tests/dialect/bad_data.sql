-- Records that do not fit: arroyo-rpc/src/formats.rs (BadData) and arroyo-formats/src/de.rs.

==== dropped
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', bad_data = 'drop'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input;
---- input
{"n": 1}
{"n": "x"}
no JSON
[1]
{"n": 2}
---- output
{"n":1}
{"n":2}

==== the end
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', bad_data = 'fail'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input;
---- input
{"n": "x"}
---- refused
line 1
column `n`: expected INT
(bad_data = 'fail')

==== a word that neither knows
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', bad_data = 'skip'
);
SELECT n FROM input;
---- refused
'bad_data' is 'dead_letter', 'drop' or 'fail' and cannot be 'skip'

==== here: a dead letter, where nothing is said
-- Arroyo stops at the first bad record then, as with 'fail'; --dead-letters none does that here.
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n FROM input;
---- input
{"n": 1}
not JSON
"text"
{"n": 2}
---- output
{"n":1}
{"n":2}
---- dead letters
1: the value is not JSON
2: expected a JSON object, found the string "text"
