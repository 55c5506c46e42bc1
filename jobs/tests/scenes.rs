//! The scenes: what is drawn, said and held out is what was frozen, and the product reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sightstream_jobs::scenes::caption::{Told, caption};
use sightstream_jobs::scenes::dice::Dice;
use sightstream_jobs::scenes::encode::encode;
use sightstream_jobs::scenes::split::{Case, TestSet, held_out};
use sightstream_jobs::scenes::training::{Row, TRAINING_SETS, scenes};
use sightstream_jobs::scenes::world::{Combination, Family, Scene};
use sightstream_jobs::scenes::{tokenizer, write};
use sightstream_model::fetch::Content;

use sightstream_model::media::{Answer, DecodeLimits, Media, Question, Reader, Reading, Segmentation};
use tokenizers::Tokenizer;

const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenes");

/// The families that have a test set.
const TESTED: [Family; 3] = [Family::Objects, Family::Motion, Family::Page];

fn frozen(file: &str) -> Vec<u8> {
    let path = Path::new(FROZEN).join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn frozen_cases(set: TestSet) -> Vec<Case> {
    let lines = String::from_utf8(frozen(&format!("{}.jsonl", set.name()))).expect("UTF-8");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn what_is_drawn_is_what_was_frozen() {
    for set in TestSet::ALL {
        assert_eq!(frozen_cases(set), set.cases(), "{}", set.name());
    }
    let hashes = String::from_utf8(write::hashes()).expect("JSON");
    assert_eq!(hashes, String::from_utf8(frozen("hashes.json")).expect("JSON"));
}

#[test]
fn test_sets_are_as_large_as_they_say_and_hold_only_what_is_held_out() {
    let sizes: Vec<usize> = TestSet::ALL.iter().map(|set| frozen_cases(*set).len()).collect();
    assert_eq!(sizes, [500, 200, 200, 450]);
    for set in TestSet::ALL {
        for case in frozen_cases(set) {
            assert!(held_out(&case.scene.combination), "{}", case.scene.combination.key());
        }
    }
}

#[test]
fn training_shows_nothing_that_is_held_out_but_every_value_and_most_pairs_of_values() {
    for family in TESTED {
        let mut values = BTreeSet::new();
        let mut pairs = BTreeSet::new();
        for scene in scenes(family) {
            let combination = scene.combination;
            assert!(!held_out(&combination), "{}", combination.key());
            let places = 0..family.attributes().len();
            for one in places.clone() {
                values.insert((one, combination.value(one)));
                pairs.extend(
                    places
                        .clone()
                        .map(|two| (one, combination.value(one), two, combination.value(two))),
                );
            }
        }
        let all: usize = family.attributes().iter().map(|attribute| attribute.values.len()).sum();
        assert_eq!(values.len(), all, "{}", family.name());
        let mut possible = BTreeSet::new();
        for combination in Combination::all(family) {
            let places = 0..family.attributes().len();
            for one in places.clone() {
                pairs_of(&combination, one, places.clone(), &mut possible);
            }
        }
        assert_eq!(pairs, possible, "{}", family.name());
    }
}

type Pairs = BTreeSet<(usize, usize, usize, usize)>;

fn pairs_of(combination: &Combination, one: usize, places: std::ops::Range<usize>, pairs: &mut Pairs) {
    pairs.extend(places.map(|two| (one, combination.value(one), two, combination.value(two))));
}

#[test]
fn about_a_fifth_is_held_out() {
    for family in TESTED {
        let all = Combination::all(family);
        let share = all.iter().filter(|combination| held_out(combination)).count() as f64 / all.len() as f64;
        assert!((0.18..0.22).contains(&share), "{}: {share}", family.name());
    }
    for family in [Family::Pattern, Family::View, Family::Sign] {
        assert!(!Combination::all(family).iter().any(held_out));
    }
}

#[test]
fn every_candidate_has_another_that_differs_in_one_attribute() {
    for set in [TestSet::Images, TestSet::Clips, TestSet::Pages] {
        let cases = frozen_cases(set);
        let combinations: BTreeSet<_> = cases.iter().map(|case| case.scene.combination).collect();
        assert_eq!(
            combinations.len(),
            cases.len(),
            "no combination stands twice among the {}",
            set.name()
        );
        let mut differs = BTreeMap::new();
        for one in &combinations {
            let near: Vec<_> = combinations.iter().filter(|other| one.distance(other) == 1).collect();
            assert!(!near.is_empty(), "{}", one.key());
            for other in near {
                let places = 0..one.family().attributes().len();
                let place = places
                    .into_iter()
                    .find(|place| one.value(*place) != other.value(*place));
                *differs.entry(place.expect("they differ in one")).or_insert(0) += 1;
            }
        }
        // Each attribute is what tells two candidates apart, often.
        let attributes = cases[0].scene.combination.family().attributes().len();
        assert_eq!(differs.len(), attributes, "{}: {differs:?}", set.name());
        assert!(
            differs.values().all(|count| *count >= 20),
            "{}: {differs:?}",
            set.name()
        );
    }
}

/// The words for each attribute's values, none of which is part of a word of another value of that attribute.
fn words(family: Family) -> Vec<(&'static str, Vec<Vec<&'static str>>)> {
    let colours = vec![
        vec!["red"],
        vec!["orange"],
        vec!["yellow"],
        vec!["green"],
        vec!["blue"],
        vec!["purple", "violet"],
        vec!["black"],
        vec!["white"],
    ];
    match family {
        Family::Objects => vec![
            (
                "shape",
                vec![
                    vec!["circle", "disc"],
                    vec!["square"],
                    vec!["triangle"],
                    vec!["star"],
                    vec!["heart"],
                    vec!["cross", "plus"],
                    vec!["ring"],
                    vec!["house"],
                    vec!["tree"],
                    vec!["fish"],
                ],
            ),
            (
                "position",
                vec![
                    vec!["left"],
                    vec!["right"],
                    vec!["top", "upper"],
                    vec!["bottom", "lower", "below"],
                    vec!["middle", "centre", "center"],
                ],
            ),
            (
                "texture",
                vec![
                    vec!["plain", "solid"],
                    vec!["stripe"],
                    vec!["check"],
                    vec!["dot", "spot"],
                ],
            ),
        ],
        Family::Motion => vec![(
            "motion",
            vec![
                vec!["left"],
                vec!["right"],
                vec![" up", "ris", "climb"],
                vec!["down", "fall", "sink"],
                vec!["grow", "larger", "bigger"],
                vec!["shrink", "smaller"],
                vec!["around", "round in"],
                vec!["blink", "flash", " comes", " coming"],
            ],
        )],
        _ => vec![("colour", colours)],
    }
}

#[test]
fn a_full_caption_tells_its_combination() {
    let mut dice = Dice::named("captions of a test");
    for family in [Family::Objects, Family::Motion] {
        for _ in 0..2000 {
            let combination = Combination::random(family, &mut dice);
            let caption = caption(&combination, Told::ALL, &mut dice);
            let lower = caption.to_lowercase();
            for (attribute, values) in words(family) {
                let place = family.place_of(attribute).expect("an attribute");
                let told: Vec<usize> = (0..values.len())
                    .filter(|value| values[*value].iter().any(|word| lower.contains(word)))
                    .collect();
                assert_eq!(told, [combination.value(place)], "{attribute} of {caption:?}");
            }
        }
    }
}

#[test]
fn no_two_candidates_have_one_caption() {
    for set in [TestSet::Images, TestSet::Clips, TestSet::Pages] {
        let cases = frozen_cases(set);
        let texts: BTreeSet<_> = cases.iter().map(|case| case.text.to_lowercase()).collect();
        assert_eq!(texts.len(), cases.len(), "{}", set.name());
    }
}

#[test]
fn wrong_texts_are_wrong_and_name_nothing_that_is_held_out() {
    for set in &TRAINING_SETS {
        let scenes = scenes(set.family);
        let rows: Vec<Row> = set.rows(&scenes[..400]);
        let mut seen = 0;
        for row in rows {
            assert!(!row.negatives.is_empty(), "{}: {row:?}", set.name);
            for negative in &row.negatives {
                assert!(negative.url.is_none() && negative.text.is_some());
                seen += usize::from(negative.text != row.positive.text);
            }
            // Of places and patterns little may be told, so that two of them may be told alike.
            if TESTED.contains(&set.family) {
                assert!(
                    row.negatives.iter().all(|negative| negative.text != row.positive.text),
                    "{row:?}"
                );
            }
        }
        assert!(seen > 0);
    }
}

#[test]
fn the_product_reads_every_kind() {
    let reading = Reading {
        media_type: None,
        fragment: None,
        question: Question::Input,
        limits: &DecodeLimits::default(),
        segmentation: &Segmentation::default(),
        name: "a scene",
    };
    for family in Family::ALL {
        let content = Content::Memory(encode(&scenes(family)[0]).into());
        let answer = Reader::default()
            .read(&content, &reading, &|image| image)
            .unwrap_or_else(|error| panic!("{}: {error:?}", family.name()));
        match (family, answer) {
            (Family::Motion, Answer::Media(Media::Clip(frames))) => {
                assert_eq!(frames.len(), 8);
                assert_eq!(frames[0].dimensions(), (84, 84));
                assert!((1..8).any(|index| frames[index] != frames[0]));
            }
            (Family::Motion, other) => panic!("a clip was read as {other:?}"),
            (_, Answer::Media(Media::Image(image))) => assert!(image.width() >= 112),
            (_, other) => panic!("a picture was read as {other:?}"),
        }
    }
}

#[test]
fn what_a_file_says_is_the_scene() {
    for set in TestSet::ALL {
        let case = set.cases().swap_remove(0);
        let text = serde_json::to_string(&case.scene).expect("JSON");
        assert_eq!(serde_json::from_str::<Scene>(&text).expect("a scene"), case.scene);
    }
    let refused = |text: &str| serde_json::from_str::<Scene>(text).expect_err(text).to_string();
    let page = r#"{"family":"page","variant":1,"topic":"city","sort":"plan","content":"text","colour":"red"}"#;
    assert!(serde_json::from_str::<Scene>(page).is_ok());
    assert!(refused(&page.replace("city", "moon")).contains("`moon` is no `topic`"));
    assert!(refused(&page.replace(r#""topic":"city","#, "")).contains("needs `topic`"));
    assert!(refused(&page.replace(r#""colour""#, r#""size":"2","colour""#)).contains("no `size`"));
    let unseen = r#"{"family":"pattern","variant":1,"pattern":"dots","colour":"red","background":"red"}"#;
    assert!(refused(unseen).contains("cannot be drawn"));
}

#[test]
fn words_are_one_token_however_they_are_written() {
    let lines = [
        "three red circles on a plain green background",
        "a blue star moves left",
    ];
    let file = tokenizer::train(lines.into_iter().cycle().take(4000)).expect("a tokenizer");
    let tokenizer: Tokenizer = file.parse().expect("a tokenizer's file");
    let tokens = |text: &str| tokenizer.encode(text, false).expect("tokens").get_ids().to_vec();
    let circles = tokens("circles");
    assert_eq!(circles.len(), 1);
    assert_eq!(tokens("Circles"), circles);
    assert_eq!(tokens("red circles")[1..], circles);
    // Words that it has never seen go through its bytes, and come back.
    let unknown = tokens("\u{fc}nic\u{f6}de 42");
    assert_eq!(
        tokenizer.decode(&unknown, false).expect("text").trim(),
        "\u{fc}nic\u{f6}de  4 2"
    );
    assert_eq!(tokens("<|image_pad|><|image_pad|>").len(), 2);
}
