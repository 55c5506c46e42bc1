/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

use std::time::Duration;

use arroyo_udf_plugin::udf;

/// As in the attribute below.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The vector of what a url names, as little-endian f32 bytes. Sightstream 0.1.0
#[udf(unordered, allowed_in_flight = 512, timeout = "24h")]
async fn embed(url: Option<&str>, instruction: Option<&str>) -> Option<Vec<u8>> {
    sightstream_arroyo::embed(url, instruction, TIMEOUT).await
}
