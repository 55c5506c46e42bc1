-- Names of columns: arroyo-planner/src/tables.rs (schema_from_columns) keeps them as they are written; a query that says one
-- without quotes means it in lower case, as in DataFusion.

==== a column has the name that is written, and so has the record's field
CREATE TABLE input (imageUrl TEXT, "Title" TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (imageUrl TEXT, title TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT "imageUrl", "Title" FROM input;
---- input
{"imageUrl": "u", "Title": "t", "imageurl": "other", "title": "other"}
---- output
{"imageUrl":"u","title":"t"}

==== without quotes a query means lower case
CREATE TABLE input (imageUrl TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (url TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT imageUrl FROM input;
---- refused
test.sql:7:
imageurl
imageUrl

==== words that SQL uses may be names, in quotes
CREATE TABLE input ("select" TEXT, "a b" TEXT, "from" INT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output ("select" TEXT, "a b" TEXT, "from" INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT "select", "a b", "from" FROM input;
---- input
{"select": "s", "a b": "x", "from": 1}
---- output
{"select":"s","a b":"x","from":1}

==== columns are matched by position
-- DataFusion's INSERT, as Arroyo plans it.
CREATE TABLE input (a TEXT, b TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (b TEXT, a TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT a, b FROM input;
---- input
{"a": "1", "b": "2"}
---- output
{"b":"1","a":"2"}

==== those that INSERT names, the others are NULL
CREATE TABLE input (a TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b TEXT, c INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output (b) SELECT a FROM input;
---- input
{"a": "1"}
---- output
{"a":null,"b":"1","c":null}
