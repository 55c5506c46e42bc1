//! Drawn scenes with captions: the data of the demo checkpoint.
//!
//! A scene is a *combination* of values, one for each attribute of its family ([`world`]), in one of many variants. Everything
//! follows from it: its pixels ([`draw`](mod@draw)), its file ([`encode`](mod@encode)), what is said of it
//! ([`caption`](mod@caption)), and by a hash whether it is for training or held out ([`split`]). The training sets
//! ([`training`]) and the test sets are written by [`write`](mod@write), the same bytes on every machine; `jobs/scenes` holds the
//! test sets and the hashes of everything, as they were before anything was trained. [`tokenizer`] learns its tokens from the
//! captions.

pub mod caption;
pub mod dice;
pub mod draw;
pub mod encode;
pub mod split;
pub mod tokenizer;
pub mod training;
pub mod world;
pub mod write;
