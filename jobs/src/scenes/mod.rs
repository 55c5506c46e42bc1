//! Drawn scenes with captions: the data of the demo checkpoint.
