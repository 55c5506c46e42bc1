//! The configuration of a training run.

use std::fs;
use std::path::{Path, PathBuf};

use sightstream_jobs::data::{ParserKind, Stopping};
use sightstream_jobs::optimiser::ScheduleKind;
use sightstream_jobs::train::config::{ConfigErrors, Length, Start, TrainConfig};
use sightstream_model::encoder::DtypeChoice;
use tempfile::TempDir;

/// A folder with the files that a configuration may name.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [
            "pairs.jsonl",
            "more.parquet",
            "config.json",
            "tokenizer.json",
            "preprocessor_config.json",
        ] {
            fs::write(folder.path().join(name), "").expect("a disk");
        }
        fs::create_dir(folder.path().join("adapter")).expect("a disk");
        fs::write(folder.path().join("adapter/adapter_config.json"), "{}").expect("a disk");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `text` with `@` standing for the folder.
    fn parse(&self, text: &str, set: &[&str]) -> Result<TrainConfig, ConfigErrors> {
        let filled = |text: &str| text.replace('@', &self.folder.path().display().to_string());
        let set: Vec<String> = set.iter().map(|assignment| filled(assignment)).collect();
        TrainConfig::parse("c.yaml", &filled(text), &set).map(|written| written.config)
    }

    /// What is wrong with `text`, with `@` for the folder.
    fn errors(&self, text: &str, set: &[&str]) -> Vec<String> {
        let errors = self.parse(text, set).expect_err("something is wrong");
        let folder = self.folder.path().display().to_string();
        errors
            .sentences()
            .iter()
            .map(|sentence| sentence.replace(&folder, "@"))
            .collect()
    }
}

const LEAST: &str = "model_name: Qwen/Qwen2-VL-2B-Instruct
output_dir: '@/run'
max_steps: 5000
datasets:
  - path: '@/pairs.jsonl'
";

#[test]
fn what_is_left_out_is_the_recipe_of_vlm2vec_v2() {
    let world = World::new();
    let config = world.parse(LEAST, &[]).expect("a configuration");
    assert_eq!(config.start, Start::Checkpoint("Qwen/Qwen2-VL-2B-Instruct".to_string()));
    let lora = config.lora.as_ref().expect("an adapter is trained");
    assert_eq!(
        (lora.rank, lora.alpha, lora.dropout, lora.use_dora),
        (16, 64.0, 0.1, true)
    );
    assert_eq!(lora.target_modules.len(), 7);
    assert_eq!((config.batch_size, config.sub_batch_size), (1024, 64));
    let options = config.train_options(5000);
    assert_eq!((options.learning_rate, options.schedule.warmup_steps), (5e-5, 100));
    assert_eq!(config.lr_scheduler, ScheduleKind::Linear);
    assert_eq!((config.temperature, config.symmetric), (0.02, false));
    assert_eq!((config.gc_q_chunk_size, config.gc_p_chunk_size), (Some(8), Some(8)));
    assert_eq!(config.stopping_strategy, Stopping::AllExhausted);
    assert_eq!(config.video_frames, 8);
    let [dataset] = config.datasets.as_slice() else {
        panic!("one dataset: {:?}", config.datasets)
    };
    assert_eq!(
        (dataset.name.as_str(), dataset.parser, dataset.weight),
        ("pairs", ParserKind::Pairs, 1.0)
    );
    assert_eq!(dataset.media_root, None);
}

