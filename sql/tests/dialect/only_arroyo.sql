-- What only Arroyo takes, and how it is refused here. docs/dialect.md lists it.

==== windows
CREATE TABLE input (id TEXT, n INT, at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT count(*) FROM input GROUP BY tumble(INTERVAL '1 minute');
---- refused
test.sql:5:

==== aggregates
CREATE TABLE input (id TEXT, n INT, at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT id, count(*) FROM input GROUP BY id;
---- refused
test.sql:5:
Arroyo

==== window functions
CREATE TABLE input (id TEXT, n INT, at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT row_number() OVER (PARTITION BY id ORDER BY n) FROM input;
---- refused
test.sql:5:
Arroyo

==== joins of streams
CREATE TABLE input (id TEXT, n INT, at TIMESTAMP) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json',
  'source.offset' = 'earliest'
);
SELECT a.id FROM input a JOIN input b ON a.id = b.id;
---- refused
test.sql:5:
Arroyo

==== watermarks
CREATE TABLE input (at TIMESTAMP NOT NULL, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json'
);
SELECT at FROM input;
---- refused
test.sql:1:44:
WATERMARK FOR is of windows, which only Arroyo has

==== virtual columns
CREATE TABLE input (a INT, b INT GENERATED ALWAYS AS (a + 1)) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json'
);
SELECT b FROM input;
---- refused
test.sql:1:34:
columns GENERATED ALWAYS AS are only Arroyo

==== primary keys
CREATE TABLE input (id INT PRIMARY KEY) WITH (
  connector = 'kafka', bootstrap_servers = 'localhost:1', topic = 'input', type = 'source', format = 'json'
);
SELECT id FROM input;
---- refused
test.sql:1:
PRIMARY KEY is not supported

==== tables in memory
CREATE TABLE kept (id INT);
SELECT id FROM kept;
---- refused
test.sql:1:
the table kept needs WITH

==== tables of a query
CREATE TABLE kept AS SELECT 1 AS one;
SELECT one FROM kept;
---- refused
test.sql:1:
use CREATE VIEW kept AS

==== sinks without columns
CREATE TABLE output WITH (connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json');
INSERT INTO output SELECT 1 AS one;
---- refused
test.sql:1:
the table output needs columns

==== SET of its own
SET updating_ttl = '1 hour';
SELECT 1;
---- refused
test.sql:1:
there is no setting updating_ttl

==== connectors
CREATE TABLE input (n INT) WITH (connector = 'impulse', event_rate = '1');
SELECT n FROM input;
---- refused
test.sql:1:
unknown connector 'impulse'

==== JSON operators
CREATE TABLE input (value JSON) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
SELECT value->'a' FROM input;
---- refused
test.sql:4:
