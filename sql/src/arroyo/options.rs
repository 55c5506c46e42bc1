//! The options of tables, and the variables in them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::{Reader, is_word};
use crate::environment::substitute;

/// The options in which Arroyo's processes replace `{{ NAME }}` themselves, by their connectors. They are secrets, and stay out
/// of what is stored.
const FILLED_BY_ARROYO: [(&str, &[&str]); 10] = [
    (
        "confluent",
        &["key", "secret", "schema_registry.api_key", "schema_registry.api_secret"],
    ),
    ("iceberg", &["catalog.rest.token"]),
    (
        "kafka",
        &[
            "auth.username",
            "auth.password",
            "schema_registry.api_key",
            "schema_registry.api_secret",
        ],
    ),
    ("mqtt", &["username", "password", "tls.ca", "tls.cert", "tls.key"]),
    (
        "nats",
        &[
            "servers",
            "auth.username",
            "auth.password",
            "auth.jwt",
            "auth.nkey_seed",
        ],
    ),
    ("polling_http", &["headers"]),
    ("redis", &["username", "password"]),
    ("sse", &["headers"]),
    ("webhook", &["endpoint", "headers"]),
    ("websocket", &["headers"]),
];

fn is_filled_by_arroyo(connector: &str, option: &str) -> bool {
    let of_connector = FILLED_BY_ARROYO.iter().find(|(name, _)| *name == connector);
    of_connector.is_some_and(|(_, options)| options.contains(&option))
}

/// `name = 'value'`.
struct Setting<'a> {
    name: &'a str,
    value: &'a str,
    /// The name, and the value.
    tokens: [&'a TokenWithSpan; 2],
}

impl<'a> Setting<'a> {
    /// The one that `tokens` are.
    fn of(tokens: &[&'a TokenWithSpan]) -> Option<Self> {
        let [name, equals, value] = *tokens else { return None };
        match (&name.token, &equals.token, &value.token) {
            (Token::Word(word), Token::Eq, Token::SingleQuotedString(text)) => Some((&word.value, text)),
            (Token::SingleQuotedString(word), Token::Eq, Token::SingleQuotedString(text)) => Some((word, text)),
            _ => None,
        }
        .map(|(word, text)| Self {
            name: word,
            value: text,
            tokens: [name, value],
        })
    }
}

impl Reader<'_> {
    /// Looks at the options of a table, and replaces variables in them.
    pub(super) fn options(&mut self, code: &[&TokenWithSpan]) {
        if !(is_word(code[0], "CREATE") && code.iter().take(5).any(|token| is_word(token, "TABLE"))) {
            return;
        }
        let opening = |pair: &[&TokenWithSpan]| is_word(pair[0], "WITH") && pair[1].token == Token::LParen;
        let Some(start) = code.windows(2).position(opening) else {
            return;
        };
        let options = inside(&code[start + 2..]);
        let mut settings = Vec::new();
        let mut index = 0;
        while let Some(token) = options.get(index) {
            let ends = |token: Option<&&TokenWithSpan>| token.is_none_or(|token| token.token == Token::Comma);
            let setting = options.get(index..index + 3).and_then(Setting::of);
            match setting.filter(|_| ends(options.get(index + 3))) {
                Some(setting) => {
                    settings.push(setting);
                    index += 3;
                }
                None => {
                    // In this form nobody replaces it: neither this nor Arroyo.
                    if token.token == Token::LBrace || token.token.to_string().contains("{{") {
                        self.error(
                            token,
                            "a variable is replaced in values between single quotes only; write option = '{{ NAME }}'",
                        );
                        // Its second brace is no second error.
                        index += 1;
                    }
                    index += 1;
                }
            }
        }
        let connector = settings.iter().find(|setting| setting.name == "connector");
        let connector = connector.map_or("", |setting| setting.value);
        for Setting { name, value, tokens } in settings {
            if name == "connector" && value == "qdrant" {
                let message = "Arroyo has no connector 'qdrant'; write to a Kafka topic here, and let `sightstream run` move \
                               that topic into Qdrant, as sql/pipelines/index_vectors.sql does";
                self.error(tokens[1], message);
            }
            if value.contains("{{") {
                self.fill(name, is_filled_by_arroyo(connector, name), tokens[0], tokens[1]);
            }
        }
    }

    /// Replaces the variables in the value `value` of the option `name`, or notes them for Arroyo, which replaces them
    /// itself if `by_arroyo`.
    fn fill(&mut self, name: &str, by_arroyo: bool, place: &TokenWithSpan, value: &TokenWithSpan) {
        let start = self.lines.offset(self.text, value.span.start);
        let end = self.lines.offset(self.text, value.span.end);
        let written = &self.text[start..end];
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

/// The tokens of `code` before the parenthesis that closes what was opened before them.
fn inside<'a, 'b>(code: &'a [&'b TokenWithSpan]) -> &'a [&'b TokenWithSpan] {
    let mut depth = 0_usize;
    for (index, token) in code.iter().enumerate() {
        match token.token {
            Token::RParen if depth == 0 => return &code[..index],
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
    }
    code
}

/// Where the lines of a text begin, in bytes.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn of(text: &str) -> Self {
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
pub(super) fn replaced(text: &str, replacements: Vec<(usize, usize, String)>) -> String {
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
