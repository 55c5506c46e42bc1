//! Keys of other trainers, answered with what does here.

/// What to write instead of `key`, for a key that people know from VLM2Vec or transformers.
pub(super) fn of(key: &str) -> Option<&'static str> {
    HINTS.iter().find(|(known, _)| *known == key).map(|(_, hint)| *hint)
}

const HINTS: &[(&str, &str)] = &[
    ("bf16", "write dtype: bf16"),
    (
        "checkpoint_path",
        "write adapter for an adapter to train further, or model_name for a whole checkpoint",
    ),
    ("data_basedir", "write whole paths in datasets"),
    ("dataloader_num_workers", "write workers"),
    ("dataset_config", "write the datasets themselves, under datasets"),
    ("dataset_name", "write path, the file of its rows"),
    ("dataset_parser", "write parser"),
    ("dataset_path", "write path"),
    ("fp16", "write dtype: f32 or bf16; f16 is not trained in"),
    (
        "gc_dynamic_limit",
        "chunks have the sizes that gc_q_chunk_size and gc_p_chunk_size say",
    ),
    (
        "grad_cache",
        "it is on wherever gc_q_chunk_size or gc_p_chunk_size is above 0",
    ),
    ("homogeneous_sampling", "sub-batches are always from one dataset"),
    ("image_basedir", "write media_root"),
    ("image_dir", "write media_root"),
    ("image_encoder_freeze", "what is trained is said by lora_target_modules"),
    ("interleave_batch_size", "write sub_batch_size"),
    ("interleave_datasets", "several datasets are always mixed"),
    ("interleave_stopping_strategy", "write stopping_strategy"),
    ("lora_r", "write lora_rank"),
    ("lr", "write learning_rate"),
    ("lr_scheduler_type", "write lr_scheduler"),
    (
        "max_len",
        "inputs are not cut; min_pixels, max_pixels and video_frames bound them",
    ),
    (
        "max_length",
        "inputs are not cut; min_pixels, max_pixels and video_frames bound them",
    ),
    ("model_backbone", "the checkpoint's config.json says what it is"),
    ("model_name_or_path", "write model_name"),
    ("model_type", "the checkpoint's config.json says what it is"),
    ("normalize", "vectors are always normalised"),
    ("num_frames", "write video_frames"),
    ("num_sample_per_subset", "write rows"),
    ("num_train_epochs", "write num_epochs"),
    ("optim", "the optimiser is AdamW"),
    ("per_device_train_batch_size", "write batch_size"),
    ("pooling", "the vector is always that of the last token"),
    ("processor_name", "the processor is the checkpoint's own"),
    ("report_to", "log.csv and TensorBoard's files are always written"),
    ("resize_max_pixels", "write max_pixels"),
    ("resize_min_pixels", "write min_pixels"),
    ("resume_from", "write --resume on the command line"),
    ("resume_from_checkpoint", "write --resume on the command line"),
    ("train_batch_size", "write batch_size"),
    ("video_dir", "write media_root"),
    ("warmup_ratio", "write warmup_steps"),
];

#[cfg(test)]
mod tests {
    use super::HINTS;

    #[test]
    fn hints_stand_in_order_and_once() {
        assert!(HINTS.is_sorted_by(|(one, _), (other, _)| one < other));
    }
}
