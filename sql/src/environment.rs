//! `{{ NAME }}` in option values, as in Arroyo.

/// `value` with every `{{ NAME }}` replaced by what `lookup` gives.
///
/// # Errors
/// A sentence for each variable that is not set, and for a `{{` that is not closed.
pub(crate) fn substitute(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<String>> {
    let mut result = String::with_capacity(value.len());
    let mut problems = Vec::new();
    let mut rest = value;
    while let Some(start) = rest.find("{{") {
        result.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let Some(end) = after.find("}}") else {
            // Without the value: it may hold a password.
            problems.push("the value opens {{ and does not close it with }}".to_string());
            return Err(problems);
        };
        let name = after[..end].trim();
        match lookup(name) {
            Some(found) => result.push_str(&found),
            None => problems.push(format!(
                "the environment variable {name} is not set; export {name}=… before running this file"
            )),
        }
        rest = &after[end + 2..];
    }
    result.push_str(rest);
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::substitute;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOST").then(|| "kafka".to_string())
    }

    #[test]
    fn names_are_replaced_wherever_they_stand() {
        assert_eq!(
            substitute("{{ HOST }}:9092,{{HOST}}:9093", &lookup),
            Ok("kafka:9092,kafka:9093".to_string())
        );
        assert_eq!(substitute("plain", &lookup), Ok("plain".to_string()));
    }

    #[test]
    fn an_unset_name_and_an_open_brace_are_errors_that_say_so() {
        let problems = substitute("{{ PORT }}:{{ HOST }}:s3cret:{{ PATH", &lookup).expect_err("PORT is not set");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(!problems[1].contains("s3cret"), "{problems:?}");
        assert!(
            problems[0].contains("PORT is not set") && problems[1].contains("does not close"),
            "{problems:?}"
        );
    }
}
