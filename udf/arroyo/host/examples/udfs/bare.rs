/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

// The library is not used: with the dependencies of the others, nothing is compiled for this file alone.

use arroyo_udf_plugin::udf;

/// Gives as many bytes as `nothing`, at once: what a call costs in Arroyo at least.
#[udf(unordered, allowed_in_flight = 512, timeout = "1h")]
async fn bare(url: Option<&str>, instruction: Option<&str>) -> Option<Vec<u8>> {
    let _ = (url, instruction);
    Some(vec![0; 16])
}