#[test]
fn every_key_can_be_written() {
    let world = World::new();
    let text = "from_scratch: {config: '@/config.json', tokenizer: '@/tokenizer.json', preprocessor: '@/preprocessor_config.json'}
output_dir: '@/run'
seed: 7
batch_size: 96
sub_batch_size: 32
num_hard_negatives: 2
num_epochs: 3
stopping_strategy: first_exhausted
learning_rate: 1e-3
lr_scheduler: cosine
warmup_steps: 10
adam_beta1: 0.8
adam_beta2: 0.98
weight_decay: 0.01
max_grad_norm: 0
gradient_accumulation_steps: 2
temperature: 0.05
symmetric: true
mask_duplicates: true
gc_q_chunk_size: 0
gc_p_chunk_size: 16
save_steps: 50
save_total_limit: 2
logging_steps: 1
device: cpu
dtype: bf16
workers: 3
max_bad_share: 0.5
min_pixels: 3136
max_pixels: 50176
video_frames: 4
page_dpi: 72
gradient_checkpointing: true
datasets:
  - {name: a, path: '@/pairs.jsonl', weight: 2.5, rows: 10, media_root: '@', query_instruction: Find it.}
  - {name: b, path: '@/more.parquet', parser: mmeb}
";
    let config = world.parse(text, &[]).expect("a configuration");
    assert!(matches!(&config.start, Start::Scratch(files) if files.config == world.path("config.json")));
    let options = config.train_options(100);
    assert!(options.objective.symmetric && options.objective.mask_duplicates);
    let adamw = options.adamw;
    assert_eq!((adamw.beta1, adamw.beta2, adamw.weight_decay), (0.8, 0.98, 0.01));
    assert_eq!((config.lora, config.length), (None, Length::Epochs(3)));
    assert_eq!((config.gc_q_chunk_size, config.gc_p_chunk_size), (None, Some(16)));
    assert_eq!(
        (config.save_total_limit, config.dtype),
        (Some(2), Some(DtypeChoice::Bf16))
    );
    let [a, b] = config.datasets.as_slice() else {
        panic!("two datasets: {:?}", config.datasets)
    };
    assert_eq!(
        (a.weight, a.rows, b.parser, b.rows),
        (2.5, Some(10), ParserKind::Mmeb, None)
    );
}

