-- Lists, objects and JSON: list_array.rs, struct_array.rs and json_array.rs of Arroyo's arrow-json.

==== lists
CREATE TABLE input (tags TEXT[], n INT[], d ARRAY<DOUBLE>) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (tags TEXT[], n INT[], d DOUBLE[], first TEXT, last INT, size BIGINT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT tags, n, d, tags[1], n[-1], array_length(n) FROM input;
---- input
{"tags": ["a", null, "b"], "n": [1, 2.9, "3"], "d": [1, 1e3]}
{"tags": [], "n": null}
{"tags": "a"}
{"n": [1, "x"]}
{"n": [99999999999]}
{"d": [true]}
---- output
{"tags":["a",null,"b"],"n":[1,2,3],"d":[1.0,1000.0],"first":"a","last":3,"size":3}
{"tags":[],"n":null,"d":null,"first":null,"last":null,"size":null}
---- dead letters
2: column `tags`: expected TEXT[], found the string "a"
3: column `n[1]`: expected INT, found the string "x"
4: column `n[0]`: expected INT, found the number 99999999999, which is out of its range
5: column `d[0]`: expected DOUBLE, found the boolean true

==== objects
CREATE TABLE input (id TEXT, box STRUCT<width INT, height INT, name TEXT, corners STRUCT<x INT, y INT>[]>) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (id TEXT, width INT, name TEXT, corners STRUCT<x INT, y INT>[], box STRUCT<width INT, height INT, name TEXT, corners STRUCT<x INT, y INT>[]>) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT id, box['width'], box['name'], box['corners'], box FROM input;
---- input
{"id": "a", "box": {"width": 4, "height": 3, "name": "n", "corners": [{"x": 1, "y": 2}, {"x": 3}], "unknown": [1]}}
{"id": "b", "box": {"width": 4}}
{"id": "c", "box": {}}
{"id": "d", "box": null}
{"id": "e"}
{"id": "f", "box": [4, 3]}
{"id": "g", "box": {"width": "wide"}}
{"id": "h", "box": {"corners": [{"x": []}]}}
---- output
{"id":"a","width":4,"name":"n","corners":[{"x":1,"y":2},{"x":3,"y":null}],"box":{"width":4,"height":3,"name":"n","corners":[{"x":1,"y":2},{"x":3,"y":null}]}}
{"id":"b","width":4,"name":null,"corners":null,"box":{"width":4,"height":null,"name":null,"corners":null}}
{"id":"c","width":null,"name":null,"corners":null,"box":{"width":null,"height":null,"name":null,"corners":null}}
{"id":"d","width":null,"name":null,"corners":null,"box":null}
{"id":"e","width":null,"name":null,"corners":null,"box":null}
---- dead letters
5: column `box`: expected STRUCT, found the array
6: column `box.width`: expected INT, found the string "wide"
7: column `box.corners[0].x`: expected INT, found the array []

==== JSON columns hold any value, without the white space
-- json_array.rs writes the value anew, compact; a null is NULL.
CREATE TABLE input (j JSON) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (j JSON, t TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT j, j AS t FROM input;
---- input
{"j": {"a": [1, 2.50, {"b": null}], "c d": "e f"}}
{"j": "text"}
{"j": 17}
{"j": false}
{"j": null}
{}
---- output
{"j":{"a":[1,2.50,{"b":null}],"c d":"e f"},"t":"{\"a\":[1,2.50,{\"b\":null}],\"c d\":\"e f\"}"}
{"j":"text","t":"\"text\""}
{"j":17,"t":"17"}
{"j":false,"t":"false"}
{"j":null,"t":null}
{"j":null,"t":null}

==== lists of JSON
-- types.rs keeps the mark of JSON on the items of a list, for reading; arrow-json's ListEncoder does not look for it, so
-- they are written as texts.
CREATE TABLE input (j JSON[]) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (j JSON[], one TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT j, j[1] FROM input;
---- input
{"j": [{"a": 1}, "b", 3, null]}
---- output
{"j":["{\"a\":1}","\"b\"","3",null],"one":"{\"a\":1}"}

==== JSON within an object is a text
-- types.rs drops the mark of JSON on the fields of a STRUCT.
CREATE TABLE input (s STRUCT<j JSON>) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (j TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT s['j'] FROM input;
---- input
{"s": {"j": "{}"}}
{"s": {"j": {}}}
---- output
{"j":"{}"}
---- dead letters
1: column `s.j`: expected TEXT, found the object

==== a text becomes JSON in a JSON column
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (j JSON) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT concat('{"made": "', t, '"}') FROM input;
---- input
{"t": "here"}
---- output
{"j":{"made": "here"}}

==== a record as a whole
-- json.unstructured: arroyo-rpc/src/api_types/connections.rs (validate) asks for one column `value` of type JSON.
CREATE TABLE input (value JSON) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.unstructured' = 'true'
);
CREATE TABLE output (value JSON, size INT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT value, character_length(value) FROM input;
---- input
{"any": ["thing"]}
[1,2]
---- output
{"value":{"any": ["thing"]},"size":18}
{"value":[1,2],"size":5}

==== an unstructured table of more than one column
CREATE TABLE input (value JSON, other TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json', 'json.unstructured' = 'true'
);
SELECT value FROM input;
---- refused
one column `value` of type JSON
