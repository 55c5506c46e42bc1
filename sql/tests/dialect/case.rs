//! Reads the files of cases.

use std::path::PathBuf;

/// A script, what it reads, and what must come of it.
pub struct Case {
    pub name: String,
    pub sql: String,
    pub input: Vec<String>,
    /// `None` where nothing is said of it.
    pub output: Option<Vec<String>>,
    pub dead_letters: Vec<String>,
    pub refused: Vec<String>,
}

/// Where the files are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/dialect")
}

/// The cases of the file `name`.
pub fn read(name: &str) -> Vec<Case> {
    let path = folder().join(format!("{name}.sql"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut parts = text.split("\n==== ");
    let head = parts.next().unwrap_or_default();
    assert!(
        head.lines().all(|line| line.is_empty() || line.starts_with("--")),
        "{name}.sql: before the first case there are comments only"
    );
    parts.map(|part| case(name, part)).collect()
}

fn case(file: &str, text: &str) -> Case {
    let mut sections = text.split("\n---- ");
    let (name, sql) = sections
        .next()
        .and_then(|head| head.split_once('\n'))
        .unwrap_or_else(|| panic!("{file}.sql: a case without a script: {text}"));
    let mut case = Case {
        name: name.trim().to_string(),
        sql: sql.to_string(),
        input: Vec::new(),
        output: None,
        dead_letters: Vec::new(),
        refused: Vec::new(),
    };
    for section in sections {
        let (title, lines) = section.split_once('\n').unwrap_or((section, ""));
        let lines: Vec<String> = lines
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_string)
            .collect();
        match title.trim() {
            "input" => case.input = lines,
            "output" => case.output = Some(lines),
            "dead letters" => case.dead_letters = lines,
            "refused" => case.refused = lines,
            other => panic!("{file}.sql, {}: there is no section '{other}'", case.name),
        }
    }
    let says_something = case.output.is_some() || !case.dead_letters.is_empty() || !case.refused.is_empty();
    assert!(says_something, "{file}.sql, {}: nothing is expected", case.name);
    case
}
