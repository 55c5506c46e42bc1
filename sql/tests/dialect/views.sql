-- CREATE VIEW: arroyo-planner/src/tables.rs (try_from_statement), names in arroyo-planner/src/lib.rs (UniCase).

==== views of views, with names of their own
CREATE TABLE input (id TEXT, n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW big AS SELECT id, n FROM input WHERE n > 1;
CREATE VIEW doubled AS SELECT id AS name, n * 2 AS twice FROM big;
INSERT INTO output SELECT name, twice FROM doubled WHERE twice < 10;
---- input
{"id": "a", "n": 1}
{"id": "b", "n": 2}
{"id": "c", "n": 5}
---- output
{"id":"b","n":4}

==== names of tables and views are the same in capitals
CREATE TABLE input (id TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW Names AS SELECT id FROM Input;
INSERT INTO OUTPUT SELECT id FROM NAMES;
---- input
{"id": "a"}
---- output
{"id":"a"}

==== one view in two statements
CREATE TABLE input (id TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW ids AS SELECT id FROM input;
INSERT INTO output SELECT concat(id, '1') FROM ids UNION ALL SELECT concat(id, '2') FROM ids WHERE id = 'b';
---- input
{"id": "a"}
{"id": "b"}
---- output
{"id":"a1"}
{"id":"b1"}
{"id":"b2"}

==== subqueries and WITH
CREATE TABLE input (id TEXT, n INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
WITH odd AS (SELECT id, n FROM input WHERE n % 2 = 1)
SELECT o.id, o.more FROM (SELECT id, n + 1 AS more FROM odd) AS o;
---- input
{"id": "a", "n": 1}
{"id": "b", "n": 2}
---- output
{"id":"a","n":2}
