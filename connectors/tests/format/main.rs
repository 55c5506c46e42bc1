//! JSON records to typed rows and back.

mod kit;
mod reading;
mod writing;
