//! PDF documents: what a page looks like, beside poppler; what a broken one says; how much a large one takes.

mod failures;
mod kit;
mod large;
mod poppler;
mod sizes;