#[test]
fn an_adapter_can_be_trained_further_and_lora_has_its_keys() {
    let world = World::new();
    let config = world.parse(LEAST, &["adapter=@/adapter"]).expect("a configuration");
    assert_eq!(config.adapter, Some(world.path("adapter").display().to_string()));
    let config = world
        .parse(
            LEAST,
            &["lora_target_modules=q_proj,v_proj", "lora_rank=8", "use_dora=false"],
        )
        .expect("a configuration");
    let lora = config.lora.expect("an adapter");
    assert_eq!((lora.rank, lora.use_dora), (8, false));
    assert_eq!(lora.target_modules, ["q_proj", "v_proj"]);
    assert_eq!(world.parse(LEAST, &["lora=false"]).expect("a configuration").lora, None);
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_line() {
    let world = World::new();
    let text = "model_name: a/b
from_scratch:
  config: '@/nowhere.json'
  tokenizer: '@/tokenizer.json'
max_steps: 10
num_epochs: 1
batch_sise: 64
learning_rate: -1
sub_batch_size: 100
lr_scheduler_type: linear
datasets:
  - path: '@/gone.jsonl'
    weight: 0
  - name: pairs
    parser: nope
    path: '@/pairs.jsonl'
  - path: '@/pairs.jsonl'
";
    let expected = [
        "c.yaml:2: from_scratch.preprocessor is missing; name a preprocessor_config.json",
        "c.yaml:2: from_scratch and model_name are both there; a run starts from one of them",
        "c.yaml:3: from_scratch.config names @/nowhere.json, where there is no file",
        "c.yaml:6: num_epochs and max_steps are both there; one of them says how long the run is",
        "c.yaml:7: unknown key batch_sise; did you mean batch_size?",
        "c.yaml:8: learning_rate is -1; write a number above 0",
        "c.yaml:9: sub_batch_size 100 does not divide batch_size 1024; write one of 32, 64, 128, 256, 512, 1024",
        "c.yaml:10: unknown key lr_scheduler_type; write lr_scheduler",
        "c.yaml:12: datasets.0.path names @/gone.jsonl, where there is no file",
        "c.yaml:13: datasets.0.weight is 0; write a number above 0",
        "c.yaml:15: datasets.1.parser is 'nope'; write one of pairs, mmeb, llavahound_caption, llavahound_qa, \
         vidore, visrag",
        "c.yaml:17: datasets.2.name pairs is that of an earlier dataset too; choose another",
        "c.yaml: output_dir is missing; name the folder of what the run makes",
    ];
    assert_eq!(world.errors(text, &[]), expected);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let world = World::new();
    let scratch = "from_scratch={config: '@/config.json', tokenizer: '@/tokenizer.json', \
                   preprocessor: '@/preprocessor_config.json'}";
    let cases: [(&[&str], &str); 14] = [
        (
            &["lora=false", "lora_rank=8"],
            "lora_rank has no effect where all weights are trained",
        ),
        (&["adapter=@/adapter", "use_dora=true"], "use_dora is the adapter's own"),
        (&["adapter=@"], "has no adapter_config.json; name a PEFT directory"),
        (
            &["lora=false", "adapter=@/adapter"],
            "adapter is trained over a checkpoint, with lora: true",
        ),
        (
            &["model_name=null", scratch, "lora=true"],
            "lora does not go with from_scratch",
        ),
        (&["max_steps=null"], "max_steps is missing"),
        (
            &["model_name=null"],
            "model_name is missing; name the checkpoint to start from",
        ),
        (
            &["datasets=[]"],
            "datasets is a list; write a list with an entry for each dataset",
        ),
        (&["warmup_steps=6000"], "warmup_steps 6000 outlasts max_steps 5000"),
        (
            &["lr_decay_steps=4000"],
            "lr_decay_steps 4000 comes before max_steps 5000",
        ),
        (
            &["lr_decay_steps=6000", "lr_scheduler=constant"],
            "lr_decay_steps has no effect where lr_scheduler is constant",
        ),
        (
            &["min_pixels=10", "max_pixels=5"],
            "min_pixels 10 is more than max_pixels 5",
        ),
        (&["batch_size=1"], "batch_size 1 leaves a query without negatives"),
        (&["output_dir=@/pairs.jsonl"], "is a file; name a folder"),
    ];
    for (set, said) in cases {
        let errors = world.errors(LEAST, set);
        assert!(errors.len() == 1 && errors[0].contains(said), "{set:?}: {errors:?}");
    }
    assert_eq!(
        world.errors(LEAST, &["dtype=f16"]),
        ["--set dtype is 'f16'; write f32 or bf16"]
    );
}

#[test]
fn a_short_run_warms_up_for_a_tenth_of_it() {
    let world = World::new();
    let config = world.parse(LEAST, &["max_steps=40"]).expect("a configuration");
    let options = config.train_options(40);
    assert_eq!((options.schedule.warmup_steps, options.schedule.total_steps), (4, 40));
    let config = world
        .parse(LEAST, &["max_steps=40", "lr_decay_steps=100"])
        .expect("a configuration");
    let options = config.train_options(40);
    let schedule = options.schedule;
    assert_eq!(
        (options.max_steps, schedule.total_steps, schedule.warmup_steps),
        (40, 100, 10)
    );
    let config = world.parse(LEAST, &["batch_size=16"]).expect("a configuration");
    assert_eq!(config.sub_batch_size, 16);
}

#[test]
fn what_a_run_keeps_of_its_configuration_reads_back_as_the_same() {
    let world = World::new();
    let text = LEAST.replace('@', &world.folder.path().display().to_string());
    let written = TrainConfig::parse("c.yaml", &text, &["seed=3".to_string()]).expect("a configuration");
    let kept = serde_json::to_string_pretty(&written.json).expect("JSON");
    let again = TrainConfig::parse("kept", &kept, &[]).expect("JSON is YAML");
    assert_eq!(again, written);
    assert_eq!(again.config.seed, 3);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = TrainConfig::read(Path::new("no/such.yaml"), &[])
        .expect_err("no file")
        .to_string();
    assert!(
        error.starts_with("no/such.yaml: the configuration cannot be read: "),
        "{error}"
    );
}

#[test]
fn the_guide_tells_every_key() {
    let guide = include_str!("../../docs/training.md");
    for key in TrainConfig::keys() {
        let name = key.rsplit('.').next().unwrap_or(&key);
        assert!(
            guide.contains(&format!("`{name}`")),
            "docs/training.md does not tell `{name}`"
        );
    }
}

#[test]
fn the_demos_configurations_lack_nothing_but_their_data() {
    // As they say, they are read from the repository's folder.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository");
    for name in ["demo", "demo_places", "demo_all", "demo_signs"] {
        let path = format!("jobs/configs/{name}.yaml");
        let sentences = match TrainConfig::read(Path::new(&path), &[]) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_sentences(),
        };
        let other: Vec<&String> = sentences
            .iter()
            .filter(|sentence| !sentence.contains(".path names "))
            .collect();
        assert!(other.is_empty(), "{path}: {other:?}");
    }
}
