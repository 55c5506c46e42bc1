//! What training writes: adapters as Hugging Face PEFT reads them, and whole checkpoints.
//!
//! | function | writes |
//! | --- | --- |
//! | [`write_adapter`] | `adapter_config.json` and `adapter_model.safetensors`: LoRA or DoRA |
//! | [`write_checkpoint`] | tensors as `model.safetensors` or shards, with the small files of a checkpoint |
//! | [`merge`] | a checkpoint with its adapter in its weights, read and written tensor by tensor |
//!
//! Each file is written aside and renamed, so that it is whole or absent, and the one that tells what the others are comes last.
//! [`whole_directory`](crate::whole::whole_directory) does the same with a directory.

mod checkpoint;
mod peft;
mod tensors;

pub use checkpoint::{CheckpointOptions, Written, merge, write_checkpoint};
pub use peft::{PeftConfig, write_adapter};
