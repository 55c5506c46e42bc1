//! From the text of a script to its statements.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::ast::{
    self, ColumnOption, CreateTable, CreateTableOptions, CreateView, Expr, Ident, Insert, ObjectName, Set, SqlOption,
    TableObject, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use sightstream_connectors::{MetadataColumn, TableDefinition};

use crate::SqlError;
use crate::column_types;
use crate::environment::substitute;
use crate::script::{Script, Setting, Statement, StatementKind};

/// The prefix of our settings.
const SETTING_PREFIX: &str = "sightstream.";

pub(crate) struct ScriptParser<'a> {
    file: &'a str,
    environment: &'a dyn Fn(&str) -> Option<String>,
    parser: Parser<'static>,
    /// `METADATA FROM 'key'`, by the place (line, column) of the column's name before it.
    metadata: BTreeMap<(u64, u64), String>,
}

impl<'a> ScriptParser<'a> {
    pub fn new(text: &str, file: &'a str, environment: &'a dyn Fn(&str) -> Option<String>) -> Result<Self, SqlError> {
        static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};
        let tokens = Tokenizer::new(&DIALECT, text)
            .tokenize_with_location()
            .map_err(|error| SqlError::at(file, error.location.line, error.message))?;
        let (tokens, metadata) = take_out_metadata(tokens);
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        Ok(Self {
            file,
            environment,
            parser,
            metadata,
        })
    }

    pub fn parse(mut self) -> Result<Script, SqlError> {
        let mut statements = Vec::new();
        let mut settings = BTreeMap::new();
        loop {
            while self.parser.consume_token(&Token::SemiColon) {}
            let first = self.parser.peek_token();
            if first.token == Token::EOF {
                break;
            }
            let line = first.span.start.line;
            let statement = self
                .parser
                .parse_statement()
                .map_err(|error| self.syntax(line, error))?;
            let next = self.parser.peek_token();
            if !matches!(next.token, Token::SemiColon | Token::EOF) {
                let message = format!("expected a ';' before '{}': every statement ends with one", next.token);
                return Err(SqlError::at(self.file, next.span.start.line, message));
            }
            if let Some(kind) = self
                .statement(statement, line, &mut settings)
                .map_err(|message| SqlError::at(self.file, line, message))?
            {
                statements.push(Statement { line, kind });
            }
        }
        if !statements
            .iter()
            .any(|statement| matches!(statement.kind, StatementKind::Insert { .. } | StatementKind::Select(_)))
        {
            let message = "there is nothing to run: add an INSERT INTO … SELECT, or a SELECT".to_string();
            return Err(SqlError {
                file: self.file.to_string(),
                line: None,
                message,
                source: None,
            });
        }
        Ok(Script {
            file: self.file.to_string(),
            statements,
            settings,
        })
    }

    fn syntax(&self, line: u64, error: ParserError) -> SqlError {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_string(),
        };
        // sqlparser says the place at the end of the message only.
        match message.rsplit_once(" at Line: ") {
            Some((what, place)) => {
                let line = place
                    .split(',')
                    .next()
                    .and_then(|line| line.parse().ok())
                    .unwrap_or(line);
                SqlError::at(self.file, line, what)
            }
            None => SqlError::at(self.file, line, message),
        }
    }

    fn statement(
        &self,
        statement: ast::Statement,
        line: u64,
        settings: &mut BTreeMap<String, Setting>,
    ) -> Result<Option<StatementKind>, String> {
        match statement {
            ast::Statement::CreateTable(table) => self.table(table).map(|table| Some(StatementKind::Table(table))),
            ast::Statement::CreateView(view) => view_statement(view).map(Some),
            ast::Statement::Insert(insert) => insert_statement(insert).map(Some),
            ast::Statement::Query(query) => Ok(Some(StatementKind::Select(query))),
            ast::Statement::Set(Set::SingleAssignment { variable, values, .. }) => {
                let (name, value) = setting(&variable, &values)?;
                settings.insert(name, Setting { value, line });
                Ok(None)
            }
            other => {
                let text = other.to_string();
                let start: Vec<&str> = text.split_whitespace().take(2).collect();
                Err(format!(
                    "{} is not supported; a file holds CREATE TABLE … WITH, CREATE VIEW, INSERT INTO … SELECT, SELECT and \
                     SET {SETTING_PREFIX}… statements",
                    start.join(" ")
                ))
            }
        }
    }

    fn table(&self, table: CreateTable) -> Result<TableDefinition, String> {
        let name = object_name(&table.name)?;
        if table.query.is_some() {
            return Err(format!(
                "CREATE TABLE {name} AS is not supported; use CREATE VIEW {name} AS"
            ));
        }
        let CreateTableOptions::With(options) = table.table_options else {
            return Err(format!(
                "the table {name} needs WITH (connector = 'kafka', …): where its rows come from or go to"
            ));
        };
        let mut values = BTreeMap::new();
        for option in options {
            let SqlOption::KeyValue { key, value } = option else {
                return Err(format!("options are written key = 'value', not {option}"));
            };
            let value = substitute(&literal(&value)?, self.environment)
                .map_err(|message| format!("table {name}, option '{}': {message}", key.value))?;
            if values.insert(key.value.clone(), value).is_some() {
                return Err(format!("table {name}: the option '{}' stands twice", key.value));
            }
        }
        let mut fields = Vec::with_capacity(table.columns.len());
        let mut metadata_columns = Vec::new();
        for column in table.columns {
            let nullable = !column
                .options
                .iter()
                .any(|option| option.option == ColumnOption::NotNull);
            if let Some(other) = column
                .options
                .iter()
                .find(|option| !matches!(option.option, ColumnOption::NotNull | ColumnOption::Null))
            {
                return Err(format!(
                    "table {name}, column {}: {other} is not supported",
                    column.name.value
                ));
            }
            let column_name = identifier(&column.name);
            let field = column_types::field(&column_name, &column.data_type, nullable)
                .map_err(|message| format!("table {name}, column {column_name}: {message}"))?;
            let place = column.name.span.start;
            if let Some(key) = self.metadata.get(&(place.line, place.column)) {
                metadata_columns.push(MetadataColumn {
                    column: column_name,
                    key: key.clone(),
                });
            }
            fields.push(field);
        }
        if fields.is_empty() {
            return Err(format!(
                "the table {name} needs columns: CREATE TABLE {name} (id TEXT, url TEXT) WITH (…)"
            ));
        }
        Ok(TableDefinition {
            name,
            schema: Arc::new(Schema::new(fields)),
            metadata_columns,
            options: values,
        })
    }
}

