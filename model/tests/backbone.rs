//! The parts of an encoding against transformers': tokens, positions, pixels, patches, vision tower, last hidden state.

mod kits;

use kits::{Kind, Kit, relative_difference};
use sightstream_model::backbone::Rows;
use sightstream_model::backbone::rope::token_positions;
use sightstream_model::error::ModelError;
use sightstream_model::processor::resize::resize_for_model;
use sightstream_model::processor::{ModelInput, VisionKind};

/// f32 rounding, grown through a few layers.
const CLOSE: f32 = 2e-4;

#[test]
fn tokens_are_the_references() {
    for kit in kits::all() {
        for case in kit
            .cases
            .iter()
            .filter(|case| matches!(case.kind, Kind::Text | Kind::Image))
        {
            assert_eq!(
                kit.input(case).token_ids,
                kit.reference_u32(case, "token_ids"),
                "{} {}",
                kit.name,
                case.name
            );
        }
    }
}

#[test]
fn positions_are_the_references_with_and_without_vision_start() {
    for kit in kits::all() {
        for case in &kit.cases {
            let tokens = kit.reference_u32(case, "token_ids");
            let grid = kit.input(case).vision.map(|vision| vision.grid_thw);
            let positions = token_positions(kit.encoder.backbone().config(), &tokens, grid);
            let reference = kit.reference_u32(case, "positions");
            let axes: Vec<u32> = (0..3)
                .flat_map(|axis| positions.iter().map(move |position| position[axis]))
                .collect();
            assert_eq!(axes, reference, "{} {}", kit.name, case.name);
        }
    }
}

#[test]
fn resized_pixels_are_the_references() {
    for kit in kits::all() {
        let processor = kit.encoder.processor();
        let config = processor.config();
        for case in kit.cases.iter().filter(|case| case.image.is_some() && !case.is_jpeg()) {
            let image = kits::image(case);
            let resized = resize_for_model(&image, config.factor(), config.min_pixels, config.max_pixels);
            let reference = kit.reference(case, "resized");
            let (width, height) = resized.dimensions();
            assert_eq!(
                reference.dims(),
                [height as usize, width as usize, 3],
                "{} {}",
                kit.name,
                case.name
            );
            let reference = reference
                .flatten_all()
                .and_then(|pixels| pixels.to_vec1::<u8>())
                .expect("bytes");
            let most = resized
                .as_raw()
                .iter()
                .zip(&reference)
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            assert_eq!(
                most,
                Some(0),
                "{} {}: the largest difference of a sample",
                kit.name,
                case.name
            );
        }
    }
}

#[test]
fn patches_are_the_references() {
    for kit in kits::all() {
        for case in kit.cases.iter().filter(|case| case.kind == Kind::Image) {
            let vision = kit.input(case).vision.expect("an image has pixels");
            assert_eq!(
                vision.grid_thw.to_vec(),
                kit.reference_u32(case, "grid_thw"),
                "{} {}",
                kit.name,
                case.name
            );
            let size = vision.patches.len() / vision.patch_count();
            let rows = kit.reference_u32(case, "patch_rows");
            let ours: Vec<f32> = rows
                .iter()
                .flat_map(|&row| vision.patches[row as usize * size..][..size].to_vec())
                .collect();
            let bar = if case.is_jpeg() { 0.05 } else { 1e-6 };
            let difference = relative_difference(&ours, &kit.reference_f32(case, "patches"));
            assert!(difference <= bar, "{} {}: {difference}", kit.name, case.name);
        }
    }
}

#[test]
fn the_vision_towers_output_is_the_references_frame_by_frame() {
    for kit in kits::all() {
        for case in kit.cases.iter().filter(|case| !case.is_jpeg()) {
            let input = kit.input(case);
            let states = kit
                .encoder
                .backbone()
                .vision_states(std::slice::from_ref(&input))
                .expect("computed");
            assert_eq!(states.is_some(), case.kind != Kind::Text);
            let Some(states) = states else { continue };
            let difference = relative_difference(&kits::floats(&states), &kit.reference_f32(case, "vision"));
            assert!(difference < CLOSE, "{} {}: {difference}", kit.name, case.name);
        }
    }
}

#[test]
fn the_last_hidden_state_is_the_references_for_every_token() {
    for kit in kits::all() {
        for case in kit.cases.iter().filter(|case| !case.is_jpeg()) {
            let input = kit.input(case);
            let hidden = kit
                .encoder
                .backbone()
                .hidden_states(&[input], Rows::All)
                .expect("computed");
            let reference = kit.reference(case, "hidden");
            assert_eq!(hidden.dims(), reference.dims(), "{} {}", kit.name, case.name);
            let difference = relative_difference(&kits::floats(&hidden), &kits::floats(&reference));
            assert!(difference < CLOSE, "{} {}: {difference}", kit.name, case.name);
        }
    }
}

#[test]
fn the_last_rows_alone_are_those_of_all_rows() {
    let kit = Kit::load("grouped", None);
    let inputs = kit.inputs();
    let backbone = kit.encoder.backbone();
    let all = kits::floats(&backbone.hidden_states(&inputs, Rows::All).expect("computed"));
    let last = kits::floats(&backbone.hidden_states(&inputs, Rows::Last).expect("computed"));
    let size = kit.encoder.dimension();
    let mut end = 0;
    for (input, row) in inputs.iter().zip(last.chunks(size)) {
        end += input.tokens();
        assert!(relative_difference(row, &all[(end - 1) * size..end * size]) < 1e-5);
    }
}

#[test]
fn inputs_that_contradict_themselves_are_refused_by_their_place() {
    let kit = Kit::load("grouped", None);
    let case = |name: &str| kit.input(kit.cases.iter().find(|case| case.name == name).expect("in the kit"));
    let (text, image) = (case("text_word"), case("image_square"));
    let broken = |change: &dyn Fn(&mut ModelInput)| {
        let mut input = image.clone();
        change(&mut input);
        let error = kit.encoder.encode(&[text.clone(), input]).expect_err("refused");
        assert!(matches!(error, ModelError::Input { index: 1, .. }), "{error}");
        error.to_string()
    };
    assert!(broken(&|input| input.token_ids.clear()).contains("no tokens"));
    assert!(broken(&|input| input.token_ids.push(784)).contains("vocabulary of 784"));
    assert!(broken(&|input| input.vision = None).contains("no pixels"));
    assert!(
        broken(&|input| *input = ModelInput {
            token_ids: input.token_ids[1..].to_vec(),
            ..input.clone()
        })
        .contains("stand for 16 merged patches")
    );
    fn pixels(input: &mut ModelInput) -> &mut sightstream_model::processor::VisionInput {
        input.vision.as_mut().expect("an image has pixels")
    }
    assert!(broken(&|input| pixels(input).kind = VisionKind::Video).contains("of the other kind"));
    assert!(broken(&|input| pixels(input).grid_thw[1] -= 1).contains("2 x 2 blocks"));
    assert!(broken(&|input| pixels(input).patches.truncate(100)).contains("do not fill the grid"));
}
