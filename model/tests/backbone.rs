//! The parts of the backbone against transformers': positions, vision tower, last hidden state.

mod kits;

use kits::{Kind, Kit, relative_difference};
use sightstream_model::backbone::Rows;
use sightstream_model::backbone::rope::token_positions;
use sightstream_model::error::ModelError;
use sightstream_model::processor::{ModelInput, VisionKind};

/// f32 rounding, grown through a few layers.
const CLOSE: f32 = 2e-4;

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
fn the_vision_towers_output_is_the_references_frame_by_frame() {
    for kit in kits::all() {
        for case in kit.cases.iter().filter(|case| !case.is_jpeg()) {
            let input = kit.input(case);
            let states = kit.encoder.backbone().vision_states(&[&input]).expect("computed");
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
                .hidden_states(&[&input], Rows::All)
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
    let batch: Vec<_> = inputs.iter().collect();
    let backbone = kit.encoder.backbone();
    let all = kits::floats(&backbone.hidden_states(&batch, Rows::All).expect("computed"));
    let last = kits::floats(&backbone.hidden_states(&batch, Rows::Last).expect("computed"));
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
