-- CASE and its kin.

==== CASE in both forms
CREATE TABLE input (n INT, kind TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b TEXT, c INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT CASE WHEN n > 10 THEN 'large' WHEN n > 1 THEN 'some' ELSE 'few' END,
       CASE kind WHEN 'image' THEN 'I' WHEN 'video' THEN 'V' END,
       CASE WHEN n = 0 THEN 0 ELSE 12 / n END
FROM input;
---- input
{"n": 20, "kind": "image"}
{"n": 2, "kind": "video"}
{"n": 0, "kind": "text"}
{}
---- output
{"a":"large","b":"I","c":0}
{"a":"some","b":"V","c":6}
{"a":"few","b":null,"c":0}
{"a":"few","b":null,"c":null}

==== BETWEEN, IN, AND, OR, NOT
CREATE TABLE input (n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a BOOLEAN, b BOOLEAN, c BOOLEAN, d BOOLEAN) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT n BETWEEN 1 AND 3, n NOT IN (1, 2), NOT n = 1, n = 1 AND n IS NOT NULL FROM input;
---- input
{"n": 1}
{"n": 4}
{}
---- output
{"a":true,"b":false,"c":false,"d":true}
{"a":false,"b":true,"c":true,"d":false}
{"a":null,"b":null,"c":null,"d":false}
