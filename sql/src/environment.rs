//! `{{ NAME }}` in option values, as in Arroyo.

/// `value` with every `{{ NAME }}` replaced by what `lookup` gives.
///
/// # Errors
/// A sentence, if a variable is not set or a `{{` is not closed.
pub(crate) fn substitute(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("{{") {
        result.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after
            .find("}}")
            .ok_or_else(|| format!("'{value}' opens {{{{ and does not close it with }}}}"))?;
        let name = after[..end].trim();
        let found = lookup(name).ok_or_else(|| {
            format!("the environment variable {name} is not set; export {name}=… before running this file")
        })?;
        result.push_str(&found);
        rest = &after[end + 2..];
    }
    result.push_str(rest);
    Ok(result)
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
        assert!(substitute("{{ PORT }}", &lookup).is_err_and(|error| error.contains("PORT is not set")));
        assert!(substitute("{{ HOST", &lookup).is_err_and(|error| error.contains("does not close")));
    }
}
