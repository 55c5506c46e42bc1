/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

use arroyo_udf_plugin::udf;

#[udf(unordered, allowed_in_flight = 1024, timeout = "120s")]
async fn segments(url: &str) -> Option<String> {
    sightstream_arroyo::segments(url).await
}
