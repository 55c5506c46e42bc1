//! From a media reference to a vector.
//!
//! The rooms, in the order in which a reference walks through them:
//! [`reference`](mod@reference) → [`fetch`] → [`media`] → [`processor`] → [`backbone`] → [`pooling`], with [`encoder`] holding one
//! checkpoint (a batch in, vectors out), [`isolation`] keeping what decoders may do to a process to one medium, and [`service`] on top: async, many callers, one device thread.

pub mod backbone;
pub mod checkpoint;
pub mod encoder;
pub mod error;
pub mod fetch;
pub mod inspect;
pub mod isolation;
pub mod kind;
pub mod media;
pub mod pooling;
pub mod processor;
pub mod reference;
pub mod service;
