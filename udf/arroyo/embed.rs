/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
*/

use arroyo_udf_plugin::udf;

#[udf(unordered, allowed_in_flight = 1024, timeout = "120s")]
async fn embed(url: &str, instruction: Option<&str>) -> Option<Vec<u8>> {
    sightstream_arroyo::embed(url, instruction).await
}
