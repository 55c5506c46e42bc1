//! The tokenizer of the demo checkpoint: byte-level pair encoding as Qwen2's, trained on what is said of scenes.
//!
//! In two things it is not Qwen2's. It reads capital letters as small ones, and puts a space before every word: so that `Red`,
//! `red` and ` red` are one token, and a checkpoint of a few million weights does not learn each of them anew.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::{Lowercase, NFC, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer, TokenizerBuilder};

/// How many tokens there are, with the special ones.
pub const VOCABULARY: usize = 1280;

/// The special tokens, which are the last ones, in the order of Qwen2-VL's.
const SPECIAL: [&str; 7] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Qwen2's pre-tokenizer: contractions, words with one leading mark, single digits, punctuation, line ends, spaces.
const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Trains the tokenizer on lines of text and gives its file.
///
/// # Errors
/// What the library says if a pattern or the model is refused: only by another version of it.
pub fn train<'a>(lines: impl Iterator<Item = &'a str> + Send) -> tokenizers::Result<String> {
    let pattern = SplitPattern::Regex(SPLIT.into());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(true, true, false);
    let mut tokenizer = TokenizerBuilder::<BPE, Normalizers, Sequence, ByteLevel, ByteLevel>::new()
        .with_model(BPE::default())
        .with_normalizer(Some(Normalizers::new(vec![NFC.into(), Lowercase.into()])))
        .with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])))
        .with_post_processor(Some(ByteLevel::new(false, false, true)))
        .with_decoder(Some(ByteLevel::default()))
        .build()?;
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(VOCABULARY - SPECIAL.len())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, lines)?;
    let special: Vec<_> = SPECIAL
        .iter()
        .map(|token| AddedToken::from(*token, true).normalized(false))
        .collect();
    tokenizer.add_special_tokens(&special);
    let file = tokenizer.to_string(false)?;
    // What cannot be read back is no file.
    file.parse::<Tokenizer>()?;
    Ok(file)
}
