//! The differentiable twin against the encoder and against PyTorch and PEFT.

mod gradients;
mod kit;
mod outputs;
