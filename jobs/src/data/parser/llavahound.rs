//! LLaVA-Hound: videos with instructions to describe them, or with questions.

use std::path::Path;

use super::{ANSWER_VIDEO, FIND_VIDEO, Mode, Parser, WATCH_VIDEO, around, pair, required};
use crate::data::item::{Item, ItemWords, Medium, Pair, Root, VIDEO_EXTENSIONS, file_address};
use crate::data::value::Value;

/// Where the video goes.
const VIDEO: &str = "<video>";

pub(super) fn caption(parser: &Parser, values: &Value) -> Result<Pair, String> {
    let (request, caption) = turns(values)?;
    let video = video(&parser.root, required(values, "video")?)?;
    match parser.mode {
        Some(Mode::VideoRetrieval) => Ok(pair(
            Item::text(caption, parser.query_instruction(FIND_VIDEO)),
            Item::medium(video, parser.target_instruction(WATCH_VIDEO)),
        )),
        _ => Ok(pair(around(video, request, VIDEO)?, Item::text(caption, None))),
    }
}

pub(super) fn question(parser: &Parser, values: &Value) -> Result<Pair, String> {
    let (question, answer) = turns(values)?;
    let video = video(&parser.root, required(values, "video")?)?;
    let question = question.replace(VIDEO, "");
    let query = Item {
        medium: Some(video),
        words: ItemWords::Given {
            instruction: parser.query_instruction(ANSWER_VIDEO).map(str::to_owned),
            text: Some(question.trim().to_owned()),
        },
    };
    Ok(pair(query, Item::text(answer, None)))
}

/// What was asked first, and what was answered.
fn turns(values: &Value) -> Result<(&str, &str), String> {
    let Value::List(turns) = values.get("conversations") else {
        let kind = values.get("conversations").kind();
        return Err(format!("`conversations` is {kind}; it should be a list of turns"));
    };
    let value = |index: usize| {
        let turn = turns.get(index).unwrap_or(&Value::Null);
        turn.get("value")
            .text("value")?
            .ok_or_else(|| format!("`conversations[{index}].value` is empty"))
    };
    Ok((value(0)?, value(1)?))
}

/// A video by its name: a folder of frames, or a file, whose extension may be left out.
fn video(root: &Root, name: &str) -> Result<Medium, String> {
    let resolved = root.resolve(name)?;
    let path = match root {
        Root::Folder(folder) => folder.join(name),
        Root::Remote(_) => return Ok(Medium::Url(resolved)),
    };
    if path.is_dir() {
        return Ok(Medium::Frames(path));
    }
    if path.is_file() || Path::new(name).extension().is_some() {
        return Ok(Medium::Url(resolved));
    }
    let with_extension = VIDEO_EXTENSIONS.iter().map(|extension| path.with_extension(extension));
    match with_extension.into_iter().find(|path| path.is_file()) {
        Some(path) => file_address(&path).map(Medium::Url),
        None => Err(format!(
            "`video`: {}: there is no such folder of frames, and no file of that name ({})",
            path.display(),
            VIDEO_EXTENSIONS.join(", ")
        )),
    }
}
