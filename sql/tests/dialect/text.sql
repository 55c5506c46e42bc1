-- TEXT and BOOLEAN in records (string_array.rs, boolean_array.rs), and functions of texts.

==== a text is a string and nothing else
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (t TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT t FROM input;
---- input
{"t": "a \"b\" \u00e9 \n"}
{"t": ""}
{"t": 17}
{"t": true}
{"t": ["a"]}
{"t": {"a": 1}}
---- output
{"t":"a \"b\" é \n"}
{"t":""}
---- dead letters
2: column `t`: expected TEXT, found the number 17
3: column `t`: expected TEXT, found the boolean true
4: column `t`: expected TEXT, found the array
5: column `t`: expected TEXT, found the object

==== a boolean is true or false and nothing else
CREATE TABLE input (b BOOLEAN) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (b BOOLEAN) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output SELECT b FROM input;
---- input
{"b": true}
{"b": false}
{"b": "true"}
{"b": 1}
---- output
{"b":true}
{"b":false}
---- dead letters
2: column `b`: expected BOOLEAN, found the string "true"
3: column `b`: expected BOOLEAN, found the number 1

==== functions of texts
CREATE TABLE input (t TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (f TEXT, v TEXT) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
CREATE VIEW results AS SELECT make_array(
  concat('upper=', upper(t)), concat('lower=', lower(t)), concat('length=', length(t)),
  concat('substr=', substr(t, 3, 4)), concat('left=', left(t, 2)), concat('right=', right(t, 2)),
  concat('replace=', replace(t, 'a', '-')), concat('strpos=', strpos(t, 'n')), concat('split_part=', split_part(t, ' ', 2)),
  concat('trim=', trim('  x '), '|'), concat('lpad=', lpad('7', 3, '0')), concat('repeat=', repeat('ab', 2)),
  concat('reverse=', reverse(t)), concat('starts_with=', starts_with(t, 'A')), concat('chr=', chr(65)),
  concat('ascii=', ascii('A')), concat('initcap=', initcap('a canal')), concat('md5=', md5('')),
  concat('regexp_replace=', regexp_replace(t, '[aeiou]', '*', 'g')), concat('octet_length=', octet_length('é')),
  concat('concat_ws=', concat_ws(',', 'a', NULL, 'b')), concat('concat=', 'a', NULL, 'b'),
  concat('translate=', translate('abc', 'ab', 'x')), concat('btrim=', btrim('xyx', 'x')), concat('to_hex=', to_hex(255)),
  concat('array=', array_to_string(string_to_array(t, ' '), '/'))
) AS texts FROM input;
INSERT INTO output SELECT split_part(text, '=', 1), split_part(text, '=', 2) FROM (SELECT unnest(texts) AS text FROM results);
---- input
{"t": "A canal"}
---- output
{"f":"upper","v":"A CANAL"}
{"f":"lower","v":"a canal"}
{"f":"length","v":"7"}
{"f":"substr","v":"cana"}
{"f":"left","v":"A "}
{"f":"right","v":"al"}
{"f":"replace","v":"A c-n-l"}
{"f":"strpos","v":"5"}
{"f":"split_part","v":"canal"}
{"f":"trim","v":"x|"}
{"f":"lpad","v":"007"}
{"f":"repeat","v":"abab"}
{"f":"reverse","v":"lanac A"}
{"f":"starts_with","v":"true"}
{"f":"chr","v":"A"}
{"f":"ascii","v":"65"}
{"f":"initcap","v":"A Canal"}
{"f":"md5","v":"d41d8cd98f00b204e9800998ecf8427e"}
{"f":"regexp_replace","v":"A c*n*l"}
{"f":"octet_length","v":"2"}
{"f":"concat_ws","v":"a,b"}
{"f":"concat","v":"ab"}
{"f":"translate","v":"xc"}
{"f":"btrim","v":"y"}
{"f":"to_hex","v":"ff"}
{"f":"array","v":"A/canal"}

==== operators on texts, and what NULL makes of them
CREATE TABLE input (t TEXT, u TEXT) WITH (
  connector = 'single_file', path = '{{ INPUT }}', type = 'source', format = 'json'
);
CREATE TABLE output (a TEXT, b BOOLEAN, c BOOLEAN, d BOOLEAN, e BOOLEAN, f BOOLEAN) WITH (
  connector = 'single_file', path = '{{ OUTPUT }}', type = 'sink', format = 'json'
);
INSERT INTO output
SELECT t || '!' || u, t LIKE 'A%', t ILIKE 'a%', t ~ '^A.*l$', t < u, t IN ('A canal', u) FROM input;
---- input
{"t": "A canal", "u": "B"}
{"t": "a canal"}
---- output
{"a":"A canal!B","b":true,"c":true,"d":true,"e":true,"f":true}
{"a":null,"b":false,"c":true,"d":false,"e":null,"f":null}
