/*
[dependencies]
sightstream-arroyo = { path = "{{ SIGHTSTREAM_HOME }}/udf/arroyo" }
sightstream-model = { path = "{{ SIGHTSTREAM_HOME }}/model" }
async-trait = "0.1"
bytes = "1"
*/

// The plugin with an encoder and media that are nothing: what is left is the plugin's own cost.

use std::sync::Once;
use std::time::Duration;

use arroyo_udf_plugin::udf;
use async_trait::async_trait;
use bytes::Bytes;
use sightstream_model::error::{MediaError, ModelError};
use sightstream_model::fetch::{Content, FetchPlace, Fetched};
use sightstream_model::processor::ModelInput;
use sightstream_model::reference::MediaReference;
use sightstream_model::service::{Backend, EmbedError, EmbeddingService, Prepare, Prepared, ServiceOptions};

const DIMENSION: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Encodes nothing, at once.
struct NoEncoder;

impl Backend for NoEncoder {
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(vec![vec![0.5; DIMENSION]; inputs.len()])
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn model_name(&self) -> &str {
        "nothing"
    }

    fn fingerprint(&self) -> &str {
        "0"
    }
}

/// Fetches and decodes nothing: one token for each reference.
struct NoMedia;

#[async_trait]
impl Prepare for NoMedia {
    async fn fetch(&self, _: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        place.take().await;
        Ok(Fetched {
            content: Content::Memory(Bytes::new()),
            media_type: None,
        })
    }

    fn prepare(&self, _: &MediaReference, _: Fetched, _: Option<&str>) -> Result<Prepared, EmbedError> {
        Ok(Prepared::Input(ModelInput {
            token_ids: vec![0],
            vision: None,
        }))
    }
}

fn service() -> Result<EmbeddingService, ModelError> {
    EmbeddingService::from_parts(NoEncoder, NoMedia, ServiceOptions::default())
}

/// As `embed`, with that service.
#[udf(unordered, allowed_in_flight = 512, timeout = "1h")]
async fn nothing(url: Option<&str>, instruction: Option<&str>) -> Option<Vec<u8>> {
    static SERVICE: Once = Once::new();
    SERVICE.call_once(|| sightstream_arroyo::serve_with(service));
    sightstream_arroyo::embed(url, instruction, TIMEOUT).await
}
