//! A script as it goes to an Arroyo cluster.
//!
//! Arroyo plans its own SQL, so what only it does (windows, watermarks, joins of streams) is left to it. Found here is what
//! both engines would stumble over, and what a file that runs on this machine has and Arroyo has not.

mod options;

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use self::options::{Lines, replaced};
use crate::error::{SqlError, SqlErrors};
use crate::parser::syntax_error;
use crate::tokens::{self, DIALECT, Tokens};

/// The functions that the Arroyo plugin has.
const FUNCTIONS: [&str; 2] = ["embed", "segments"];

/// Functions of this engine that neither Arroyo nor its plugin has.
const OWN_FUNCTIONS: [&str; 6] = [
    "cosine_similarity",
    "part_end",
    "part_of",
    "part_page",
    "part_start",
    "vector_bytes",
];

/// A script that Arroyo can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArroyoScript {
    /// The text, with `{{ NAME }}` replaced in the options in which Arroyo does not do so.
    pub text: String,
    /// Which of the plugin's functions it calls, in the order of their names.
    pub functions: BTreeSet<&'static str>,
    /// The variables that are left for Arroyo's processes to replace.
    pub variables: BTreeSet<String>,
    /// What is no syntax to this engine, with its place. Arroyo reads more, and has the last word.
    pub warnings: Vec<String>,
}

/// Reads `text`, the content of the file `file`, with `{{ NAME }}` taken from `environment`.
///
/// # Errors
/// All that is wrong, with its places: variables that are not set, what Arroyo does not have, and beside such errors the syntax
/// too.
pub fn prepare(
    text: &str,
    file: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ArroyoScript, SqlErrors> {
    let Tokens { statements, cut, .. } = Tokens::read(text);
    let mut reader = Reader {
        file,
        text,
        environment,
        lines: Lines::of(text),
        functions: BTreeSet::new(),
        variables: BTreeSet::new(),
        replacements: Vec::new(),
        errors: Vec::new(),
        syntax: Vec::new(),
    };
    let whole = statements.len() - usize::from(cut.is_some());
    for statement in &statements[..whole] {
        let code: Vec<&TokenWithSpan> = tokens::code(statement)
            .into_iter()
            .map(|index| &statement[index])
            .collect();
        if !code.is_empty() {
            reader.statement(statement, &code);
        }
    }
    if let Some((place, message)) = cut {
        reader.errors.push(SqlError::at_place(file, place, message));
    } else if statements.iter().all(|statement| tokens::start(statement).is_none()) {
        reader.errors.push(SqlError::of_file(
            file,
            "there is nothing to deploy: the file holds no statement",
        ));
    }
    let prepared = ArroyoScript {
        text: replaced(text, reader.replacements),
        functions: reader.functions,
        variables: reader.variables,
        warnings: reader.syntax.iter().map(ToString::to_string).collect(),
    };
    if !reader.errors.is_empty() {
        reader.errors.append(&mut reader.syntax);
    }
    SqlErrors::unless_any(reader.errors, prepared)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    environment: &'a dyn Fn(&str) -> Option<String>,
    lines: Lines,
    functions: BTreeSet<&'static str>,
    variables: BTreeSet<String>,
    replacements: Vec<(usize, usize, String)>,
    errors: Vec<SqlError>,
    /// What is wrong with the syntax, as far as this engine can tell.
    syntax: Vec<SqlError>,
}

impl Reader<'_> {
    fn error(&mut self, token: &TokenWithSpan, message: impl Into<String>) {
        let place = token.span.start.into();
        self.errors.push(SqlError::at_place(self.file, place, message));
    }

    /// Reads the statement `tokens`, of which `code` are no white space.
    fn statement(&mut self, tokens: &[TokenWithSpan], code: &[&TokenWithSpan]) {
        if let [set, ours, ..] = code
            && is_word(set, "SET")
            && is_word(ours, "sightstream")
        {
            let message = "Arroyo does not know SET sightstream.…; take it out, and give the setting to Arroyo's workers as \
                           an environment variable, SIGHTSTREAM_… (and to `sightstream run` as a flag)";
            return self.error(set, message);
        }
        self.syntax(tokens);
        self.calls(code);
        self.options(code);
    }

    /// Both engines read nearly the same grammar.
    fn syntax(&mut self, tokens: &[TokenWithSpan]) {
        if tokens::only_arroyo(tokens).is_some() {
            return;
        }
        let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.to_vec());
        match parser.parse_statement() {
            Ok(_) => {
                let after = parser.peek_token();
                if after.token != Token::EOF {
                    let message = format!("expected a ';' before '{}': every statement ends with one", after.token);
                    let place = after.span.start.into();
                    self.syntax.push(SqlError::at_place(self.file, place, message));
                }
            }
            Err(error) => {
                let (Some(start), Some(end)) = (tokens::start(tokens), tokens::end(tokens)) else {
                    return;
                };
                self.syntax.push(syntax_error(self.file, start, end, error));
            }
        }
    }

    /// Notes which functions are called.
    fn calls(&mut self, code: &[&TokenWithSpan]) {
        for (index, pair) in code.windows(2).enumerate() {
            let (Token::Word(word), Token::LParen) = (&pair[0].token, &pair[1].token) else {
                continue;
            };
            // A table of that name, with its columns.
            let names_table = ["INTO", "TABLE", "VIEW"];
            if index > 0 && names_table.iter().any(|before| is_word(code[index - 1], before)) {
                continue;
            }
            let name = match word.quote_style {
                Some(_) => word.value.clone(),
                None => word.value.to_lowercase(),
            };
            if let Some(function) = FUNCTIONS.into_iter().find(|function| *function == name) {
                self.functions.insert(function);
                if function == "embed" && arguments(&code[index + 2..]) == 1 {
                    let message =
                        "on Arroyo, embed takes two arguments; write embed(url, NULL) for the model's own instruction";
                    self.error(pair[0], message);
                }
            } else if OWN_FUNCTIONS.contains(&name.as_str()) {
                let message = format!(
                    "{name} is a function of the one-machine engine, and Arroyo has none; compute it in the file that \
                     `sightstream run` runs behind this one"
                );
                self.error(pair[0], message);
            }
        }
    }
}

