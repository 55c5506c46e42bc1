CREATE TABLE d (m DECIMAL(10, 2), at TIMESTAMP(3), s STRUCT<x INT, y STRUCT<z TEXT>[]>, v FLOAT[3], j JSON[], "aB" BIGINT UNSIGNED) WITH (connector = 'single_file', path = '/tmp/d.jsonl', format = 'json');
INSERT INTO b SELECT m, s['x'] FROM d;