fn view_statement(view: CreateView) -> Result<StatementKind, String> {
    let name = object_name(&view.name)?;
    let columns = view.columns.iter().map(|column| identifier(&column.name)).collect();
    Ok(StatementKind::View {
        name,
        columns,
        query: view.query,
    })
}

fn insert_statement(insert: Insert) -> Result<StatementKind, String> {
    let TableObject::TableName(name) = &insert.table else {
        return Err("INSERT INTO needs the name of a table".to_string());
    };
    let table = object_name(name)?;
    let query = insert
        .source
        .ok_or_else(|| format!("INSERT INTO {table} needs a query: INSERT INTO {table} SELECT … FROM …"))?;
    let columns = insert.columns.iter().map(object_name).collect::<Result<_, _>>()?;
    Ok(StatementKind::Insert { table, columns, query })
}

fn setting(variable: &ObjectName, values: &[Expr]) -> Result<(String, String), String> {
    let name = variable.to_string();
    let Some(setting) = name.strip_prefix(SETTING_PREFIX) else {
        return Err(format!(
            "there is no setting {name}; settings start with {SETTING_PREFIX}"
        ));
    };
    match values {
        [value] => Ok((setting.to_string(), literal(value)?)),
        _ => Err(format!("SET {name} takes one value")),
    }
}

/// The text of a literal, without its quotes.
fn literal(value: &Expr) -> Result<String, String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Ok(text.clone()),
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(value) => Ok(value.to_string()),
            other => Err(format!("expected a value in quotes, not {other}")),
        },
        Expr::Identifier(word) => Ok(word.value.clone()),
        other => Err(format!("expected a value in quotes, not {other}")),
    }
}

fn object_name(name: &ObjectName) -> Result<String, String> {
    match name.0.as_slice() {
        [part] => part
            .as_ident()
            .map(identifier)
            .ok_or_else(|| format!("{name} is not a name")),
        _ => Err(format!("{name}: names have one part here; there are no schemas")),
    }
}

/// A name as SQL reads it: in lower case, unless it is quoted.
fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_lowercase()
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Takes Arroyo's `METADATA FROM 'key'` after a column's type out of the tokens, which sqlparser does not know; by the
/// place of the column's name.
fn take_out_metadata(tokens: Vec<TokenWithSpan>) -> (Vec<TokenWithSpan>, BTreeMap<(u64, u64), String>) {
    let code: Vec<usize> = (0..tokens.len())
        .filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_)))
        .collect();
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
