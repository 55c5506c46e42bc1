//! From the text of a script to its statements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::sql::sqlparser::ast::{
    self, ColumnDef, ColumnOption, CreateTable, CreateTableOptions, CreateView, Expr, Ident, Insert, ObjectName, Set,
    SqlOption, TableObject, Value,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use sightstream_connectors::{MetadataColumn, TableDefinition};

use crate::column_types;
use crate::environment::substitute;
use crate::error::{Place, SqlError};
use crate::script::{Script, Setting, Statement, StatementKind, Table};
use crate::tokens::{self, DIALECT, Tokens};

/// The prefix of our settings.
const SETTING_PREFIX: &str = "sightstream.";

/// The options of a table as written: see [`Table`].
#[derive(Default)]
struct WrittenOptions {
    values: BTreeMap<String, String>,
    places: BTreeMap<String, Place>,
    unresolved: BTreeSet<String>,
}

/// Reads one script, and keeps all that is wrong with it.
pub(crate) struct ScriptParser<'a> {
    file: &'a str,
    environment: &'a dyn Fn(&str) -> Option<String>,
    metadata: BTreeMap<(u64, u64), String>,
    /// Where names in quotes stand in the statement that is being read.
    quoted: BTreeMap<String, Place>,
    statements: Vec<Statement>,
    settings: BTreeMap<String, Setting>,
    broken: BTreeSet<String>,
    errors: Vec<SqlError>,
}

impl<'a> ScriptParser<'a> {
    pub fn new(file: &'a str, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            file,
            environment,
            metadata: BTreeMap::new(),
            quoted: BTreeMap::new(),
            statements: Vec::new(),
            settings: BTreeMap::new(),
            broken: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// What can be read of `text`, and all that is wrong with it.
    pub fn parse(mut self, text: &str) -> (Script, Vec<SqlError>) {
        let Tokens {
            mut statements,
            metadata,
            cut,
        } = Tokens::read(text);
        self.metadata = metadata;
        if let Some((place, message)) = cut {
            let message = format!("{message}; what follows is not read");
            self.errors.push(SqlError::at_place(self.file, place, message));
            // What is wrong with the statement that the error is in follows from it.
            let cut_short = statements.pop().unwrap_or_default();
            self.broken.extend(tokens::defined_name(&cut_short));
        }
        for statement in statements {
            self.statements_in(statement);
        }
        let runs = |kind: &StatementKind| matches!(kind, StatementKind::Insert { .. } | StatementKind::Select(_));
        if self.errors.is_empty() && !self.statements.iter().any(|statement| runs(&statement.kind)) {
            let message = "there is nothing to run: add an INSERT INTO … SELECT, or a SELECT";
            self.errors.push(SqlError::of_file(self.file, message));
        }
        let script = Script {
            file: self.file.to_string(),
            statements: self.statements,
            settings: self.settings,
            broken: self.broken,
        };
        (script, self.errors)
    }

    /// Reads what stands between two semicolons: one statement, or several where a semicolon was forgotten.
    fn statements_in(&mut self, mut tokens: Vec<TokenWithSpan>) {
        while let Some(start) = tokens::start(&tokens) {
            let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.clone());
            let parsed = parser.parse_statement();
            let after = parser.peek_token();
            self.quoted = tokens::quoted_names(&tokens);
            match parsed {
                Ok(statement) => {
                    self.statement(statement, start.line);
                    if after.token == Token::EOF {
                        return;
                    }
                    let message = format!("expected a ';' before '{}': every statement ends with one", after.token);
                    self.errors
                        .push(SqlError::at_place(self.file, after.span.start.into(), message));
                }
                Err(error) => {
                    let end = tokens::end(&tokens).unwrap_or(start);
                    self.errors.push(match tokens::only_arroyo(&tokens) {
                        Some((place, message)) => SqlError::at_place(self.file, place, message),
                        None => syntax_error(self.file, start, end, error),
                    });
                    self.broken.extend(tokens::defined_name(&tokens));
                }
            }
            // Go on with the next statement, if one begins before the semicolon.
            match tokens::next_start(&tokens) {
                Some(next) => drop(tokens.drain(..next)),
                None => return,
            }
        }
    }

