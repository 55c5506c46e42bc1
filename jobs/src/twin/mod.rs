//! A differentiable twin of the encoder: the same weights and outputs, by operations that keep a graph.
