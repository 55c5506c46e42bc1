//! A script as it goes to an Arroyo cluster.
//!
//! Arroyo plans its own SQL, so what only it does (windows, watermarks, joins of streams) is left to it. Found here is what
//! both engines would stumble over, and what a file that runs on this machine has and Arroyo has not.

use std::cell::RefCell;
use std::collections::BTreeSet;

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::environment::substitute;
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

/// The options in which Arroyo's processes replace `{{ NAME }}` themselves. They are secrets, and stay out of what is stored.
const FILLED_BY_ARROYO: [&str; 13] = [
    "auth.jwt",
    "auth.nkey_seed",
    "auth.password",
    "auth.username",
    "catalog.rest.token",
    "headers",
    "key",
    "password",
    "schema_registry.api_key",
    "schema_registry.api_secret",
    "secret",
    "tls.key",
    "username",
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
}

/// Reads `text`, the content of the file `file`, with `{{ NAME }}` taken from `environment`.
///
/// # Errors
/// All that is wrong, with its places: syntax, variables that are not set, and what Arroyo does not have.
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
    };
    SqlErrors::unless_any(reader.errors, prepared)
}

/// Where the lines of a text begin, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(index, _)| index + 1);
        Self(std::iter::once(0).chain(starts).collect())
    }

    /// The byte at which `location` is; the end of the text for a place behind it.
    fn offset(&self, text: &str, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(usize::MAX).saturating_sub(1);
        let column = usize::try_from(location.column).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(&start) = self.0.get(line) else {
            return text.len();
        };
        let line = &text[start..];
        line.char_indices()
            .nth(column)
            .map_or(text.len(), |(index, _)| start + index)
    }
}

/// `text` with the parts at `start..end` replaced, which come in the order of the text.
fn replaced(text: &str, replacements: Vec<(usize, usize, String)>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end, by) in replacements {
        result.push_str(&text[from..start]);
        result.push_str(&by);
        from = end;
    }
    result.push_str(&text[from..]);
    result
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

    /// Both engines read the same grammar, but for what only Arroyo takes.
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
                    self.error(&after, message);
                }
            }
            Err(error) => {
                let (Some(start), Some(end)) = (tokens::start(tokens), tokens::end(tokens)) else {
                    return;
                };
                self.errors.push(syntax_error(self.file, start, end, error));
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

    /// Looks at the options of a table, and replaces variables in them.
    fn options(&mut self, code: &[&TokenWithSpan]) {
        if !(is_word(code[0], "CREATE") && code.iter().take(5).any(|token| is_word(token, "TABLE"))) {
            return;
        }
        let opening = |pair: &[&TokenWithSpan]| is_word(pair[0], "WITH") && pair[1].token == Token::LParen;
        let Some(start) = code.windows(2).position(opening) else {
            return;
        };
        for option in code[start + 2..].windows(3) {
            let (Token::Eq, Token::SingleQuotedString(value)) = (&option[1].token, &option[2].token) else {
                continue;
            };
            let name = match &option[0].token {
                Token::Word(word) => &word.value,
                Token::SingleQuotedString(name) => name,
                _ => continue,
            };
            if name == "connector" && value == "qdrant" {
                let message = "Arroyo has no connector 'qdrant'; write to a Kafka topic here, and let `sightstream run` move \
                               that topic into Qdrant, as sql/pipelines/index_vectors.sql does";
                self.error(option[2], message);
            }
            if value.contains("{{") {
                self.fill(name, option[0], option[2]);
            }
        }
    }

    /// Replaces the variables in the value `value` of the option `name`, or notes them for Arroyo.
    fn fill(&mut self, name: &str, place: &TokenWithSpan, value: &TokenWithSpan) {
        let start = self.lines.offset(self.text, value.span.start);
        let end = self.lines.offset(self.text, value.span.end);
        let written = &self.text[start..end];
        let by_arroyo = FILLED_BY_ARROYO.contains(&name);
        let found = RefCell::new(BTreeSet::new());
        let outcome = substitute(written, &|variable| {
            found.borrow_mut().insert(variable.to_string());
            match by_arroyo {
                true => Some(String::new()),
                // It stands between quotes.
                false => (self.environment)(variable).map(|value| value.replace('\'', "''")),
            }
        });
        match outcome {
            Ok(_) if by_arroyo => self.variables.extend(found.into_inner()),
            Ok(filled) => self.replacements.push((start, end, filled)),
            Err(problems) => {
                for problem in problems {
                    self.error(place, format!("option '{name}': {problem}"));
                }
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
             SET updating_ttl = '1 hour'",
        )
        .expect("Arroyo reads it");
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
