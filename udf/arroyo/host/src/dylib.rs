//! A compiled UDF, called through its C functions as Arroyo calls them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayData, BinaryArray, StringArray, UInt64Array};
use arrow::datatypes::DataType;
use arroyo_udf_common::FfiArrays;
use arroyo_udf_common::async_udf::{DrainResult, SendableFfiAsyncUdfHandle};
use async_ffi::FfiFuture;
use dlopen2::wrapper::{Container, WrapperApi};

/// What `#[udf]` makes of an asynchronous function.
#[derive(WrapperApi)]
struct Functions {
    #[dlopen2_name = "__start"]
    start: unsafe extern "C-unwind" fn(
        ordered: bool,
        timeout_micros: u64,
        allowed_in_flight: u32,
    ) -> SendableFfiAsyncUdfHandle,
    #[dlopen2_name = "__send"]
    send: unsafe extern "C-unwind" fn(
        handle: SendableFfiAsyncUdfHandle,
        id: u64,
        arguments: FfiArrays,
    ) -> FfiFuture<bool>,
    #[dlopen2_name = "__drain_results"]
    drain_results: unsafe extern "C-unwind" fn(handle: SendableFfiAsyncUdfHandle) -> DrainResult,
    #[dlopen2_name = "__stop_runtime"]
    stop_runtime: unsafe extern "C-unwind" fn(handle: SendableFfiAsyncUdfHandle),
}

/// Why a UDF gives no answers.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It cannot be loaded.
    #[error("the dylib cannot be loaded: {0}")]
    Load(#[from] dlopen2::Error),
    /// Its runtime is gone: it panicked, as it does when a call takes longer than the timeout.
    #[error("the UDF's runtime has ended")]
    Ended,
    /// What it gave is not what `#[udf]` makes.
    #[error("the results are {0}, not BYTEA or TEXT")]
    Type(DataType),
}

/// A loaded dylib; closed when it and all its handles are gone, as Arroyo closes it.
#[derive(Clone)]
pub struct Dylib(Arc<Container<Functions>>);

impl Dylib {
    /// Loads `path`.
    ///
    /// # Errors
    /// If the linker refuses it, or it lacks one of the functions.
    pub fn load(path: &Path) -> Result<Self, CallError> {
        // SAFETY: the functions have the types that `#[udf]` of arroyo-udf-plugin 0.2 gives them, whose structs these are;
        // the file is one that `Compiler` built.
        Ok(Self(Arc::new(unsafe { Container::load(path)? })))
    }

    /// What an operator does at its start: a runtime of its own for the calls of one subtask.
    pub fn start(&self, ordered: bool, timeout: Duration, allowed_in_flight: u32) -> Handle {
        let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
        // SAFETY: the function has this type, and asks for nothing else.
        let handle = unsafe { self.0.start(ordered, micros, allowed_in_flight) };
        Handle {
            dylib: self.clone(),
            handle,
        }
    }
}

/// The runtime of one subtask; stopped when it is dropped.
pub struct Handle {
    dylib: Dylib,
    handle: SendableFfiAsyncUdfHandle,
}

/// A result: the id of its call, and the bytes of what it gave; of a text, those of UTF-8.
pub type Answered = (u64, Option<Vec<u8>>);

impl Handle {
    /// Hands a row over; waits while as many are in flight as are allowed.
    ///
    /// # Errors
    /// If the runtime is gone.
    pub async fn send(&self, id: u64, arguments: &[Option<String>]) -> Result<(), CallError> {
        let value = |text: &Option<String>| StringArray::from(vec![text.as_deref()]).to_data();
        let arrays = FfiArrays::from_vec(arguments.iter().map(value).collect());
        // SAFETY: the handle lives as long as `self`, and the future is awaited while `self` is borrowed.
        let taken = unsafe { self.dylib.0.send(self.handle, id, arrays) }.await;
        taken.then_some(()).ok_or(CallError::Ended)
    }

    /// The results that are ready, in the order in which the runtime has them.
    ///
    /// # Errors
    /// If the runtime panicked while it wrote one, or they are of another type.
    pub fn drain(&self) -> Result<Vec<Answered>, CallError> {
        // SAFETY: the handle lives as long as `self`.
        match unsafe { self.dylib.0.drain_results(self.handle) } {
            DrainResult::None => Ok(Vec::new()),
            DrainResult::Error => Err(CallError::Ended),
            DrainResult::Data(arrays) => {
                let mut arrays = arrays.into_vec().into_iter();
                let mut next = || arrays.next().expect("a result is two arrays: ids and values");
                let (ids, values) = (UInt64Array::from(next()), bytes(next())?);
                Ok(ids.values().iter().copied().zip(values).collect())
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is stopped once, and not used after.
        unsafe { self.dylib.0.stop_runtime(self.handle) };
    }
}

fn bytes(values: ArrayData) -> Result<Vec<Option<Vec<u8>>>, CallError> {
    match values.data_type().clone() {
        DataType::Binary => Ok(BinaryArray::from(values)
            .iter()
            .map(|value| value.map(<[u8]>::to_vec))
            .collect()),
        DataType::Utf8 => {
            let values = StringArray::from(values);
            Ok(values
                .iter()
                .map(|value| value.map(|text| text.as_bytes().to_vec()))
                .collect())
        }
        other => Err(CallError::Type(other)),
    }
}
