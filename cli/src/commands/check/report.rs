//! The findings, for people or for programs.

use std::io::Write;

use serde_json::json;
use sightstream_connectors::probe::Level;
use sightstream_sql::Finding;

use crate::args::{CheckArgs, FindingFormat};

/// Prints `findings` and what follows from them.
pub fn print(args: &CheckArgs, findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let text = match args.format {
        FindingFormat::Text => text(args, findings),
        FindingFormat::Json => json_lines(args, findings),
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

fn text(args: &CheckArgs, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.place().chars().count()).max();
    let width = width.unwrap_or(0);
    let mut lines = String::new();
    for finding in findings {
        let (level, place) = (word(finding.level), finding.place());
        lines.push_str(&format!("{level:<8} {place:<width$}  {}\n", finding.message));
    }
    let errors = count(findings, Level::Error);
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let warnings = count(findings, Level::Warning);
    lines.push_str(&format!(
        "{} {}: {errors} error{}, {warnings} warning{}, {} ok{}\n",
        args.file.display(),
        if errors == 0 { "can run" } else { "cannot run" },
        plural(errors),
        plural(warnings),
        count(findings, Level::Ok),
        if args.offline {
            " (no other system was asked)"
        } else {
            ""
        }
    ));
    lines
}

fn json_lines(args: &CheckArgs, findings: &[Finding]) -> String {
    let errors = count(findings, Level::Error);
    let summary = json!({"summary": {
        "file": args.file.display().to_string(),
        "can_run": errors == 0,
        "errors": errors,
        "warnings": count(findings, Level::Warning),
        "ok": count(findings, Level::Ok),
        "offline": args.offline,
    }});
    let objects = findings.iter().map(|finding| {
        json!({
            "level": word(finding.level),
            "file": finding.file,
            "line": finding.line,
            "column": finding.column,
            "message": finding.message,
        })
    });
    objects.chain([summary]).map(|object| format!("{object}\n")).collect()
}
