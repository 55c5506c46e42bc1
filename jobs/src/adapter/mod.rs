//! LoRA and DoRA as PEFT directories, and full checkpoints.
