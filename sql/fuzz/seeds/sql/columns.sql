CREATE TABLE a (x TINYINT, y SMALLINT, z INT UNSIGNED, w REAL, v BOOLEAN, u DATE, t VARCHAR(3)) WITH (connector = 'single_file', path = '/tmp/{{ HOST }}.jsonl', format = 'json');
CREATE TABLE b (p DOUBLE, q TEXT) WITH (connector = 'stdout');
INSERT INTO b (q) SELECT t FROM a;
INSERT INTO b SELECT x + y, NULL FROM a WHERE v AND z BETWEEN 1 AND 2;