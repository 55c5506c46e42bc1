/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

use std::time::Duration;

use arroyo_udf_plugin::udf;

/// As in the attribute below.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The addresses of the parts of what a url names, one a line. Sightstream 0.1.0
#[udf(unordered, allowed_in_flight = 512, timeout = "24h")]
async fn segments(url: Option<&str>) -> Option<String> {
    sightstream_arroyo::segments(url, TIMEOUT).await
}
