//! `sightstream embed`.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{code, cosine, folder, json_lines, output, png, sightstream, stderr, stdout, vector};
use serde_json::{Value, json};

#[test]
fn references_give_one_line_each_in_their_order() {
    let folder = folder();
    png(folder.path(), "a.png", 10);
    let mut command = sightstream(folder.path());
    command.args(["embed", "data:,red%20bicycle", "a.png", "data:,a%20boat"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    let lines = json_lines(&output);
    let urls: Vec<&Value> = lines.iter().map(|line| &line["url"]).collect();
    assert_eq!(urls, ["data:,red%20bicycle", "a.png", "data:,a%20boat"]);
    for line in &lines {
        let vector = vector(line);
        assert!(
            (cosine(&vector, &vector) - 1.0).abs() < 1e-5,
            "the vector of {} has unit length",
            line["url"]
        );
        assert!(line.get("id").is_none() && line.get("error").is_none(), "{line}");
    }
    assert!(
        cosine(&vector(&lines[0]), &vector(&lines[2])) < 0.9999,
        "different texts have different vectors"
    );
}

#[test]
fn a_reference_that_fails_has_its_error_in_its_place_and_the_exit_code_says_so() {
    let folder = folder();
    fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\n and nothing more").expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["embed", "missing.png", "data:,text", "broken.png"]);
    let output = output(command);
    assert_eq!(code(&output), 1);

    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    for index in [0, 2] {
        let error = lines[index]["error"].as_str().expect("it cannot be embedded");
        let url = lines[index]["url"].as_str().expect("the line names its url");
        assert!(error.contains(url), "{error}");
        assert!(lines[index].get("vector").is_none());
    }
    assert!(lines[1].get("vector").is_some());
}

/// A checkpoint of the model's tests, and an adapter that was made on it.
fn adapted() -> (String, String) {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/fixtures");
    (format!("{fixtures}/grouped"), format!("{fixtures}/adapters/lora"))
}

#[test]
fn an_adapter_is_merged_into_the_model_by_flag_and_by_variable() {
    let folder = folder();
    let (model, adapter) = adapted();
    let embed = |arguments: &[&str], variable: Option<&str>| {
        let mut command = sightstream(folder.path());
        command
            .args(["embed", "data:,bicycle", "--model", &model])
            .args(arguments);
        command.envs(variable.map(|adapter| ("SIGHTSTREAM_ADAPTER", adapter)));
        let output = output(command);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        vector(&json_lines(&output)[0])
    };
    let (plain, flag, variable) = (
        embed(&[], None),
        embed(&["--adapter", &adapter], None),
        embed(&[], Some(&adapter)),
    );
    assert_eq!(flag, variable);
    assert!(cosine(&plain, &flag) < 0.9, "the adapter changes the vector");
}

#[test]
fn an_adapter_that_cannot_be_merged_is_refused_with_what_to_write() {
    let folder = folder();
    let (model, adapter) = adapted();
    for (arguments, told) in [
        (["--model", adapter.as_str()].as_slice(), "--model grouped --adapter"),
        (&["--adapter", &adapter], "q_proj"),
        (
            &["--model", &model, "--adapter", "no/such/adapter"],
            "the adapter `no/such/adapter`",
        ),
    ] {
        let mut command = sightstream(folder.path());
        command.args(["embed", "data:,bicycle"]).args(arguments);
        let output = output(command);
        assert_ne!(code(&output), 0, "{arguments:?}");
        assert!(stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn json_lines_from_standard_input_keep_their_ids() {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command
        .args(["embed", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be started");
    let mut input = child.stdin.take().expect("standard input is piped");
    input
        .write_all(
            b"{\"id\":7,\"url\":\"data:,a\"}\n\n{\"id\":\"7\",\"url\":\"data:,b\"}\nnot json\n{\"url\":\"data:,c\",\"x\":1}",
        )
        .expect("the command reads its input");
    drop(input);
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(code(&output), 1, "one line is no JSON");

    let lines = json_lines(&output);
    let ids: Vec<&Value> = lines.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(7), &json!("7"), &Value::Null, &Value::Null]);
    assert_eq!(lines[2]["line"], 4);
    assert!(
        lines[2]["error"]
            .as_str()
            .is_some_and(|error| error.starts_with("line 4 of standard input:"))
    );
    assert_eq!(lines[3]["url"], "data:,c");
}

#[test]
fn the_order_of_a_long_input_is_kept_and_equal_inputs_have_equal_vectors() {
    let folder = folder();
    let mut input = String::new();
    for index in 0..700 {
        input.push_str(&json!({"id": index, "url": format!("data:,text%20{}", index % 350)}).to_string());
        input.push('\n');
    }
    fs::write(folder.path().join("in.jsonl"), input).expect("a new file");
    let mut command = sightstream(folder.path());
    command.args(["embed", "--input", "in.jsonl"]);
    let output = output(command);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = json_lines(&output);
    assert!(lines.iter().enumerate().all(|(index, line)| line["id"] == index));
    assert_eq!(lines.len(), 700);
    assert!(cosine(&vector(&lines[3]), &vector(&lines[353])) > 0.99999);
}

#[test]
fn an_instruction_of_a_line_wins_over_the_flag() {
    let folder = folder();
    let input = "{\"url\":\"data:,a\",\"instruction\":\"Find it.\"}\n{\"url\":\"data:,a\"}\n";
    fs::write(folder.path().join("in.jsonl"), input).expect("a new file");
    let embed = |instruction: &str| {
        let mut command = sightstream(folder.path());
        command.args(["embed", "--input", "in.jsonl", "--instruction", instruction]);
        let output = output(command);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json_lines(&output).iter().map(vector).collect::<Vec<_>>()
    };
    let (other, same) = (embed("Represent the text."), embed("Find it."));
    assert!(cosine(&other[0], &same[0]) > 0.99999, "the line's own instruction");
    assert!(cosine(&other[1], &same[1]) < 0.9999, "the flag's instruction");
    assert!(cosine(&same[0], &same[1]) > 0.99999);
}

#[test]
fn a_flag_is_an_environment_variable_too_and_wins_over_it() {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command
        .args(["embed", "data:,a"])
        .env("SIGHTSTREAM_MODEL", "no-such-folder");
    let failed = output(command);
    assert_eq!(code(&failed), 1);
    assert!(
        stderr(&failed).contains("no-such-folder") && stdout(&failed).is_empty(),
        "{}",
        stderr(&failed)
    );

    let mut command = sightstream(folder.path());
    command
        .args(["embed", "data:,a", "--max-batch-wait", "5ms"])
        .env("SIGHTSTREAM_MAX_BATCH_WAIT", "soon");
    assert_eq!(
        code(&output(command)),
        0,
        "a value that the flag overrides is not looked at"
    );
}

#[test]
fn what_cannot_be_used_is_said_before_anything_starts() {
    let folder = folder();
    let cases: [(&[&str], &str); 5] = [
        (&["embed"], "URL"),
        (&["embed", "a.png", "--input", "in.jsonl"], "--input"),
        (&["embed", "a.png", "--device", "gpu"], "auto, cpu, cuda"),
        (&["embed", "a.png", "--max-pixels", "0"], "number of pixels"),
        (&["embed", "a.png", "--log-level", "sightstream=loud"], "--log-level"),
    ];
    for (arguments, part) in cases {
        let mut command = sightstream(folder.path());
        command.args(arguments);
        let output = output(command);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn an_input_file_that_is_not_there_is_named() {
    let folder = folder();
    let mut command = sightstream(folder.path());
    command.args(["embed", "--input", "missing.jsonl"]);
    let output = output(command);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).starts_with("error: cannot open the input missing.jsonl"),
        "{}",
        stderr(&output)
    );
}