    /// Takes a statement that begins on `line`.
    fn statement(&mut self, statement: ast::Statement, line: u64) {
        let kind = match statement {
            ast::Statement::CreateTable(table) => self.table(table, line).map(|table| table.map(StatementKind::Table)),
            ast::Statement::CreateView(view) => view_statement(view).map(Some),
            ast::Statement::Insert(insert) => insert_statement(insert).map(Some),
            ast::Statement::Query(query) => Ok(Some(StatementKind::Select(query))),
            ast::Statement::Set(Set::SingleAssignment { variable, values, .. }) => {
                setting(&variable, &values).map(|(name, value)| {
                    self.settings.insert(name, Setting { value, line });
                    None
                })
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
        };
        match kind {
            Ok(Some(kind)) => self.statements.push(Statement { line, kind }),
            Ok(None) => {}
            Err(message) => self.errors.push(SqlError::at(self.file, line, message)),
        }
    }

    /// The table; `None` if its columns are not known, which has been noted then.
    fn table(&mut self, table: CreateTable, line: u64) -> Result<Option<Table>, String> {
        let name = object_name(&table.name)?;
        let broken = |this: &mut Self, message| {
            this.broken.insert(name.clone());
            Err(message)
        };
        if table.query.is_some() {
            return broken(
                self,
                format!("CREATE TABLE {name} AS is not supported; use CREATE VIEW {name} AS"),
            );
        }
        let CreateTableOptions::With(options) = table.table_options else {
            return broken(
                self,
                format!("the table {name} needs WITH (connector = 'kafka', …): where its rows come from or go to"),
            );
        };
        let options = self.options(&name, options, line);
        if table.columns.is_empty() {
            return broken(
                self,
                format!("the table {name} needs columns: CREATE TABLE {name} (id TEXT, url TEXT) WITH (…)"),
            );
        }
        let count = table.columns.len();
        let (mut fields, mut metadata_columns) = (Vec::with_capacity(count), Vec::new());
        for column in table.columns {
            let place = column.name.span.start;
            if let Some(key) = self.metadata.get(&(place.line, place.column)) {
                metadata_columns.push(MetadataColumn {
                    column: column.name.value.clone(),
                    key: key.clone(),
                });
            }
            match column_field(&name, column) {
                Ok(field) => fields.push(field),
                Err(message) => self.errors.push(SqlError::at_place(self.file, place.into(), message)),
            }
        }
        if fields.len() < count {
            self.broken.insert(name);
            return Ok(None);
        }
        Ok(Some(Table {
            definition: TableDefinition {
                name,
                schema: Arc::new(Schema::new(fields)),
                metadata_columns,
                options: options.values,
            },
            places: options.places,
            unresolved: options.unresolved,
        }))
    }

    /// The options of the table `name`.
    fn options(&mut self, name: &str, options: Vec<SqlOption>, line: u64) -> WrittenOptions {
        let mut written = WrittenOptions::default();
        for option in options {
            let SqlOption::KeyValue { key, value } = option else {
                let message = format!("options are written key = 'value', not {option}");
                self.errors.push(SqlError::at(self.file, line, message));
                continue;
            };
            let written_at = key.span.start;
            let key = key.value;
            let place = match self.quoted.get(&key) {
                Some(place) if written_at.line == 0 => *place,
                _ => written_at.into(),
            };
            let substituted = literal(&value)
                .map_err(|message| vec![message])
                .and_then(|text| substitute(&text, self.environment));
            let problems = if written.places.contains_key(&key) {
                vec![format!("table {name}: the option '{key}' stands twice")]
            } else {
                match substituted {
                    Ok(value) => {
                        written.values.insert(key.clone(), value);
                        Vec::new()
                    }
                    Err(problems) => {
                        written.unresolved.insert(key.clone());
                        let problems = problems.into_iter();
                        problems
                            .map(|problem| format!("table {name}, option '{key}': {problem}"))
                            .collect()
                    }
                }
            };
            let problems = problems.into_iter();
            self.errors
                .extend(problems.map(|message| SqlError::at_place(self.file, place, message)));
            written.places.entry(key).or_insert(place);
        }
        written
    }
}

/// What sqlparser says about the statement that begins at `start` and whose last word is at `end`.
pub(crate) fn syntax_error(file: &str, start: Place, end: Place, error: ParserError) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return SqlError::at(file, start.line, "the statement is nested too deeply");
        }
    };
    // sqlparser says the place at the end of the message only, and none for the end of a statement.
    match message.rsplit_once(" at Line: ") {
        Some((what, place)) => {
            let place = place.split_once(", Column: ").and_then(|(line, column)| {
                Some(Place {
                    line: line.trim().parse().ok()?,
                    column: column.trim().parse().ok()?,
                })
            });
            SqlError::at_place(file, place.unwrap_or(start), what)
        }
        None => SqlError::at_place(
            file,
            end,
            message.replace("found: EOF", "found: the end of the statement"),
        ),
    }
}

/// The field of a column of the table `table`. As in Arroyo, it has the name that is written, in capitals too: the name
/// of the record's field.
fn column_field(table: &str, column: ColumnDef) -> Result<Field, String> {
    let name = column.name.value.clone();
    let nullable = !column
        .options
        .iter()
        .any(|option| option.option == ColumnOption::NotNull);
    let unsupported = column
        .options
        .iter()
        .find(|option| !matches!(option.option, ColumnOption::NotNull | ColumnOption::Null));
    if let Some(other) = unsupported {
        return Err(format!("table {table}, column {name}: {other} is not supported"));
    }
    column_types::field(&name, &column.data_type, nullable)
        .map_err(|message| format!("table {table}, column {name}: {message}"))
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
pub(crate) fn identifier(name: &Ident) -> String {
    if name.quote_style.is_some() {
        name.value.clone()
    } else {
        name.value.to_lowercase()
    }
}