/// How many arguments stand in `code`, which begins after the opening parenthesis of a call.
fn arguments(code: &[&TokenWithSpan]) -> usize {
    let (mut depth, mut count) = (0_usize, 1);
    for (index, token) in code.iter().enumerate() {
        match token.token {
            Token::RParen if depth == 0 => return if index == 0 { 0 } else { count },
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => count += 1,
            _ => {}
        }
    }
    count
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    tokens::is_word(&token.token, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "KAFKA" => Some("kafka:9092".to_string()),
            "TOPIC" => Some("it's".to_string()),
            _ => None,
        }
    }

    fn read(text: &str) -> Result<ArroyoScript, Vec<String>> {
        prepare(text, "f.sql", &environment)
            .map_err(|errors| errors.into_iter().map(|error| error.to_string()).collect())
    }

    #[test]
    fn variables_are_filled_where_arroyo_does_not_and_secrets_are_left_to_it() {
        let script = read(
            "-- {{ NOBODY }} ä\nCREATE TABLE m (id TEXT) WITH (connector = 'kafka', bootstrap_servers = '{{ KAFKA }}',\n \
             topic = 'ü {{TOPIC}}', 'auth.password' = '{{ SECRET }}');\nSELECT '{{ KAFKA }}' FROM m;",
        )
        .expect("nothing is wrong with it");
        assert_eq!(
            script.text,
            "-- {{ NOBODY }} ä\nCREATE TABLE m (id TEXT) WITH (connector = 'kafka', bootstrap_servers = 'kafka:9092',\n \
             topic = 'ü it''s', 'auth.password' = '{{ SECRET }}');\nSELECT '{{ KAFKA }}' FROM m;"
        );
        assert_eq!(script.variables, BTreeSet::from(["SECRET".to_string()]));
        assert_eq!(script.functions, BTreeSet::new());
    }

    #[test]
    fn functions_are_told_from_tables_strings_and_comments_of_their_name() {
        let script =
            read("INSERT INTO segments (id) SELECT id FROM m; -- embed(url, '')\nSELECT 'embed(a, b)', embed FROM m;")
                .expect("nothing is wrong with it");
        assert_eq!(script.functions, BTreeSet::new());
        let script = read("SELECT EMBED (f(a, b), 'x'), unnest(string_to_array(segments(url), chr(10))) FROM m")
            .expect("nothing is wrong with it");
        assert_eq!(script.functions, BTreeSet::from(["embed", "segments"]));
    }

    #[test]
    fn what_only_arroyo_does_is_left_to_it() {
        read(
            "CREATE TABLE e (at TIMESTAMP NOT NULL, WATERMARK FOR at AS at - INTERVAL '5 seconds') WITH (connector = 'kafka');
             SELECT count(*) FROM e GROUP BY tumble(INTERVAL '1 minute');
             CREATE TABLE both (id TEXT, at TIMESTAMP GENERATED ALWAYS AS (x) STORED);
             CREATE TABLE ice (id TEXT) WITH (connector = 'iceberg') PARTITIONED BY (bucket(id, 4));
             SET updating_ttl = '1 hour'",
        )
        .map(|script| assert_eq!(script.warnings, Vec::<String>::new()))
        .expect("Arroyo reads it");
    }

    #[test]
    fn syntax_that_only_arroyo_may_know_is_no_error_and_hides_no_function() {
        let script = read("SELECT embed(url, NULL) FROM m EMIT ON WINDOW CLOSE;\nSELEC segments(url);")
            .expect("Arroyo has the last word");
        assert_eq!(script.functions, BTreeSet::from(["embed", "segments"]));
        let [one, two] = script.warnings.as_slice() else {
            panic!("{:?}", script.warnings)
        };
        assert!(
            one.starts_with("f.sql:1:") && two.starts_with("f.sql:2:1:"),
            "{one} {two}"
        );
    }

    #[test]
    fn a_secret_is_left_to_the_connectors_of_arroyo_that_fill_it_in() {
        for (connector, option, left) in [
            ("webhook", "endpoint", true),
            ("sse", "endpoint", false),
            ("nats", "servers", true),
            ("mqtt", "'tls.cert'", true),
            ("confluent", "'schema_registry.api_secret'", true),
            ("redis", "password", true),
            // Arroyo does not replace variables there, so the value has to be in the query.
            ("rabbitmq", "password", false),
            ("kafka", "key", false),
        ] {
            let text =
                format!("CREATE TABLE t (id TEXT) WITH ({option} = '{{{{ KAFKA }}}}', 'connector' = '{connector}');");
            let script = read(&text).expect("nothing is wrong with it");
            assert_eq!(script.text == text, left, "{connector} {option}: {}", script.text);
            assert_eq!(script.variables.contains("KAFKA"), left, "{connector} {option}");
        }
    }

    #[test]
    fn a_variable_that_nobody_would_fill_in_is_an_error() {
        for value in [
            "E'{{ KAFKA }}'",
            "{{ KAFKA }}",
            "\"{{ KAFKA }}\"",
            "$${{ KAFKA }}$$",
            "'a' '{{ KAFKA }}'",
            "concat('{{ KAFKA }}')",
        ] {
            let text = format!("CREATE TABLE t (id TEXT) WITH (connector = 'kafka', topic = {value});");
            let errors = read(&text).expect_err("it would reach Arroyo as it is");
            assert!(errors[0].contains("between single quotes"), "{value}: {errors:?}");
        }
        let behind = "CREATE TABLE t (id TEXT) WITH (connector = 'kafka') AS SELECT E'{{ KAFKA }}'";
        assert_eq!(read(behind).expect("that is no option").text, behind);
    }

    #[test]
    fn what_is_wrong_is_told_at_once_and_with_its_place() {
        let errors = read(
            "SET sightstream.dtype = 'f16';\nCREATE TABLE v (id TEXT) WITH (connector = 'qdrant', url = '{{ URL }}');\n\
             SELECT embed(url), part_of(url) FROM m;\nSELEC 1;\nSELECT 1\nSELECT 2",
        )
        .expect_err("there is much wrong");
        let expected = [
            ("f.sql:1:1:", "SIGHTSTREAM_"),
            ("f.sql:2:44:", "has no connector 'qdrant'"),
            ("f.sql:2:54:", "URL is not set"),
            ("f.sql:3:8:", "two arguments"),
            ("f.sql:3:20:", "part_of"),
            ("f.sql:4:1:", "SELEC"),
            ("f.sql:6:1:", "expected a ';'"),
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (error, (place, message)) in errors.iter().zip(expected) {
            assert!(
                error.starts_with(place) && error.contains(message),
                "{place} {message}: {error}"
            );
        }
    }

    #[test]
    fn a_file_without_statements_and_one_that_is_cut_are_errors() {
        let nothing = read("-- nothing\n;").expect_err("it holds no statement");
        assert!(nothing[0].contains("nothing to deploy"), "{nothing:?}");
        let cut = read("SELECT 1; SELECT 'abc").expect_err("the quote is not closed");
        assert_eq!(cut.len(), 1, "{cut:?}");
    }
}
