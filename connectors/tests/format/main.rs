//! JSON records to typed rows and back.

mod arrow_json;
mod kit;
mod reading;
mod writing;
