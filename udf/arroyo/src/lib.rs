//! The functions of Sightstream for Arroyo's SQL.
//!
//! A UDF file (`embed.rs` and `segments.rs` beside this crate) is what Arroyo compiles to a dylib and loads into its workers.
//! It holds a signature and calls a function here:
//!
//! ```text
//! Arroyo's subtask, one thread each          any number of dylibs, any number of subtasks
//!   └ caller      a future that waits        catches panics, ends before Arroyo's timeout
//!       └ abi     plain C                    rendezvous: the dylib that was loaded first has the service
//!           └ owner, plugin                  once a process: runtime, settings, log, metrics
//!               └ row                        deadline, what is tried again, NULL with its reason (tell, dead_letters)
//!                   └ supervisor             starts the embedding service with the first row that wants it
//! ```
//!
//! # One service a process
//!
//! Each dylib has statics of its own. All of them export one C symbol, look for it in the objects of the process in the
//! order in which they were loaded, and hand their rows to the first that has it, so that batches form across functions, pipelines and
//! subtasks, and the model is in memory once. `segments` shares fetched media with `embed`, and loads no model.
//!
//! - **Another version** of this crate (a function was registered anew after an update) is not taken: its rows might get vectors of
//!   another kind. It starts its own service, and the older one gives its model up when no row comes any more. The same version
//!   goes to the dylib that was loaded first, whichever file that was.
//! - **Unloading.** Arroyo unloads a dylib with its last pipeline. Its threads run on, so every dylib keeps itself loaded from the
//!   moment that it is; what that costs is address space, and the pages of its code that were used.
//! - **Forks.** Arroyo starts worker processes by `exec`, and a fork without one has none of the threads that Arroyo itself
//!   stands on. Files and sockets here are closed by `exec`.
//! - **The end of the process.** Threads run until it: nothing here has a destructor that they could meet. Dead letters under way get
//!   five seconds, before the libraries that send them clean up.
//!
//! # What is held
//!
//! Rows under way are bounded by Arroyo: `allowed_in_flight` for each subtask, 512 in the files here, which is a batch of Arroyo's and two
//! of the encoder's. One that waits costs its texts and a task of about a kilobyte. What the service holds of media does not grow with
//! them ([`ServiceOptions`](sightstream_model::service::ServiceOptions)). Dead letters under way take at most 64 MiB.
//!
//! # Time
//!
//! A call ends before Arroyo's timeout, at which the worker would panic: a minute, or a tenth, before. That timeout is 24 hours in the files
//! here, because a row that waits for thousands of others is not at fault. A row's own deadline (`SIGHTSTREAM_UDF_DEADLINE`, an
//! hour) counts once those ahead of it are done.

mod abi;
mod caller;
mod dead_letters;
mod endpoint;
mod line;
mod logging;
mod owner;
mod plugin;
mod rendezvous;
mod row;
mod settings;
mod supervisor;
mod tell;

pub use plugin::serve_with;

use std::time::Duration;

/// The unit vector of what `url` names, as little-endian `f32`s. `None` for no url, and for one that has no vector: the log,
/// the counters and the dead letters say why. `instruction` is the model's default for the modality where there is none.
///
/// Never panics, and ends before `timeout`, which is the function's own.
pub async fn embed(url: Option<&str>, instruction: Option<&str>, timeout: Duration) -> Option<Vec<u8>> {
    caller::call(abi::EMBED, url?, instruction, timeout).await
}

/// The addresses of the parts of what `url` names, one a line: the windows of a long video, the pages of a document, and else
/// the url alone. `None` as in [`embed`].
///
/// Never panics, and ends before `timeout`, which is the function's own.
pub async fn segments(url: Option<&str>, timeout: Duration) -> Option<String> {
    let lines = caller::call(abi::SEGMENTS, url?, None, timeout).await?;
    String::from_utf8(lines).ok()
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(120);

    fn closeness(a: &[u8], b: &Option<Vec<u8>>) -> f32 {
        let numbers = |bytes: &[u8]| -> Vec<f32> {
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        };
        let b = numbers(b.as_deref().expect("a vector"));
        numbers(a).iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[tokio::test]
    async fn rows_of_many_subtasks_go_through_one_service() {
        let texts: Vec<String> = (0..64).map(|number| format!("data:,text%20{number}")).collect();
        let vectors = join_all(texts.iter().map(|url| embed(Some(url), None, TIMEOUT))).await;
        for vector in &vectors {
            let bytes = vector.as_deref().expect("a text has a vector");
            let numbers = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let length: f32 = numbers.map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-3, "{length}");
        }
        assert_ne!(vectors[0], vectors[1]);
        // The last bits depend on the batch.
        assert!(
            embed(Some(&texts[1]), None, TIMEOUT)
                .await
                .is_some_and(|again| closeness(&again, &vectors[1]) > 0.9999)
        );
        assert_ne!(embed(Some(&texts[1]), Some("Find it:"), TIMEOUT).await, vectors[1]);
    }

    #[tokio::test]
    async fn what_has_no_value_is_null_and_harms_no_other() {
        assert_eq!(embed(None, Some("x"), TIMEOUT).await, None);
        assert_eq!(segments(None, TIMEOUT).await, None);
        let (missing, fine) = futures::join!(
            embed(Some("no-such-file.png"), None, TIMEOUT),
            embed(Some("data:,fine"), None, TIMEOUT)
        );
        assert!(missing.is_none() && fine.is_some());
        assert_eq!(embed(Some(""), None, TIMEOUT).await, None);
    }

    #[tokio::test]
    async fn segments_are_lines() {
        let lines = segments(Some("data:,one%20part"), TIMEOUT).await;
        assert_eq!(lines.as_deref(), Some("data:,one%20part"));
    }

    #[tokio::test]
    async fn a_call_ends_before_its_timeout_and_one_that_is_given_up_frees_its_place() {
        assert_eq!(embed(Some("data:,late"), None, Duration::ZERO).await, None);
        let mut given_up = Box::pin(embed(Some("data:,given%20up"), None, TIMEOUT));
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert!(embed(Some("data:,after"), None, TIMEOUT).await.is_some());
    }

    #[test]
    fn the_files_for_arroyo_say_their_timeout_twice_alike_and_this_version() {
        for file in [include_str!("../embed.rs"), include_str!("../segments.rs")] {
            assert!(file.starts_with("/*\n[dependencies]\nsightstream-arroyo = "), "{file}");
            assert!(file.contains(r#"timeout = "24h")"#) && file.contains("Duration::from_secs(24 * 60 * 60)"));
            // What Arroyo compiles anew is told by the text of the function and its doc comment.
            assert!(
                file.contains(concat!("Sightstream ", env!("CARGO_PKG_VERSION"), "\n")),
                "{file}"
            );
        }
    }
}
