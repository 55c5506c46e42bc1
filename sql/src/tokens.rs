//! The text of a script as tokens, a statement at a time.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::dialect::ScriptDialect;
use crate::error::Place;

/// The dialect that scripts are written in.
pub(crate) static DIALECT: ScriptDialect = ScriptDialect;

/// What statements begin with. Where one of these begins a line, an unfinished statement before it has ended.
const STARTS: [[&str; 2]; 4] = [
    ["CREATE", "TABLE"],
    ["CREATE", "VIEW"],
    ["INSERT", "INTO"],
    ["SET", "sightstream"],
];

/// A script's tokens.
pub(crate) struct Tokens {
    /// The tokens between the semicolons.
    pub statements: Vec<Vec<TokenWithSpan>>,
    /// `METADATA FROM 'key'`, by the place (line, column) of the column's name before it.
    pub metadata: BTreeMap<(u64, u64), String>,
    /// What ends the text early (a quote that is not closed), and where. The last statement is cut short by it.
    pub cut: Option<(Place, String)>,
}

impl Tokens {
    /// Reads `text`.
    pub fn read(text: &str) -> Self {
        let mut tokens = Vec::new();
        let read = Tokenizer::new(&DIALECT, text).tokenize_with_location_into_buf(&mut tokens);
        let (tokens, metadata) = take_out_metadata(tokens);
        let mut statements = vec![Vec::new()];
        for token in tokens {
            if token.token == Token::SemiColon {
                statements.push(Vec::new());
            } else if let Some(statement) = statements.last_mut() {
                statement.push(token);
            }
        }
        Self {
            statements,
            metadata,
            cut: read.err().map(|error| (error.location.into(), error.message)),
        }
    }
}

/// The tokens that are no white space and no comment, by their indices.
pub(crate) fn code(tokens: &[TokenWithSpan]) -> Vec<usize> {
    (0..tokens.len())
        .filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_)))
        .collect()
}

/// Where the first statement of `tokens` begins; `None` if there is none.
pub(crate) fn start(tokens: &[TokenWithSpan]) -> Option<Place> {
    code(tokens).first().map(|&first| tokens[first].span.start.into())
}

/// Where the last token of `tokens` is.
pub(crate) fn end(tokens: &[TokenWithSpan]) -> Option<Place> {
    code(tokens).last().map(|&last| tokens[last].span.start.into())
}

/// Where names in single quotes stand before an `=`: sqlparser keeps no place of them.
pub(crate) fn quoted_names(tokens: &[TokenWithSpan]) -> BTreeMap<String, Place> {
    let code = code(tokens);
    let mut places = BTreeMap::new();
    for pair in code.windows(2) {
        if let (Token::SingleQuotedString(name), Token::Eq) = (&tokens[pair[0]].token, &tokens[pair[1]].token) {
            places.entry(name.clone()).or_insert(tokens[pair[0]].span.start.into());
        }
    }
    places
}

/// The name of the table or view that `tokens` define, however wrong the rest of the definition may be.
pub(crate) fn defined_name(tokens: &[TokenWithSpan]) -> Option<String> {
    let words: Vec<&TokenWithSpan> = code(tokens).into_iter().map(|index| &tokens[index]).collect();
    let first = words.first()?;
    if !is_word(&first.token, "CREATE") {
        return None;
    }
    let ignored = ["OR", "REPLACE", "TABLE", "VIEW", "IF", "NOT", "EXISTS"];
    words[1..]
        .iter()
        .find(|token| !ignored.iter().any(|word| is_word(&token.token, word)))
        .and_then(|token| match &token.token {
            Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        })
}

/// The index of the token with which the next statement begins, where a semicolon was forgotten.
pub(crate) fn next_start(tokens: &[TokenWithSpan]) -> Option<usize> {
    let code = code(tokens);
    code.windows(3).find_map(|window| {
        let [before, first, second] = [window[0], window[1], window[2]].map(|index| &tokens[index]);
        let begins_line = first.span.start.line > before.span.end.line;
        let known = STARTS
            .iter()
            .any(|[one, two]| is_word(&first.token, one) && is_word(&second.token, two));
        (begins_line && known).then_some(window[1])
    })
}

/// Whether `token` is `word`, in whatever case and without quotes.
pub(crate) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// The first words of `tokens` that only Arroyo takes: where they stand, and a sentence about them.
pub(crate) fn only_arroyo(tokens: &[TokenWithSpan]) -> Option<(Place, &'static str)> {
    let code = code(tokens);
    code.windows(2).find_map(|window| {
        let [first, second] = [window[0], window[1]].map(|index| &tokens[index]);
        let are = |one, two| is_word(&first.token, one) && is_word(&second.token, two);
        let sentence = if are("WATERMARK", "FOR") {
            "WATERMARK FOR is of windows, which only Arroyo has; take it out, or run the query on Arroyo"
        } else if are("GENERATED", "ALWAYS") {
            "columns GENERATED ALWAYS AS are only Arroyo's; compute them in a view: CREATE VIEW name AS SELECT …"
        } else if are("PARTITIONED", "BY") {
            "PARTITIONED BY is of tables that only Arroyo writes; take it out, or run the query on Arroyo"
        } else {
            return None;
        };
        Some((first.span.start.into(), sentence))
    })
}

/// Takes Arroyo's `METADATA FROM 'key'` after a column's type out of the tokens, which sqlparser does not know; by the
/// place of the column's name.
fn take_out_metadata(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, BTreeMap<(u64, u64), String>) {
    let code = code(&tokens);
    let mut found = BTreeMap::new();
    let mut dropped = vec![false; tokens.len()];
    for window in code.windows(3) {
        let [word, from, key] = [window[0], window[1], window[2]];
        let (true, true, Token::SingleQuotedString(key_name)) = (
            is_word(&tokens[word].token, "METADATA"),
            is_word(&tokens[from].token, "FROM"),
            &tokens[key].token,
        ) else {
            continue;
        };
        let start = column_start(&tokens, &code, word);
        let place = tokens[code[start]].span.start;
        found.insert((place.line, place.column), key_name.clone());
        for index in [word, from, key] {
            dropped[index] = true;
        }
    }
    let kept = tokens
        .into_iter()
        .zip(dropped)
        .filter_map(|(token, dropped)| (!dropped).then_some(token))
        .collect();
    (kept, found)
}

/// The index in `code` at which the definition of the column starts that holds the token `word`: after the comma or the
/// parenthesis before it, those of a type such as `TIMESTAMP(3)` aside.
fn column_start(tokens: &[TokenWithSpan], code: &[usize], word: usize) -> usize {
    let mut depth = 0;
    for (place, &index) in code.iter().enumerate().rev().skip_while(|&(_, &index)| index >= word) {
        match tokens[index].token {
            Token::RParen => depth += 1,
            Token::LParen if depth > 0 => depth -= 1,
            Token::LParen => return place + 1,
            Token::Comma if depth == 0 => return place + 1,
            _ => {}
        }
    }
    0
}
