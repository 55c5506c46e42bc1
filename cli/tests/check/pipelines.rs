//! The pipelines of the repository.

use std::path::Path;

use crate::common::{code, folder, output, sightstream, stderr, stdout};

#[test]
fn each_pipeline_can_be_planned() {
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/pipelines");
    for (file, from, into) in [
        ("index_media.sql", "media", "vectors"),
        ("index_moments.sql", "media", "moments"),
        ("embed_media.sql", "media", "vectors"),
        ("index_vectors.sql", "vectors", "points"),
    ] {
        let mut command = sightstream(folder().path());
        command
            .args(["check", "--offline"])
            .arg(pipelines.join(file))
            .current_dir(&pipelines)
            .env("SIGHTSTREAM_KAFKA", "localhost:9092")
            .env("SIGHTSTREAM_QDRANT", "embedded:qdrant");
        let output = output(command);
        let told = stdout(&output);
        assert_eq!(code(&output), 0, "{told}{}", stderr(&output));
        assert!(
            told.contains(&format!("the query can be planned: from {from} into {into}")),
            "{told}"
        );
        assert!(told.contains("0 warnings"), "{told}");
    }
}
