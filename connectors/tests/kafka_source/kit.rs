//! Places of records.

pub const MULTI: &str = "a runtime with several threads, as the engine has";

pub fn all(partitions: i32, count: i64) -> Vec<(i32, i64)> {
    (0..partitions)
        .flat_map(|partition| (0..count).map(move |offset| (partition, offset)))
        .collect()
}

pub fn sorted(mut places: Vec<(i32, i64)>) -> Vec<(i32, i64)> {
    places.sort_unstable();
    places
}
