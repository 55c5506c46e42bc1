/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

// The library is not used: with the plugin's own dependencies, nothing is compiled for this file alone.

use std::time::Duration;

use arroyo_udf_plugin::async_udf::tokio::time::sleep;
use arroyo_udf_plugin::udf;

/// In capitals, after as many milliseconds as `delay` says.
#[udf(unordered, allowed_in_flight = 64, timeout = "2s")]
async fn shout(text: &str, delay: Option<&str>) -> Option<String> {
    if let Some(milliseconds) = delay {
        sleep(Duration::from_millis(milliseconds.parse().ok()?)).await;
    }
    Some(text.to_uppercase())
}
