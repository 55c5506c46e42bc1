-- unnest: arroyo-planner/src/rewriters.rs (UnnestRewriter), with DataFusion's default options.

==== a row for each item; a NULL list has one, an empty list none
CREATE TABLE input (id TEXT, tags TEXT[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, tag TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, unnest(tags) FROM input;
---- input
{"id": "a", "tags": ["x", "y"]}
{"id": "b", "tags": []}
{"id": "c", "tags": null}
{"id": "d", "tags": [null, "z"]}
---- output
{"id":"a","tag":"x"}
{"id":"a","tag":"y"}
{"id":"c","tag":null}
{"id":"d","tag":null}
{"id":"d","tag":"z"}

==== in a view, with expressions around it
CREATE TABLE input (id TEXT, n INT[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, n INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW items AS SELECT id, unnest(n) AS item FROM input;
INSERT INTO output SELECT concat(id, item), item * 10 FROM items WHERE item > 1;
---- input
{"id": "a", "n": [1, 2, 3]}
---- output
{"id":"a2","n":20}
{"id":"a3","n":30}

==== lines of a text
CREATE TABLE input (id TEXT, lines TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, line TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, unnest(string_to_array(lines, chr(10))) FROM input;
---- input
{"id": "a", "lines": "one\ntwo"}
{"id": "b", "lines": "one"}
{"id": "c", "lines": null}
---- output
{"id":"a","line":"one"}
{"id":"a","line":"two"}
{"id":"b","line":"one"}
{"id":"c","line":null}

==== lists of objects
CREATE TABLE input (id TEXT, boxes STRUCT<w INT>[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, w INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW items AS SELECT id, unnest(boxes) AS box FROM input;
INSERT INTO output SELECT id, box['w'] FROM items;
---- input
{"id": "a", "boxes": [{"w": 1}, {"w": 2}]}
---- output
{"id":"a","w":1}
{"id":"a","w":2}
