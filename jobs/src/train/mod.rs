//! A training run: its configuration, its loop, its checkpoints and its reports.
